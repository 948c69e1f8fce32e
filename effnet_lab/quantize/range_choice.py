"""How a range follows from calibration statistics: arrays of n images and t tensors to (low, high) of shape (t,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 512  # of a histogram from -2**exponent to 2**exponent; even, so that two neighbours become one when it doubles
SMOOTHING = 0.95  # the AI Edge Quantizer's, algorithms/utils: qsv = 0.95 qsv + 0.05 new
TAIL = 1e-4  # share of the values that `percentile` leaves out at each end
_SHRINKS = np.linspace(0.2, 1.0, 81)


def minmax(low: NDArray[Any], high: NDArray[Any], *_rest: object) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest value of all."""
    return low.min(axis=0), high.max(axis=0)


def moving_average(low: NDArray[Any], high: NDArray[Any], *_rest: object) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ends move by a twentieth towards each further image's: depends on the order."""
    ends = []
    for seen in (low.astype(np.float64), high.astype(np.float64)):
        end = seen[0]
        for row in seen[1:]:
            end = SMOOTHING * end + (1 - SMOOTHING) * row
        ends.append(end)
    return ends[0], ends[1]


def percentile(
    low: NDArray[Any], high: NDArray[Any], exponent: NDArray[Any], counts: NDArray[Any], rows: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Leaves out `TAIL` of the values at each end, to the width of a bin."""
    total, edges = pooled(exponent, counts, rows)
    share = np.cumsum(total, axis=1) / total.sum(axis=1, keepdims=True)
    first = np.argmax(share > TAIL, axis=1)
    last = np.argmax(share >= 1 - TAIL, axis=1)
    every = np.arange(len(total))
    lowest, highest = minmax(low, high)
    return np.maximum(edges[every, first], lowest), np.minimum(edges[every, last + 1], highest)


def mse(
    low: NDArray[Any], high: NDArray[Any], exponent: NDArray[Any], counts: NDArray[Any], rows: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The share of the min-max range whose 255 steps give the least squared error, rounding plus clipping."""
    total, edges = pooled(exponent, counts, rows)
    centres = (edges[:, 1:] + edges[:, :-1]) / 2
    lowest, highest = minmax(low, high)
    errors = []
    for shrink in _SHRINKS:
        bottom, top = (shrink * end[:, np.newaxis].astype(np.float64) for end in (lowest, highest))
        lost = np.clip(centres, bottom, top) - centres
        step = (np.maximum(top, 0) - np.minimum(bottom, 0))[:, 0] / 255
        errors.append((total * lost**2).sum(axis=1) + total.sum(axis=1) * step**2 / 12)
    best = _SHRINKS[np.argmin(errors, axis=0)]
    return best * lowest, best * highest


def pooled(exponent: NDArray[Any], counts: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Counts (t, BINS) of all rows on the widest row's grid, and the edges (t, BINS + 1), real values."""
    widest = exponent.max(axis=0).astype(np.int64)
    total = np.zeros((len(widest), BINS), np.int64)
    for row, own in zip(rows, exponent, strict=True):
        for tensor, doublings in enumerate(widest - own):
            values = counts[row, tensor].astype(np.int64)
            for _ in range(min(int(doublings), BINS.bit_length())):
                values = np.pad(values.reshape(-1, 2).sum(axis=1), BINS // 4)
            total[tensor] += values
    return total, np.linspace(-1, 1, BINS + 1) * 2.0 ** widest[:, np.newaxis]


METHODS: dict[str, Callable[..., tuple[NDArray[Any], NDArray[Any]]]] = {
    "minmax": minmax,
    "moving_average": moving_average,
    "percentile": percentile,
    "mse": mse,
}
