"""Several networks on the same picture: what each answers, and on which images two of them disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.classify import ranked_rows
from effnet_lab.evaluate.compare import name_of
from effnet_lab.evaluate.outputs import probabilities
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.evaluate.predictors import Network, open_predictor, require_ranking
from effnet_lab.images import Stated
from effnet_lab.names import UserError


class SideBySide:
    """Networks that are open and answer one picture after the other; call it with a picture.

    Parameters
    ----------
    networks : sequence of name, path, LoadedModel or Keras model
    top : int
        Classes per answer.
    preprocess : StatedInput or Preprocess, optional
        What the networks take, where it is not known.
    """

    def __init__(self, networks: Sequence[Network], top: int = 5, *, preprocess: Stated = None) -> None:
        self._predictors = [open_predictor(network, preprocess=preprocess) for network in networks]
        self._top = top

    def __call__(self, picture: NDArray[np.uint8], name: str = "picture") -> pd.DataFrame:
        """CLASSIFICATION frame of one picture, uint8 (h, w, 3) RGB, by all networks in their order."""
        rows = []
        for predictor in self._predictors:
            preprocess = predictor.info.preprocess
            require_ranking(predictor)
            assert preprocess is not None
            scores = probabilities(predictor.predict(preprocess(picture)[np.newaxis]))[0]
            rows += ranked_rows(predictor.info, name, scores, predictor.info.classes, self._top)
        return frames.build(frames.CLASSIFICATION, rows)

    def window(self, picture: NDArray[Any]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part of a picture that reaches the first network, px."""
        preprocess = self._predictors[0].info.preprocess
        height, width = picture.shape[:2]
        return (0, 0, height, width) if preprocess is None else preprocess.window(height, width)


def changed_answers(first: Predictions, second: Predictions) -> pd.DataFrame:
    """CHANGED frame: the images whose first class is not the same for both networks, the surest of them first.

    Raises
    ------
    UserError
        If they did not see the same images.
    """
    if first.images.fingerprint != second.images.fingerprint or len(first) != len(second):
        raise UserError("Two networks can only be compared on the same images. Give both the same images and limit.")
    classes = first.images.classes or first.info.classes
    differ = np.flatnonzero(first.ranked[:, 0] != second.ranked[:, 0])
    surest = differ[np.argsort(-np.minimum(first.confidence, second.confidence)[differ], kind="stable")]
    rows = [
        first.info.key
        | {"against": name_of(second.info), "data": first.images.name, "image_index": int(i)}
        | {"label": classes[int(first.labels[i])] if first.images.labelled else ""}
        | {"predicted": _named(classes, first, i), "against_predicted": _named(classes, second, i)}
        | {"confidence": float(first.confidence[i]), "against_confidence": float(second.confidence[i])}
        for i in surest
    ]
    return frames.build(frames.CHANGED, rows)


def mistakes(answers: Predictions) -> pd.DataFrame:
    """MISTAKES frame: the images that a network takes for something else, the surest of them first."""
    classes = answers.images.classes or answers.info.classes
    wrong = np.flatnonzero(~answers.hits)
    surest = wrong[np.argsort(-answers.confidence[wrong], kind="stable")]
    rows = [
        answers.info.key
        | {"data": answers.images.name, "image_index": int(i), "label": classes[int(answers.labels[i])]}
        | {"predicted": _named(classes, answers, i), "confidence": float(answers.confidence[i])}
        for i in surest
    ]
    return frames.build(frames.MISTAKES, rows)


def _named(classes: Sequence[str], answers: Predictions, image: int) -> str:
    index = int(answers.ranked[image, 0])
    if index < 0:
        return "no class of these images"
    return classes[index] if index < len(classes) else f"class {index}"
