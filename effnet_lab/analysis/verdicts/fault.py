"""One fault of one layer, and the words that all faults share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.verdicts.evidence import Evidence

BAD_DB = 20.0  # error from 10 % of the signal on
CONSTANT = 1e-6  # of the largest value: what moves less is float noise


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of one layer."""

    verdict: str
    bits_lost: float
    evidence: float  # the number, and what it is
    unit: str
    sentence: str
    remedy: str
    margin: float = float("inf")  # bits beyond the limit
    channels: frozenset[int] = frozenset()  # that make the trouble
    large: str = ""  # residual: the input with the wide range, and the one with the narrow
    small: str = ""


def constant_channels(evidence: Evidence) -> NDArray[np.bool_]:
    """Which channels never change, over all positions and images."""
    size = max(abs(evidence.low), abs(evidence.high))
    return np.asarray(evidence.channel_max - evidence.channel_min <= CONSTANT * size)


def bits_between(whole: float, part: float) -> float:
    """Bits that values within `part` lose on a grid over `whole`."""
    return float(np.log2(whole / part)) if whole > 0 and part > 0 else float("inf") if whole > 0 else 0.0


def times(ratio: float) -> str:
    """A ratio of energies in words."""
    return f"{ratio:,.0f} times" if ratio < 1e6 else "over a million times"


def name_channels(which: Array) -> str:
    """The first few channels by number."""
    shown = ", ".join(str(i) for i in sorted(which.tolist())[:4])
    return f"channel{'s' if which.size > 1 else ''} {shown}{' …' if which.size > 4 else ''}"
