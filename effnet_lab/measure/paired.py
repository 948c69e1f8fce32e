"""Two classifiers on the same images: whether one is right more often, or it is chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05  # a p-value below it tells two apart


def mcnemar(first: NDArray, second: NDArray) -> float:
    """Two-sided p-value of McNemar's exact test. Source: McNemar, Psychometrika 12, 1947.

    Parameters
    ----------
    first, second : bool (n,)
        Whether each image was classified correctly.

    Examples
    --------
    >>> mcnemar(np.array([1, 1, 1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 0, 0, 0], bool))
    0.03125
    """
    from scipy.stats import binomtest

    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
