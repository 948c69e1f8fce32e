"""Whoever measures has the machine to itself: the other notebooks of the run are stopped meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from filelock import FileLock

BESIDE = "EFFNET_LAB_BESIDE"  # environment variable: a folder with a file for each of them, named by its process number


def turn(folder: Path) -> FileLock:
    """Held by whoever measures, and by whoever starts a process until its file is there."""
    from filelock import FileLock

    return FileLock(folder / "turn.lock", thread_local=False)


@contextmanager
def alone() -> Iterator[None]:
    """While the context lasts, the other processes of the folder that the environment names hold still, and their children."""
    folder = os.environ.get(BESIDE)
    if not folder:
        yield
        return
    with turn(Path(folder)):
        others = _others(Path(folder))
        try:
            for process in others:
                with suppress(psutil.Error):
                    process.suspend()
            yield
        finally:
            _resume(others)


def go_on(folder: Path) -> None:
    """Let all of them run, where the one that measured has died."""
    _resume(_others(folder))


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.resume()


def _others(folder: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for number in (int(file.name) for file in folder.iterdir() if file.name.isdecimal()):
        if number != os.getpid():
            with suppress(psutil.Error):
                process = psutil.Process(number)
                found += [process, *process.children(recursive=True)]
    return found
