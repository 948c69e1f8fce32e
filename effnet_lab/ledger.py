"""A folder of points: one is finished when its folder bears its name, and that happens in one step.

``points/KEY`` is the whole folder of a finished run, with what is said of it in ``point.json``; ``failed/KEY`` what a failed
one left. ``work`` is where runs happen; what a killed run left there is removed by whoever holds the folder next.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from effnet_lab.names import UserError, WriteError
from effnet_lab.paths import write_atomically

POINT = "point.json"
POINTS, FAILED, WORK = "points", "failed", "work"


class Ledger:
    """Where the points of a sweep or a study are, and how one becomes finished."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    def point(self, key: str) -> Path:
        """Folder of a finished point."""
        return self.root / POINTS / key

    def failure(self, key: str) -> Path:
        """Folder of a point that failed."""
        return self.root / FAILED / key

    def is_finished(self, key: str) -> bool:
        """Whether a point needs no run any more."""
        return (self.point(key) / POINT).is_file()

    def begin(self, key: str) -> Path:
        """A folder for one run of a point, and for nothing else."""
        draft = self.root / WORK / f"{key}-{uuid.uuid4().hex[:12]}"
        try:
            draft.mkdir(parents=True)
        except OSError as error:
            raise WriteError(draft, error) from None
        return draft

    def finish(self, key: str, draft: Path, about: Mapping[str, Any]) -> bool:
        """Let a run's folder become the point's; False if another run was first, and then this one's is removed."""
        write_atomically(draft / POINT, _json(about))
        target = self.point(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft, target)  # onto a folder that is not empty this fails: nothing is finished twice
        except OSError:
            if not self.is_finished(key):
                raise
            shutil.rmtree(draft, ignore_errors=True)
            return False
        shutil.rmtree(self.failure(key), ignore_errors=True)
        return True

    def fail(self, key: str, draft: Path, about: Mapping[str, Any]) -> None:
        """Keep what a failed run left, in place of an earlier one."""
        write_atomically(draft / POINT, _json(about))
        target = self.failure(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(draft, target)

    def about(self, key: str) -> dict[str, Any]:
        """What is said of a point that finished or failed; empty for one that did not run yet."""
        for folder in (self.point(key), self.failure(key)):
            with suppress(OSError, ValueError):
                content = json.loads((folder / POINT).read_bytes())
                return content if isinstance(content, dict) else {}
        return {}

    def forget(self, keys: Iterable[str]) -> None:
        """Let points run again."""
        for key in keys:
            shutil.rmtree(self.point(key), ignore_errors=True)

    def clear_work(self) -> None:
        """Remove what killed runs left; only for who holds the folder."""
        shutil.rmtree(self.root / WORK, ignore_errors=True)

    @contextmanager
    def held(self, kind: str) -> Iterator[None]:
        """Keep others of a kind, such as ``"sweep"``, out of the folder; the lock ends with this process, however that ends.

        Raises
        ------
        UserError
            If another is at work there.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / f".{kind}.lock", timeout=0)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise UserError(
                f"Another {kind} is at work in {self.root}. Wait for its end, or name another folder with --out."
            ) from None
        except OSError as error:
            raise WriteError(self.root, error) from None
        try:
            yield
        finally:
            lock.release()


def _json(about: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(about), indent=1, ensure_ascii=False, default=str).encode()
