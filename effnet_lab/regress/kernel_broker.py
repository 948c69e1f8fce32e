"""One process forks the kernels of several, which ask it through a socket: one server imports the libraries for all of them."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Thread

import psutil

from effnet_lab.regress.forked import ForkedKernel, KernelServers

BROKER = "EFFNET_LAB_KERNELS"  # environment variable: the socket, for the processes that this one starts
_IMPORTS_S = 120.0  # 5 on an idle machine
_LOOK_S = 0.1  # how long it may take to end


@contextmanager
def brokering(place: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """While the context lasts, processes that this one starts find it under `place`; afterwards no kernel is left.

    Parameters
    ----------
    place : Path
        In a folder of this user's own: whoever can write to the socket has code executed.
    environment : mapping
        That of most kernels, whose server begins to import while the processes come up.
    """
    servers = KernelServers(_IMPORTS_S)
    servers.begin([sys.executable], {name: value for name, value in environment.items() if name != BROKER})

    class Asking(StreamRequestHandler):
        """One kernel, which ends when whoever asked for it has closed the socket, or has died."""

        def handle(self) -> None:
            with suppress(OSError, ValueError):  # it died before it had asked, or while it waited
                _serve(self, servers)

    with ThreadingUnixStreamServer(str(place), Asking) as broker:
        broker.daemon_threads = True
        Thread(target=broker.serve_forever, args=(_LOOK_S,), daemon=True).start()
        os.environ[BROKER] = str(place)
        try:
            yield
        finally:
            os.environ.pop(BROKER, None)
            broker.shutdown()
            servers.end()


def _serve(asking: StreamRequestHandler, servers: KernelServers) -> None:
    kernel = servers.fork(**json.loads(asking.rfile.readline()))
    if kernel is not None:
        try:
            asking.wfile.write(f"{kernel.pid}\n".encode())
            asking.rfile.read()
        finally:
            kernel.end()


def ask(place: str, command: Sequence[str], environment: Mapping[str, str], folder: str) -> ForkedKernel | None:
    """As `KernelServers.fork`, of the process that listens there; the kernel ends with this process.

    Raises
    ------
    OSError
        If none does.
    """
    with ExitStack() as stack:
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        line.connect(place)
        with line.makefile("rw") as file:
            file.write(json.dumps({"command": command, "environment": environment, "folder": folder}) + "\n")
            file.flush()
            answer = file.readline()
        with suppress(ValueError, psutil.Error):  # there is no answer: it is to be started as ever
            kernel = ForkedKernel(int(answer), line)
            stack.pop_all()
            return kernel
    return None
