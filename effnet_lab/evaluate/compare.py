"""Two classifiers on the same images: whether one is right more often, or it is chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.intervals import LEVEL, difference_row
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError

SIGNIFICANT = 0.05  # a p-value below it tells two apart
POWER = 0.8  # with which `images_needed` would tell them apart


def images_needed(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
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


def paired_difference(first: Predictions, second: Predictions) -> dict[str, float]:
    """The cells of `intervals.difference_row`, first minus second; refused unless both saw the same images."""
    if first.images.fingerprint != second.images.fingerprint or len(first) != len(second):
        raise UserError("Two networks can only be compared on the same images. Give both the same --data and --limit.")
    return difference_row(first.hits, second.hits)


def compare_predictions(first: Predictions, second: Predictions) -> pd.DataFrame:
    """COMPARISON frame with one row, first against second, on the same images; `describe_difference` says it in words.

    Raises
    ------
    UserError
        If they did not see the same images.
    """
    difference = paired_difference(first, second)
    a, b = first.hits, second.hits
    row = first.info.key | {
        "against": name_of(second.info),
        "data": first.images.name,
        "n_images": len(first),
        "agreement": float((first.ranked[:, 0] == second.ranked[:, 0]).mean()),
        "top1": float(a.mean()),
        "against_top1": float(b.mean()),
        "n_only_this": int((a & ~b).sum()),
        "n_only_other": int((b & ~a).sum()),
        "n_images_needed": images_needed(a, b),
    }
    row |= difference
    return frames.build(frames.COMPARISON, [row])


def compare_all(answers: Sequence[Predictions]) -> pd.DataFrame:
    """COMPARISON frame with a row for every pair of networks that saw the same images."""
    same = [
        (first, second)
        for first, second in itertools.combinations(answers, 2)
        if first.images.fingerprint == second.images.fingerprint and len(first) == len(second)
    ]
    tables = [compare_predictions(first, second) for first, second in same]
    return pd.concat(tables, ignore_index=True) if tables else frames.build(frames.COMPARISON, [])


def name_of(info: ModelInfo) -> str:
    """A file in one text: its network, scheme and back end."""
    return " ".join(filter(None, info.key.values()))


def describe_difference(comparison: pd.DataFrame) -> str:
    """The first row of a COMPARISON frame: the difference in points, its interval, and whether these images can show it."""
    row = comparison.iloc[0]
    sign = -1 if row["difference"] <= 0 else 1  # a loss is told as a positive number of points
    low, high = sorted(sign * 100 * row[end] for end in ("difference_lo", "difference_hi"))
    name = row["scheme"] if row["against"].startswith(row["model"] + " ") else row["model"]
    n = f"{row['n_images']:,} images"
    if math.isinf(row["n_images_needed"]):
        same = "the same" if not row["n_only_this"] else "as many"
        return f"{name} is right on {same} images as {row['against']}; {n} exclude a difference of more than {high:.1f} points"
    what = f"{name} {'loses' if sign < 0 else 'gains'} {abs(100 * row['difference']):.1f} points ({low:z.1f} to {high:z.1f})"
    if row["p_value"] < SIGNIFICANT:
        return f"{what}: distinguishable on {n} (p = {row['p_value']:.2g})"
    digits = 2 - len(str(int(row["n_images_needed"])))  # two figures: it is an estimate
    return f"{what}: not distinguishable on {n}; {round(int(row['n_images_needed']), digits):,} would settle it"
