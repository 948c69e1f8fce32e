"""How long a child process may take, in processor time: a busy machine must not make a file look as if it hung."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 20  # times the processor time, by the clock: for a process that waits, or a machine that is very busy
_LOOK_S = 0.1


class CpuLimit:
    """Ends a process that takes more processor time than it may, from here on; use it as a context.

    Parameters
    ----------
    process : subprocess.Popen
    seconds : float
        Of processor time. By the clock it may take `PATIENCE` times that.
    """

    def __init__(self, process: subprocess.Popen[Any], seconds: float) -> None:
        self.exceeded = False
        self._process, self._seconds = process, seconds
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="effnet-lab-cpu-limit", daemon=True)

    def __enter__(self) -> CpuLimit:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # Ctrl-C
            self._process.kill()
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        """In a thread of its own."""
        if self._over.wait(min(_LOOK_S, self._seconds)):  # most are done by now, and psutil need not be loaded
            return
        import psutil

        begun = time.monotonic()
        try:
            child = psutil.Process(self._process.pid)
            before = sum(child.cpu_times()[:2])
            while not self._over.wait(_LOOK_S):
                used = sum(child.cpu_times()[:2]) - before
                if used > self._seconds or time.monotonic() - begun > PATIENCE * self._seconds:
                    self.exceeded = True
                    self._process.kill()
                    return
        except psutil.NoSuchProcess:
            return


def run_limited(command: Sequence[str], seconds: float, *, cwd: Path | None = None) -> tuple[int | None, str]:
    """Run a command to its end: its exit code, None if it took longer than it may, and what it printed."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd=cwd, text=True)
    with process, CpuLimit(process, seconds) as limit:
        out, err = process.communicate()
    return None if limit.exceeded else process.returncode, out + err
