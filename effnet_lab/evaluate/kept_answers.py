"""Answers in a file: written as they come, continued where it exists, kept when the run is stopped."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.evaluate.outputs import OutputErrors
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically

TOP = 5  # classes kept per image
Answer = tuple[NDArray[np.int32], np.float32]  # (TOP,) ranked classes, probability of the first


class Answers:
    """What one or two networks said so far, sample by sample."""

    def __init__(self, networks: list[list[Answer]], errors: OutputErrors | None = None) -> None:
        self._networks = networks
        self._counted = len(networks[-1]), errors or OutputErrors()

    def __len__(self) -> int:
        return self._counted[0]

    @property
    def n_networks(self) -> int:
        return len(self._networks)

    @property
    def errors(self) -> OutputErrors:
        return self._counted[1]

    def take(self, said: list[list[Answer]], errors: OutputErrors) -> None:
        """Count some samples: `said` by each network, and the errors with them.

        A signal may come between any two lines: samples count with the last of them, or not at all.
        """
        for kept, new in zip(self._networks, said, strict=True):
            kept.extend(new)
        self._counted = len(self._networks[-1]), errors

    def arrays(self, network: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ranked classes, int32 (n, 5), and confidence, float32 (n,)."""
        said = self._networks[network][: len(self)]
        ranked = np.array([ranked for ranked, _ in said], np.int32).reshape(-1, TOP)
        return ranked, np.array([confidence for _, confidence in said], np.float32)


def write_answers(path: Path, about: list[dict[str, Any]], answers: Answers) -> None:
    """An .npz file, whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about))}
    for i in range(answers.n_networks):
        ranked, confidence = answers.arrays(i)
        arrays |= {f"ranked{i}": ranked, f"confidence{i}": confidence}
    if answers.errors.sums is not None:
        arrays["errors"] = answers.errors.sums
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"Cannot write the answers to {path}: {error.strerror}. Choose another --resume.") from None


def read_answers(path: Path, about: list[dict[str, Any]]) -> Answers:
    """Reverse of `write_answers`; refuses the answers of other networks, or to other images."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            found = json.loads(str(stored["about"]))
            arrays = {name: stored[name] for name in stored.files if name != "about"}
        found = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in found):
            raise ValueError("it does not say which network gave them")
        networks = [
            list(zip(arrays[f"ranked{i}"].astype(np.int32), arrays[f"confidence{i}"].astype(np.float32), strict=True))
            for i in range(len(about) if len(found) == len(about) else 0)
        ]
        if any(ranked.shape != (TOP,) for said in networks for ranked, _ in said):
            raise ValueError("its arrays have another shape")
    except Exception as error:  # noqa: BLE001  zipfile, numpy and json each have errors of their own
        raise UserError(f"{path} is not a file of answers ({error}). Remove it, or name another file.") from None
    if len(found) != len(about):
        raise UserError(
            f"{path} belongs to a run of {len(found)} networks, this is one of {len(about)}. Name another file."
        )
    for was, now in zip(found, about, strict=True):
        for key, value in now.items():
            if was.get(key) != value:
                raise UserError(
                    f"{path} belongs to another run: {key} was {was.get(key)!r}, is {value!r}. Name another file."
                )
    return Answers(networks, OutputErrors(arrays.get("errors")))


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what was computed is written; exit code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
