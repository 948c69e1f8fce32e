"""Two classifiers on the same images: whether one is right more often, or it is chance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.intervals import LEVEL
from effnet_lab.names import UserError

SIGNIFICANT = 0.05  # a p-value below it tells two apart
POWER = 0.8  # with which `images_needed` would tell them apart
RESAMPLES = 20_000


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


def difference_interval(first: NDArray, second: NDArray) -> tuple[float, float]:
    """95 % interval of the difference of two top-1 on the same images, first minus second, fractions.

    Bayesian bootstrap over the images: the shares of those that only the first, only the second, and both or neither get
    right are drawn from a Dirichlet distribution around what was counted, with half an image more of each kind. The plain
    bootstrap cannot draw what it has not seen, and would call two networks equal because they were on these images.
    Source: Rubin, "The Bayesian Bootstrap", Annals of Statistics 9, 1981.

    Parameters
    ----------
    first, second : bool (n,)
        Whether each image was classified correctly.
    """
    n = len(first)
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    counts = np.array([only_first, only_second, n - only_first - only_second]) + 0.5
    shares = np.random.default_rng(0).dirichlet(counts, RESAMPLES)
    low, high = np.quantile(shares[:, 0] - shares[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def images_needed(first: NDArray, second: NDArray) -> float:
    """Images after which McNemar's test would tell the two apart with 80 % power, if they go on as here; inf if equal.

    Source: Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43, 1987.
    """
    from scipy.stats import norm

    either = float(np.mean(first != second))
    difference = abs(float(np.mean(first)) - float(np.mean(second)))
    if difference == 0:
        return math.inf
    z_level, z_power = norm.ppf((1 + LEVEL) / 2), norm.ppf(POWER)
    n = ((z_level * math.sqrt(either) + z_power * math.sqrt(either - difference**2)) / difference) ** 2
    return float(math.ceil(n))


def compare_predictions(first: Predictions, second: Predictions) -> pd.DataFrame:
    """COMPARISON frame with one row, first against second, on the same images; ``attrs["sentence"]`` says it in words.

    Raises
    ------
    UserError
        If they did not see the same images.
    """
    if first.images.fingerprint != second.images.fingerprint or len(first) != len(second):
        raise UserError("Two networks can only be compared on the same images. Give both the same --data and --limit.")
    a, b = first.hits, second.hits
    low, high = difference_interval(a, b)
    row = first.info.key | {
        "against": " ".join(filter(None, second.info.key.values())),
        "data": first.images.name,
        "n_images": len(first),
        "agreement": float((first.ranked[:, 0] == second.ranked[:, 0]).mean()),
        "top1": float(a.mean()),
        "against_top1": float(b.mean()),
        "difference": float(a.mean() - b.mean()),
        "difference_lo": low,
        "difference_hi": high,
        "n_only_this": int((a & ~b).sum()),
        "n_only_other": int((b & ~a).sum()),
        "p_value": mcnemar(a, b),
        "n_images_needed": images_needed(a, b),
    }
    table = frames.build(frames.COMPARISON, [row])
    table.attrs["sentence"] = _sentence(row)
    return table


def _sentence(row: dict) -> str:
    """The difference in points, its interval, and whether these images can show it."""
    sign = -1 if row["difference"] <= 0 else 1  # a loss is told as a positive number of points
    low, high = sorted(sign * 100 * row[end] for end in ("difference_lo", "difference_hi"))
    name = row["scheme"] if row["against"].startswith(row["model"] + " ") else row["model"]
    what = (
        f"{name} {'loses' if sign < 0 else 'gains'} {abs(100 * row['difference']):.1f} points ({low:.1f} to {high:.1f})"
    )
    n = f"{row['n_images']:,} images"
    if row["p_value"] < SIGNIFICANT:
        return f"{what}: distinguishable on {n} (p = {row['p_value']:.2g})"
    if math.isinf(row["n_images_needed"]):
        return f"{what}: not distinguishable on {n}, which exclude a difference of more than {high:.1f} points"
    digits = 2 - len(str(int(row["n_images_needed"])))  # two figures: it is an estimate
    return f"{what}: not distinguishable on {n}; {round(int(row['n_images_needed']), digits):,} would settle it"
