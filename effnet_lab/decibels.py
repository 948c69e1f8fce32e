"""Ratios of energies in decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decibels(signal: float, noise: float) -> float:
    """Ratio of two energies, dB; ``inf`` where there is no noise, ``-inf`` where there is nothing but noise."""
    if noise == 0.0:
        return float("inf")
    return float(decibels_each(signal, noise)) if signal > 0 else float("-inf")


def decibels_each(signal: float | NDArray[Any], noise: float | NDArray[Any]) -> NDArray[np.float64]:
    """Ratios of energies, dB; NaN where there is neither signal nor noise."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(signal, np.float64) / np.asarray(noise, np.float64)))
