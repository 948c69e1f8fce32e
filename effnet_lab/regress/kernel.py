"""What every kernel is started with, and the cure for notebooks with widgets that stall when nobody is watching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from time import monotonic
from typing import Any

KERNEL_ENVIRONMENT = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # 136 kB for six figures, where "notebook" takes 5.2 MB
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this interpreter's python3 kernel, not one registered in the user's home
}
SLICE_S = 0.2  # a lost wake-up costs at most this


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
