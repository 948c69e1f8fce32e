"""Floats compared as integers, compiled: of floats the compiler would take the smaller one at a time, of integers a dozen."""

from __future__ import annotations

import numpy as np

from effnet_lab.compiled import njit

WITHOUT_SIGN = np.int32(0x7FFFFFFF)  # all bits of a float32 but its sign


@njit(cache=True, nogil=True)
def order_key(bits: np.int32) -> np.int32:
    """An integer for the bits of a float32, in the order of the numbers, NaN beyond the infinities; its own inverse.

    The lower 31 bits of a negative number are turned over.
    """
    return np.int32(bits ^ ((bits >> np.int32(31)) & WITHOUT_SIGN))
