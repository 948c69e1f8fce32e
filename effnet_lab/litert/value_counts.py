"""What the values of a tensor are like, compiled: each is read once or twice, and other threads may go on meanwhile."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

A: TypeAlias = NDArray[Any]
F: TypeAlias = np.float32


@njit(cache=True, nogil=True)
def extremes(values: A) -> tuple[F, F]:
    """Smallest and largest of float32 (n,); NaN for both where one is."""
    low = high = values[0]
    for i in range(values.size):
        if values[i] != values[i]:
            return values[i], values[i]
        low = min(low, values[i])
        high = max(high, values[i])
    return low, high


@njit(cache=True, nogil=True)
def counts_over(values: A, factor: F, counts: A) -> None:
    """Count float32 (n,) into equal bins: `factor` takes them to between -1 and 1, which are the ends of `counts`."""
    half, last = np.float32(counts.size // 2), counts.size - 1
    for i in range(values.size):
        counts[min(int((values[i] * factor + np.float32(1)) * half), last)] += 1
