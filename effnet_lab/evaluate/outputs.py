"""How far the outputs of two networks are apart, whether they are classes or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.decibels import decibels_each
from effnet_lab.litert import ModelInfo

_SUMS = ("samples", "values", "signal", "noise", "places", "agreeing", "largest")


class OutputErrors:
    """Sums over the samples, in float64: for each output the signal, the noise, and how often the largest value agrees."""

    def __init__(self, sums: NDArray[np.float64] | None = None) -> None:
        self.sums = sums  # (outputs, 7), see _SUMS; None before the first sample

    def plus(self, first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> OutputErrors:
        """With one sample more; networks whose outputs have unlike shapes leave nothing."""
        if [a.shape for a in first] != [b.shape for b in second]:
            return self
        sums = np.zeros((len(first), len(_SUMS))) if self.sums is None else self.sums.copy()
        for row, a, b in zip(sums, first, second, strict=True):
            a, b = _alike(a.astype(np.float64), b.astype(np.float64))
            row[:4] += 1, a.size, np.sum(b * b), np.sum((b - a) ** 2)
            if a.ndim and a.shape[-1] > 1:
                same = a.argmax(axis=-1) == b.argmax(axis=-1)
                row[4:6] += same.size, same.sum()
            row[6] = max(row[6], np.abs(b - a).max(initial=0.0))
        return OutputErrors(sums)

    def table(self, info: ModelInfo, against: str, data: str) -> pd.DataFrame:
        """OUTPUT_ERROR frame: one row per output, the second network is the reference."""
        rows = []
        for index, (samples, values, signal, noise, places, agreeing, largest) in enumerate(
            () if self.sums is None else self.sums
        ):
            rows.append(
                info.key
                | {"against": against, "data": data, "output_index": index, "n_images": int(samples)}
                | {
                    "agreement": agreeing / places if places else float("nan"),
                    "sqnr_outputs_db": float(decibels_each(signal, noise)),
                }
                | {"mse": noise / values if values else float("nan"), "max_error": largest}
            )
        return frames.build(frames.OUTPUT_ERROR, rows)


def probabilities(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores (n, classes) as probabilities: what sums to about 1 is taken as such, else the softmax.

    A uint8 softmax output has steps of 1/256, so its sum may be off by several percent, and by more with a thousand classes.
    """
    if _are_probabilities(scores):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _are_probabilities(scores: NDArray[Any]) -> bool:
    slack = min(max(0.1, scores.shape[-1] / 1000), 0.5)
    return bool(scores.min() >= 0 and scores.max() <= 1 and np.abs(scores.sum(axis=-1) - 1).max() < slack)


def _alike(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits against probabilities are compared as probabilities."""
    if a.ndim != 2 or a.shape[1] < 2 or _are_probabilities(a) == _are_probabilities(b):
        return a, b
    return probabilities(a), probabilities(b)
