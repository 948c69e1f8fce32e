"""Confidence intervals and paired tests: each formula once, computed by scipy and statsmodels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95  # of every interval
DRAWS = 20_000  # from the posterior of a difference


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


def share_row(hits: int, n: int, name: str = "top1") -> dict[str, float]:
    """The cells ``top1``, ``top1_lo`` and ``top1_hi`` of a row; NaN where there is nothing to count.

    Examples
    --------
    >>> {cell: round(value, 3) for cell, value in share_row(95, 100).items()}
    {'top1': 0.95, 'top1_lo': 0.888, 'top1_hi': 0.978}
    """
    low, high = wilson(hits, n) if n else (math.nan, math.nan)
    return {name: hits / n if n else math.nan, f"{name}_lo": low, f"{name}_hi": high}


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided p-value of McNemar's exact test. Source: McNemar, Psychometrika 12, 1947.

    Parameters
    ----------
    first, second : bool (n,)
        Whether each image was classified correctly.

    Examples
    --------
    >>> import numpy as np
    >>> mcnemar(np.array([1, 1, 1, 1, 1, 1, 0], bool), np.array([0, 0, 0, 0, 0, 0, 0], bool))
    0.03125
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def difference_interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of the difference of two top-1 on the same images, first minus second, fractions.

    Credible interval of a Dirichlet posterior: the shares of images that only the first, only the second, and both or
    neither get right, from Jeffreys' prior (half an image more of each kind). A bootstrap cannot draw what it has not seen,
    and would call two networks equal because they were on these images.
    Source: Gelman et al., "Bayesian Data Analysis", section 3.4.

    Parameters
    ----------
    first, second : bool (n,)
        Whether each image was classified correctly.
    """
    import numpy as np

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    counts = np.array([only_first, only_second, len(first) - only_first - only_second]) + 0.5
    shares = np.random.default_rng(0).dirichlet(counts, DRAWS)
    low, high = np.quantile(shares[:, 0] - shares[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def difference_row(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, float]:
    """The cells ``difference`` with its interval and ``p_value`` of a row, first minus second, on the same images."""
    low, high = difference_interval(first, second)
    return {
        "difference": float(first.mean() - second.mean()), "difference_lo": low, "difference_hi": high,
        "p_value": mcnemar(first, second),
    }  # fmt: skip


def mean_interval(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Student's t interval of a mean.

    Examples
    --------
    >>> import numpy as np
    >>> tuple(round(end, 3) for end in mean_interval(np.array([1.0, 2.0, 3.0])))
    (-0.484, 4.484)
    """
    import numpy as np
    from scipy.stats import sem, t

    scale = max(float(sem(values)), float(np.finfo(float).tiny))  # of equal values: the value itself
    low, high = t.interval(level, len(values) - 1, loc=float(np.mean(values)), scale=scale)
    return float(low), float(high)


def quantile_interval(values: NDArray[np.float64], share: float) -> tuple[float, float]:
    """95 % interval of a quantile between two of the values themselves; NaN for an end that so few values do not have.

    Exact for any distribution: how many values lie below a quantile is binomial. Source: scipy.stats.quantile_test.

    Examples
    --------
    >>> import numpy as np
    >>> quantile_interval(np.arange(48.0), 0.5)
    (16.0, 31.0)
    >>> quantile_interval(np.arange(48.0), 0.99)  # the slowest of a hundred runs is not among 48
    (45.0, nan)
    """
    from scipy.stats import quantile_test

    found = quantile_test(values, p=share).confidence_interval(LEVEL)
    return float(found.low), float(found.high)


def crossed_interval(values: NDArray[Any], level: float = LEVEL) -> tuple[float, float, float]:
    """Mean of values that every seed has of every image, its interval, over new seeds *and* new images.

    Two random factors, crossed: the variance of the mean is that of the images plus what the seeds add to it, and Student's t
    has Satterthwaite's degrees of freedom. With one seed it is an interval over images alone.
    Source: Searle, Casella and McCulloch, "Variance Components", 1992, section 4.7; Satterthwaite, Biometrics 2, 1946.

    Parameters
    ----------
    values : number or bool (seeds, images)
        Whether each image was recognised, or the difference of two networks there.

    Returns
    -------
    mean, low, high : float

    Examples
    --------
    >>> import numpy as np
    >>> tuple(round(end, 3) for end in crossed_interval(np.array([[1, 1, 1, 0], [1, 0, 1, 0]])))
    (0.625, -0.137, 1.387)
    """
    from scipy.stats import t

    mean, error, freedom = _crossed(values)
    half = float(t.ppf((1 + level) / 2, freedom)) * error
    return mean, mean - half, mean + half


def crossed_p_value(values: NDArray[Any]) -> float:
    """Two-sided p-value of a mean of zero: one less the level at which `crossed_interval` ends there.

    Examples
    --------
    >>> import numpy as np
    >>> round(crossed_p_value(np.array([[1, 1, 1, 0], [1, 0, 1, 0]])), 3)
    0.084
    """
    from scipy.stats import t

    mean, error, freedom = _crossed(values)
    if not error:
        return 0.0 if mean else 1.0
    return float(2 * t.sf(abs(mean) / error, freedom))


def _crossed(values: NDArray[Any]) -> tuple[float, float, float]:
    """Mean, its standard error and the degrees of freedom of that; see `crossed_interval`."""
    import numpy as np

    values = np.asarray(values, float)
    (seeds, images), mean = values.shape, float(values.mean())
    squares = seeds * float(
        values.mean(axis=0).var(ddof=1)
    )  # mean squares of the images, of the seeds, and what is left
    variance, freedom = squares / values.size, images - 1.0
    if seeds > 1:
        rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + mean
        left = float((rest**2).sum()) / ((seeds - 1) * (images - 1))
        added = max(0.0, images * float(values.mean(axis=1).var(ddof=1)) - left)
        variance = (squares + added) / values.size
        parts = squares**2 / (images - 1) + added**2 / (seeds - 1)
        freedom = (squares + added) ** 2 / parts if parts else 1.0
    return mean, math.sqrt(variance), freedom
