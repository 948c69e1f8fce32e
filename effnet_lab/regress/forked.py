"""Kernels forked from a process that has imported their libraries: a kernel serves one notebook, and starts in no time."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from socket import socket
from threading import Lock
from typing import Any

import psutil

from effnet_lab.bench.alone import BESIDE
from effnet_lab.regress import kernel_server
from effnet_lab.regress.showing import NOTEBOOK

LAUNCHER = "ipykernel_launcher"
_SLICE_S = 0.05
_ITS_OWN = {  # in which the kernels of one server may differ; what sets and maps are ordered by is the server's
    NOTEBOOK, BESIDE, "JPY_SESSION_NAME", "JPY_PARENT_PID", "__DASK_PARENT_PID", "PYTHONHASHSEED", "MALLOC_TRIM_THRESHOLD_",
}  # fmt: skip


class KernelServer:
    """The process that forks; it is ended with this one, and kernels that it forked then end, too.

    Parameters
    ----------
    python : list of str
        The interpreter with its options.
    environment : mapping
        What libraries find when they are imported.
    """

    def __init__(self, python: list[str], environment: Mapping[str, str]) -> None:
        self._lock, self._ready = Lock(), False
        self._process = subprocess.Popen(
            [*python, "-m", kernel_server.__name__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which ends the kernels
            text=True,
        )
        atexit.register(self.end)

    def fork(self, **asked: object) -> ForkedKernel:
        """Another kernel, see `kernel_server`.

        Raises
        ------
        OSError, ValueError, psutil.Error
            If the server or the kernel has died.
        """
        with self._lock:
            try:
                self._pipes[0].write(json.dumps(asked) + "\n")
                self._pipes[0].flush()
                return ForkedKernel(int(self._pipes[1].readline()))
            except BaseException:  # Ctrl-C, too: an answer that nobody read would be taken for the next kernel's
                self.end()
                raise

    def end(self) -> None:
        """End it."""
        atexit.unregister(self.end)
        with suppress(OSError), self._process:  # what could not be written is lost
            self._process.kill()

    @property
    def ended(self) -> bool:
        """Whether it has died, of itself or otherwise."""
        return self._process.poll() is not None

    @property
    def ready(self) -> bool:
        """Whether it has imported everything, which takes seconds."""
        with self._lock:
            if not self._ready and select.select([self._pipes[1]], [], [], 0)[0]:
                self._ready = bool(self._pipes[1].readline())
            return self._ready

    def wait(self, patience_s: float) -> None:
        """Until it is ready or has died, but no longer than this."""
        end = time.monotonic() + patience_s
        while not (self.ready or self.ended) and time.monotonic() < end:
            time.sleep(_SLICE_S)

    @property
    def _pipes(self) -> tuple[Any, Any]:
        return self._process.stdin, self._process.stdout


class ForkedKernel:
    """What jupyter_client asks of a process that it started itself, of one that another forked.

    Parameters
    ----------
    pid : int
    held : socket, optional
        Closed when the kernel has ended.

    Raises
    ------
    psutil.Error
        If it has died.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, held: socket | None = None) -> None:
        self.pid, self._process, self._held = pid, psutil.Process(pid), held

    def poll(self) -> int | None:
        """None as long as it runs."""
        with suppress(psutil.NoSuchProcess):
            if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                return None
        return self.wait()

    def wait(self) -> int:
        """Nothing to wait for: whoever asks has polled, and how it ended only the server knows."""
        if self._held:
            self._held.close()
        return 0

    def end(self) -> None:
        """End it and what it started, unless it has ended."""
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)


class KernelServers:
    """One for each environment in which kernels are asked for; as long as it is not ready, they are started as ever.

    Parameters
    ----------
    patience_s : float
        A server is begun with the first kernel, and kernels wait for it so long: what it imports, it imports for all. 0: with
        the second kernel, and none waits.
    """

    def __init__(self, patience_s: float = 0.0) -> None:
        self._patience_s, self._lock = patience_s, Lock()
        self._servers: dict[frozenset[tuple[str, str]], KernelServer | None] = {}  # None: one kernel was started

    def fork(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> ForkedKernel | None:
        """A kernel like the one that this command would start; None: it is to be started as ever."""
        with suppress(OSError, ValueError, psutil.Error):  # the server or the kernel has died
            server = self._server(command, environment)
            if server and server.ready:
                arguments = command[command.index(LAUNCHER) + 1 :]
                return server.fork(arguments=arguments, environment=environment, folder=folder)
        return None

    def end(self) -> None:
        """End all, and their kernels."""
        with self._lock:
            for server in filter(None, self._servers.values()):
                server.end()
            self._servers.clear()

    def begin(self, python: Sequence[str], environment: Mapping[str, str]) -> None:
        """Begin the server of an environment before anybody asks."""
        with self._lock:
            self._servers[_key(environment)] = KernelServer([*python], environment)

    def _server(self, command: Sequence[str], environment: Mapping[str, str]) -> KernelServer | None:
        """The one of this environment; another after its death."""
        key = _key(environment)
        with self._lock:
            server = self._servers.get(key)
            if server and server.ended:
                server.end()
                del self._servers[key]
            if key not in self._servers and not self._patience_s:
                self._servers[key] = None
                return None
            server = self._servers.get(key)
            if server is None:
                server = self._servers[key] = KernelServer([*command[: command.index("-m")]], environment)
        server.wait(self._patience_s)
        return server


def _key(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in environment.items() if name not in _ITS_OWN)
