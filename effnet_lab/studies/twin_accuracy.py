"""What the quantized file of a pair costs in answers, where the images say what is right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.twins import Twins
from effnet_lab.evaluate.accuracy import accuracy
from effnet_lab.evaluate.compare import compare_predictions
from effnet_lab.evaluate.predictions import collect_predictions
from effnet_lab.evaluate.predictors import FilePredictor
from effnet_lab.images import ArraySet, ImageSet
from effnet_lab.litert import Runner
from effnet_lab.names import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinAccuracy:
    """Top-1 of both files; without rows where it could not be counted."""

    table: pd.DataFrame  # ACCURACY, the quantized file first
    comparison: pd.DataFrame  # COMPARISON, quantized against float
    reason: str  # why there are no rows; "" if there are


def twin_accuracy(twins: Twins, images: ImageSet | ArraySet) -> TwinAccuracy:
    """Top-1 of a quantized file and of its float twin on the same labelled images, and the difference.

    Parameters
    ----------
    twins : Twins
        Two files of one network; both are fed as `twins` feeds them.
    images : ImageSet or ArraySet
        Samples without labels, or whose classes are not those of the network, give no rows and a reason.
    """
    lacks = "labels" if isinstance(images, ArraySet) else "class folders"
    reason = "" if images.labelled else f"{images.name} has no {lacks}, so there is no top-1."
    try:
        answers = [] if reason else [collect_predictions(p, images, preprocess=p.info.preprocess) for p in _both(twins)]
    except UserError as error:
        answers, reason = [], f"There is no top-1: {error}"
    tables = [accuracy(found).assign(model=twins.info.model) for found in answers]  # of one network
    return TwinAccuracy(
        table=pd.concat(tables, ignore_index=True) if tables else frames.build(frames.ACCURACY, []),
        comparison=compare_predictions(*answers) if answers else frames.build(frames.COMPARISON, []),
        reason=reason,
    )


def _both(twins: Twins) -> list[FilePredictor]:
    """The quantized file and the float one, which says of its outputs what the other says: a twin is made without labels."""
    float_file, quantized = twins.files
    cards = twins.info, replace(twins.info, scheme="float32", backend="")
    return [
        FilePredictor(info=card, runner=Runner(file, kernels=twins.kernels))
        for card, file in zip(cards, (quantized, float_file), strict=True)
    ]
