"""Whether one file is slower than another, from interleaved runs in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet_lab.intervals import mean_interval

CONFIDENCE = 0.99  # of the interval that has to lie beyond the margin
MARGIN = 0.01  # smaller differences are called "same": two openings of one file may differ by as much


@dataclass(frozen=True, slots=True)
class Judgement:
    """Ratio of CPU times with its 95 % interval, and what follows from it."""

    ratio: float
    low: float
    high: float
    verdict: str  # faster, slower, same


def judge(reference_ns: NDArray[np.float64], ns: NDArray[np.float64], block: NDArray[np.int_]) -> Judgement:
    """Compare two files round by round.

    Within a block the logarithms of the ratios of neighbouring runs have a median; the medians of the blocks are
    independent, because each block opened the files anew, and Student's t over them gives the interval. The verdict is
    "slower" or "faster" if the 99 % interval excludes a ratio of 1 and the ratio itself is more than a percent from it.

    Parameters
    ----------
    reference_ns, ns : (rounds,)
        CPU times of the two files in the same rounds.
    block : int (rounds,)
        At least 3 different ones.
    """
    logs = np.log(ns / reference_ns)
    medians = np.array([np.median(logs[block == b]) for b in np.unique(block)])
    mean = float(medians.mean())
    low, high = mean_interval(medians, CONFIDENCE)
    differs = not low <= 0 <= high and abs(math.expm1(mean)) > MARGIN
    verdict = "same" if not differs else "slower" if mean > 0 else "faster"
    lowest, highest = mean_interval(medians)
    return Judgement(math.exp(mean), math.exp(lowest), math.exp(highest), verdict)
