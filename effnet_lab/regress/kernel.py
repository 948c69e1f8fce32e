"""How kernels are started, without ports, and the cure for notebooks with widgets that stall when nobody is watching."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from subprocess import DEVNULL
from time import monotonic
from typing import TYPE_CHECKING, Any

from effnet_lab.paths import scratch_folder

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

KERNEL_ENVIRONMENT = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # 136 kB for six figures, where "notebook" takes 5.2 MB
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this interpreter's python3 kernel, not one registered in the user's home
}
SLICE_S = 0.2  # a lost wake-up costs at most this
LONGEST_SOCKET = 100  # characters; the name of a Unix socket has 107 at most, 103 on macOS
_FORKS = sys.platform == "linux"  # elsewhere, libraries do not bear to be forked


def kernel_manager(
    folder: Path, environment: Mapping[str, str], started: Callable[[int], object]
) -> type[AsyncKernelManager]:
    """A class of kernel managers whose one kernel talks over sockets in `folder`: no ports that two could choose at once.

    Parameters
    ----------
    folder : Path
        Short, and the kernel's own. On Windows, or where the folder's name is too long for a socket, ports it is.
    environment : mapping
        Set for the kernel, beside that of this process.
    started : callable
        Is given the process number of the kernel.
    """
    from jupyter_client.manager import AsyncKernelManager

    from effnet_lab.regress.provisioner import ForkingProvisioner

    file = folder / "k.json"
    sockets = os.name == "posix" and len(str(file)) <= LONGEST_SOCKET

    class SocketKernelManager(AsyncKernelManager):
        """Starts one kernel, and says which process it is."""

        async def _async_start_kernel(self, **options: Any) -> None:
            self.connection_file = str(file)
            if sockets:
                self.transport, self.ip = "ipc", str(file.with_suffix("")) + "-ipc"
            if _FORKS:
                self.provisioner = ForkingProvisioner(kernel_spec=self.kernel_spec, parent=self)
            streams = {"stdout": DEVNULL, "stderr": DEVNULL}  # what libraries write past Python is for nobody
            await super()._async_start_kernel(env=os.environ | environment, **streams, **options)
            pid = getattr(self.provisioner, "pid", None)
            if pid:
                started(pid)

        start_kernel = _async_start_kernel

    return SocketKernelManager


@contextmanager
def shared_kernels(environment: Mapping[str, str]) -> Iterator[None]:
    """While the context lasts, the processes that this one starts have their kernels from it, where kernels are forked.

    Parameters
    ----------
    environment : mapping
        What those processes have beside the environment of this one.
    """
    with scratch_folder() as folder:
        place = folder / "kernels"
        if not _FORKS or len(str(place)) > LONGEST_SOCKET:
            yield
            return
        from effnet_lab.regress.kernel_broker import brokering

        with brokering(place, {**os.environ, **KERNEL_ENVIRONMENT, **environment}):
            yield


@contextmanager
def sliced_polling(slice_s: float = SLICE_S) -> Iterator[None]:
    """While the context lasts, kernel clients of this process poll in slices instead of one long wait.

    nbclient answers an ``Output`` widget by sending on the shell socket while it awaits that socket; the wake-up for
    the cell's reply can get lost, and the cell then hangs until its timeout, or for ever
    (https://github.com/jupyter/nbclient/issues/312). Asking again every `slice_s` seconds finds the reply.

    Parameters
    ----------
    slice_s : float
        Longest single wait, in seconds.
    """
    from jupyter_client.channels import AsyncZMQSocketChannel

    channel: Any = AsyncZMQSocketChannel
    whole_wait = channel.get_msg

    async def get_msg(self: AsyncZMQSocketChannel, timeout: float | None = None) -> dict[str, Any]:
        """Wait like the original, in slices."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = slice_s if deadline is None else max(0.0, min(slice_s, deadline - monotonic()))
            try:
                reply: dict[str, Any] = await whole_wait(self, timeout=left)
                return reply
            except Empty:
                if deadline is not None and monotonic() >= deadline:
                    raise

    channel.get_msg = get_msg
    try:
        yield
    finally:
        channel.get_msg = whole_wait
