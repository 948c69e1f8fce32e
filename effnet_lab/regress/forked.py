"""Kernels forked from a process that has imported their libraries: a kernel serves one notebook, and starts in no time."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

import psutil
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from effnet_lab.bench.alone import BESIDE
from effnet_lab.regress import kernel_server
from effnet_lab.regress.showing import NOTEBOOK

_LAUNCHER = "ipykernel_launcher"
_ITS_OWN = {NOTEBOOK, BESIDE, "JPY_SESSION_NAME", "JPY_PARENT_PID"}  # in which the kernels of one server may differ
_servers: dict[frozenset[tuple[str, str]], KernelServer | None] = {}  # by environment; None: one kernel was started
_servers_lock = Lock()


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
        if not self._ready and select.select([self._pipes[1]], [], [], 0)[0]:
            self._ready = bool(self._pipes[1].readline())
        return self._ready

    @property
    def _pipes(self) -> tuple[Any, Any]:
        return self._process.stdin, self._process.stdout


class ForkedKernel:
    """What jupyter_client asks of a process that it started itself, of one that another forked."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid, self._process = pid, psutil.Process(pid)

    def poll(self) -> int | None:
        """None as long as it runs."""
        with suppress(psutil.NoSuchProcess):
            if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                return None
        return self.wait()

    def wait(self) -> int:
        """Nothing: whoever asks has polled, and how it ended only the server knows."""
        return 0

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)


class ForkingProvisioner(LocalProvisioner):
    """Forks kernels as soon as there is a server for their environment; until then it starts them as ever."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Launch a kernel with a command."""
        server = _server(cmd, options["env"]) if _LAUNCHER in cmd else None
        if server is None:
            return await super().launch_kernel(cmd, **options)
        place = options.get("cwd") or os.getcwd()
        arguments = cmd[cmd.index(_LAUNCHER) + 1 :]
        try:
            kernel: Any = server.fork(arguments=arguments, environment=options["env"], folder=str(place))
        except (OSError, ValueError, psutil.Error):
            return await super().launch_kernel(cmd, **options)
        self.process, self.cwd = kernel, place
        self.pid = self.pgid = kernel.pid
        return self.connection_info


def _server(cmd: list[str], environment: Mapping[str, str]) -> KernelServer | None:
    """The one of this environment, if it is ready; it is begun when a second kernel is asked for, again after its death."""
    key = frozenset((name, value) for name, value in environment.items() if name not in _ITS_OWN)
    with _servers_lock:
        server = _servers.get(key)
        if server and server.ended:
            server.end()
            del _servers[key]
        if key not in _servers:
            _servers[key] = None
        elif server is None:
            _servers[key] = KernelServer(cmd[: cmd.index("-m")], environment)
        server = _servers[key]
        return server if server and server.ready else None
