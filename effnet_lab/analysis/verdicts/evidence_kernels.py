"""What a verdict needs of the values of a layer, in one pass, compiled."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet_lab.compiled import njit

OUTSIDE, CLIPPED, ROUNDING = range(3)  # places in the array of sums
_BLOCK, _LANES = 1024, 4

A: TypeAlias = NDArray[Any]
F: TypeAlias = np.float32


@njit(cache=True, nogil=True)
def add_values(values: A, low: A, high: A, energy: A) -> None:
    """Extremes and energy of each channel; `values` (n, channels), the rest (channels,)."""
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            value = values[row, channel]
            low[channel] = min(low[channel], value)
            high[channel] = max(high[channel], value)
            energy[channel] += np.float64(value) * value


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # NaN and infinity stay what they are
def add_grid(values: A, low: F, scale: F, last: int, clipped: A, bins: A, sums: A) -> None:
    """Put the values (n, channels) on a grid of codes 0 to `last` from `low` on.

    `clipped` (channels,) takes the energy that is cut off, `bins` the counts over the grid, `sums` what is named above; the
    number of bins is a power of two.
    """
    flat, top, width = values.reshape(-1), np.float32(last), bins.size / (last + 1)
    below, above = np.float32(-0.5), np.float32(last + 0.5)
    places = np.empty(_BLOCK, np.int32)
    # Values next to each other often are in one bin: in lanes, none waits for the one before.
    counts = np.zeros((_LANES, bins.size), np.int64)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        energy, outside = 0.0, 0
        for i in range(block.size):
            place = (block[i] - low) / scale
            nearest = min(max(np.rint(place), np.float32(0)), top)
            error = np.float64((place - nearest) * scale)
            beyond = (place < below) | (place > above)
            energy += 0.0 if beyond else error * error
            outside += beyond
            places[i] = np.int32(nearest * width)
        sums[ROUNDING] += energy
        for i in range(block.size):
            counts[i % _LANES, places[i] & (bins.size - 1)] += 1
        if outside:
            for i in range(block.size):
                place = (block[i] - low) / scale
                if place < below or place > above:
                    error = np.float64((place - min(max(np.rint(place), np.float32(0)), top)) * scale)
                    sums[OUTSIDE] += 1
                    sums[CLIPPED] += error * error
                    clipped[(start + i) % values.shape[1]] += error * error
    for lane in range(_LANES):
        bins += counts[lane]


@njit(cache=True, nogil=True)
def add_errors(values: A, codes: A, scale: F, zero_point: F, error: A, error2: A, low: A, high: A) -> None:
    """Sums of error and its square, and extremes of the codes, of each channel; `values` and `codes` (n, channels)."""
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            code = np.float32(codes[row, channel])
            e = np.float64((code - zero_point) * scale - values[row, channel])
            error[channel] += e
            error2[channel] += e * e
            low[channel] = min(low[channel], code)
            high[channel] = max(high[channel], code)
