"""Activations in large pages of memory: a network that keeps all of them meets thousands of small ones in its first run."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterable

from ai_edge_litert.interpreter import Interpreter

_LEAST = 1 << 18  # bytes: smaller arrays are too few of those of a network
_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux


def ask_for_large_pages(interpreter: Interpreter, tensors: Iterable[int]) -> None:
    """Before anything is written to these tensors; a wish that the system may decline."""
    if _ADVICE is None:
        return
    advise = ctypes.CDLL(None).madvise
    for index in tensors:
        with contextlib.suppress(ValueError):  # it has no memory yet
            array = interpreter.tensor(index)()
            if array.nbytes >= _LEAST:
                start = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
                end = array.ctypes.data + array.nbytes
                advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _ADVICE)
