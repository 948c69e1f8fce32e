"""Top-1 and top-5 with the interval that the number of images allows, per class, and how honest the confidence is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.intervals import share_row

BINS = 15  # of confidence, equally wide


def accuracy(answers: Predictions) -> pd.DataFrame:
    """ACCURACY frame with one row; ``answers.clock`` says what it took."""
    hits, n = int(answers.hits.sum()), len(answers)
    row = _key(answers) | {"n_images": n} | share_row(hits, n)
    row |= {"top5": float(answers.hits5.mean()), "calibration_error": calibration_error(answers)}
    return frames.build(frames.ACCURACY, [row])


def per_class(answers: Predictions) -> pd.DataFrame:
    """PER_CLASS frame: one row per class that has images, in the order of the data set.

    ``top1`` is the share of the class's images that were recognised (recall), with Wilson's interval; ``precision`` the
    share of right answers among those that name the class, NaN if none does; ``taken_for`` the most frequent mistake.
    """
    matrix = _matrix(answers)
    rows = []
    for i, label in enumerate(answers.images.classes):
        n, hits, named = int(matrix[i].sum()), int(matrix[i, i]), int(matrix[:, i].sum())
        if not n:
            continue
        mistakes = np.where(np.arange(matrix.shape[1]) == i, 0, matrix[i])
        worst = int(mistakes.argmax())
        rows.append(
            _key(answers)
            | {"label": label, "n_images": n}
            | share_row(hits, n)
            | {"precision": hits / named if named else float("nan")}
            | {"taken_for": _name(answers, worst) if mistakes[worst] else "", "n_taken_for": int(mistakes[worst])}
        )
    return frames.build(frames.PER_CLASS, rows)


def confusion(answers: Predictions) -> pd.DataFrame:
    """CONFUSION frame: one row per true and predicted class that occur together."""
    matrix = _matrix(answers)
    rows = [
        _key(answers)
        | {"label": answers.images.classes[i], "predicted": _name(answers, j), "n_images": int(matrix[i, j])}
        for i, j in np.argwhere(matrix)
    ]
    return frames.build(frames.CONFUSION, rows)


def reliability(answers: Predictions) -> pd.DataFrame:
    """RELIABILITY frame: images by the probability of their first class, and how many of them were right."""
    index = np.minimum((np.nan_to_num(answers.confidence, nan=0.0) * BINS).astype(int), BINS - 1)
    rows = []
    for i in range(BINS):
        here = index == i
        n, hits = int(here.sum()), int((here & answers.hits).sum())
        rows.append(
            _key(answers)
            | {"confidence_left": i / BINS, "confidence_right": (i + 1) / BINS, "n_images": n}
            | {"confidence": float(answers.confidence[here].mean(dtype=np.float64)) if n else float("nan")}
            | share_row(hits, n)
        )
    return frames.build(frames.RELIABILITY, rows)


def calibration_error(answers: Predictions) -> float:
    """Expected calibration error, a fraction: mean distance of confidence and top-1 over 15 bins, by their images.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    bins = reliability(answers)
    return float((bins["n_images"] * (bins["confidence"] - bins["top1"]).abs()).sum() / len(answers))


def _matrix(answers: Predictions) -> NDArray[np.int64]:
    """Counts of (true, predicted); the last column is for classes that the data set does not have."""
    n = len(answers.images.classes)
    matrix = np.zeros((n, n + 1), np.int64)
    np.add.at(matrix, (answers.labels, answers.ranked[:, 0]), 1)  # -1 is the last column
    return matrix


def _name(answers: Predictions, index: int) -> str:
    classes = answers.images.classes
    return classes[index] if index < len(classes) else "(another class)"


def _key(answers: Predictions) -> dict[str, Any]:
    return answers.info.key | {"data": answers.images.name}
