"""Whoever measures has the machine to itself: the other notebooks of the run are stopped meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from filelock import FileLock

BESIDE = "EFFNET_LAB_BESIDE"  # environment variable: a folder with a file for each of them, named by its process number
_WAKE = """import contextlib, psutil, sys
print("ready", flush=True)
sys.stdin.read()  # until the other end is closed
for number in map(int, sys.argv[1:]):
    with contextlib.suppress(psutil.Error):
        psutil.Process(number).resume()"""


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
        with _waker(others):
            for process in others:
                with suppress(psutil.Error):
                    process.suspend()
            yield


@contextmanager
def _waker(processes: list[psutil.Process]) -> Iterator[None]:
    """A process that lets them run when the context ends, also if it ends because this process is killed."""
    command = [sys.executable, "-c", _WAKE, *(str(process.pid) for process in processes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as waker:
        assert waker.stdout is not None
        waker.stdout.readline()  # from here on it computes nothing
        yield


def _others(folder: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for number in (int(file.name) for file in folder.iterdir() if file.name.isdecimal()):
        if number != os.getpid():
            with suppress(psutil.Error):
                process = psutil.Process(number)
                found += [process, *process.children(recursive=True)]
    return found
