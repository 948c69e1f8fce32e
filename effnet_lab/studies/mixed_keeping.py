"""The best file so far, where it is wanted: a search that goes on takes no better file back that an earlier one left there."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from effnet_lab.images.imageset import digest
from effnet_lab.paths import only_one, write_atomically
from effnet_lab.quantize.files import store
from effnet_lab.studies.mixed_trials import MixedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeper:
    """Puts files at one place.

    Parameters
    ----------
    out : path or None
        Nothing is put at None.
    mark : path
        Says which file lies there, and with what expected loss it was put there.
    question : str
        What is asked. To another question, what lies there is no answer.
    """

    out: Path | None
    mark: Path
    question: str

    def better(self, file: MixedFile) -> None:
        """Put a file there, unless an answer lies there that loses no more."""
        if self.out is not None and not self._loss() <= file.choice.loss:
            self._put(self.out, file, file.choice.loss)

    def last(self, file: MixedFile) -> None:
        """Put the answer there."""
        if self.out is not None:
            self._put(self.out, file, -math.inf)

    def _put(self, out: Path, file: MixedFile, loss: float) -> None:
        content = file.path.read_bytes()
        with only_one(out):
            store(out, content)
            said = _Mark(question=self.question, file=digest(content), loss=loss)
            write_atomically(self.mark, json.dumps(asdict(said)).encode())

    def _loss(self) -> float:
        """Of the answer that lies there; infinite where there is none."""
        if self.out is None or not (self.out.exists() and self.mark.exists()):
            return math.inf
        said = _Mark(**json.loads(self.mark.read_text(encoding="utf-8")))
        here = said.question == self.question and said.file == digest(self.out.read_bytes())
        return said.loss if here else math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mark:
    question: str
    file: str  # digest of the content
    loss: float
