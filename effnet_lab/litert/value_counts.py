"""What the values of a tensor are like, compiled: each is read once or twice, and other threads may go on meanwhile."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet_lab.compiled import njit
from effnet_lab.litert.bit_order import order_key

A: TypeAlias = NDArray[Any]
F: TypeAlias = np.float32


@njit(cache=True, nogil=True)
def extremes(values: A) -> tuple[F, F]:
    """Smallest and largest of float32 (n,); where one is NaN, one of the two is."""
    bits = values.view(np.int32)
    low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
    for i in range(bits.size):
        key = order_key(bits[i])
        low = min(low, key)
        high = max(high, key)
    ends = np.empty(2, np.int32)
    ends[0] = order_key(low)
    ends[1] = order_key(high)
    real = ends.view(np.float32) + np.float32(0)  # no zero with a sign
    return real[0], real[1]


@njit(cache=True, nogil=True)
def counts_over(values: A, factor: F, counts: A) -> None:
    """Count float32 (n,) into equal bins: `factor` takes them to between -1 and 1, which are the ends of `counts`."""
    half, last = np.float32(counts.size // 2), counts.size - 1
    for i in range(values.size):
        counts[min(int((values[i] * factor + np.float32(1)) * half), last)] += 1
