"""What a verdict needs of the values of a layer, in one pass, compiled."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

OUTSIDE, CLIPPED, ROUNDING = range(3)  # places in the array of sums

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


@njit(cache=True, nogil=True)
def add_grid(values: A, low: F, scale: F, last: int, clipped: A, bins: A, sums: A) -> None:
    """Put the values (n, channels) on a grid of codes 0 to `last` from `low` on.

    `clipped` (channels,) takes the energy that is cut off, `bins` the counts over the grid, `sums` what is named above.
    """
    width = bins.size / (last + 1)
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            place = (values[row, channel] - low) / scale
            nearest = min(max(np.rint(place), np.float32(0)), np.float32(last))
            error = np.float64((place - nearest) * scale)
            if place < -0.5 or place > last + 0.5:
                sums[OUTSIDE] += 1
                sums[CLIPPED] += error * error
                clipped[channel] += error * error
            else:
                sums[ROUNDING] += error * error
            bins[int(nearest * width)] += 1


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
