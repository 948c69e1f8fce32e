"""Sums over a tensor and its quantized counterpart in one pass, compiled: what makes many metrics cost one reading.

Within a block, sums run in float32 over few enough elements to keep six digits; across blocks they run in float64.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.sum_places import (
    COUNT,
    ERROR,
    ERROR2,
    HIGH,
    LOW,
    MAX_ERROR,
    OUTSIDE,
    PRODUCT,
    QUANTIZED2,
    REFERENCE2,
)
from effnet_lab.compiled import njit
from effnet_lab.litert.bit_order import WITHOUT_SIGN, order_key

BLOCK = 1024  # elements summed in float32, in several lanes at once
_FAST = {"reassoc", "contract", "nsz"}  # sums may be reordered; NaN and infinity still come out of the sums of squares

A: TypeAlias = NDArray[Any]
F: TypeAlias = np.float32


@njit(cache=True, nogil=True, fastmath=_FAST)
def add_sums(reference: A, codes: A, scale: F, zero_point: F, low: F, high: F, sums: A) -> None:
    """Add one pair of tensors to `sums`.

    Parameters
    ----------
    reference : ndarray of float32, shape (n,)
    codes : ndarray, shape (n,)
        Integer codes, or real values with scale 1 and zero point 0.
    scale, zero_point, low, high : float32
        Of the codes; `low` and `high` are the ends of what they can express: `OUTSIDE` counts the reference beyond them.
    sums : ndarray of float64, shape (10,)
        See the names above; starts as `EMPTY`.
    """
    bits = reference.view(np.int32)
    ends = np.empty(3, np.int32)  # bits of the smallest and the largest value and of the largest error of a block
    real = ends.view(np.float32)
    for start in range(0, reference.size, BLOCK):
        a, q, keys = reference[start : start + BLOCK], codes[start : start + BLOCK], bits[start : start + BLOCK]
        a2 = b2 = ab = e2 = e1 = np.float32(0)
        least = most = order_key(keys[0])
        worst = np.int32(0)
        for i in range(a.size):  # once over everything: what is not in the cache any more takes longer than the sums
            b = (np.float32(q[i]) - zero_point) * scale
            e = b - a[i]
            a2 += a[i] * a[i]
            b2 += b * b
            ab += a[i] * b
            e2 += e * e
            e1 += e
            key = order_key(keys[i])
            least = min(least, key)
            most = max(most, key)
            worst = max(worst, np.int32(np.float32(e).view(np.int32) & WITHOUT_SIGN))
        sums[REFERENCE2] += a2
        sums[QUANTIZED2] += b2
        sums[PRODUCT] += ab
        sums[ERROR2] += e2
        sums[ERROR] += e1
        ends[0], ends[1], ends[2] = order_key(least), order_key(most), worst
        sums[LOW] = min(sums[LOW], real[0])
        sums[HIGH] = max(sums[HIGH], real[1])
        sums[MAX_ERROR] = max(sums[MAX_ERROR], real[2])
        if real[0] < low or real[1] > high:
            for i in range(a.size):
                sums[OUTSIDE] += (a[i] < low) | (a[i] > high)
    sums[COUNT] += reference.size


@njit(cache=True, nogil=True)
def mark_constant(codes: A, channels: A, first: A, constant: A) -> int:
    """Mark those of `channels` whose codes (n, all channels) all equal `first`, one code for each of them; how many they are."""
    n = 0
    for place in range(channels.size):
        constant[place] = True
        for row in range(codes.shape[0]):
            if codes[row, channels[place]] != first[place]:
                constant[place] = False
                break
        n += constant[place]
    return n


@njit(
    cache=True, nogil=True, fastmath=_FAST - {"contract"}
)  # a contracted product is not rounded, as the stored value was
def add_channels(reference: A, codes: A, scale: A, zero_point: A, sums: A) -> None:
    """Sums of squares, products and squared errors of each channel; arrays (outer, channels, inner).

    Codes become real values in float32, as `Tensor.real` makes them: what is stored exactly has no error. `sums`, (4, channels),
    are those of `metrics.KernelSums`.
    """
    for outer in range(codes.shape[0]):
        for channel in range(codes.shape[1]):
            a2 = b2 = ab = e2 = 0.0
            for inner in range(codes.shape[2]):
                a = np.float64(reference[outer, channel, inner])
                b = np.float64((np.float32(codes[outer, channel, inner]) - zero_point[channel]) * scale[channel])
                a2 += a * a
                b2 += b * b
                ab += a * b
                e2 += (b - a) * (b - a)
            sums[0, channel] += a2
            sums[1, channel] += b2
            sums[2, channel] += ab
            sums[3, channel] += e2
