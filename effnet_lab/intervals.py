"""Confidence intervals, computed by statsmodels and nowhere else."""

from __future__ import annotations

LEVEL = 0.95  # of every interval


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 %. Source: Wilson, JASA 22, 1927.

    Examples
    --------
    >>> tuple(round(end, 3) for end in wilson(95, 100))
    (0.888, 0.978)
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, n, alpha=1 - LEVEL, method="wilson")
    return float(low), float(high)
