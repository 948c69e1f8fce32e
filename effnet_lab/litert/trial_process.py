"""The process in which files from elsewhere are tried, seen from this one.

It loads next to nothing, so that the child can start while this process still loads the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from effnet_lab.cpu_limit import CpuLimit

LATE = "no answer"
SCRIPT = Path(__file__).with_name("trial_child.py")
LOCK = threading.RLock()  # one question at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How far a file came."""

    step: str  # the last that began: opened, prepared, run, closed; "done" where all went well or was refused in order
    refused: str = ""  # the interpreter's words
    death: str = ""  # how the process ended


class TrialProcess:
    """The child and its ends."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._take_answer: Callable[[], object] | None = None  # of the question that is open
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether it can be asked, by this process."""
        return self.owner == os.getpid() and self._process.poll() is None

    def begin(self, question: bytes, take_answer: Callable[[], object]) -> None:
        """Put a question; `take_answer` is called before another one is put, if nobody has asked for the answer by then."""
        self._take_answer = take_answer
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(question)
            self._process.stdin.flush()

    def settle(self) -> None:
        """Wait for the answer of the question that is open, if there is one."""
        if self._take_answer is not None:
            self._take_answer()

    def answer(self, limit_s: float) -> Outcome:
        """What came of it, within so much processor time."""
        self._take_answer = None
        step = "opened"
        assert self._process.stdout is not None
        with CpuLimit(self._process, limit_s) as limit:
            for answer in self._process.stdout:
                word, _, rest = answer.decode("utf-8", "replace").strip().partition(" ")
                if word == "done":
                    return Outcome(step="done", refused=json.loads(rest))
                step = word
            code = self._process.wait()
        return Outcome(step=step, death=LATE if limit.exceeded else _name(code))

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()
        for end in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.close()


_RUNNING: list[TrialProcess] = []  # at most one


def trial_process() -> TrialProcess:
    """The child that serves this process, with no question open; started if there is none, or it died."""
    with LOCK:
        if _RUNNING and _RUNNING[0].owner == os.getpid():
            _RUNNING[0].settle()
        if not _RUNNING or not _RUNNING[0].alive:
            close()
            _RUNNING.append(TrialProcess())
        return _RUNNING[0]


def close() -> None:
    """End the child; the next question starts another one."""
    while _RUNNING:
        _RUNNING.pop().close()


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
