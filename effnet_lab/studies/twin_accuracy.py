"""What the quantized file of a pair costs in answers, where the images say what is right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.evaluate.accuracy import accuracy
from effnet_lab.evaluate.compare import compare_predictions
from effnet_lab.evaluate.predictions import collect_predictions
from effnet_lab.images import ImageSet, Stated
from effnet_lab.names import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinAccuracy:
    """Top-1 of both files; without rows where it could not be counted."""

    table: pd.DataFrame  # ACCURACY, the quantized file first
    comparison: pd.DataFrame  # COMPARISON, quantized against float
    reason: str  # why there are no rows; "" if there are


def twin_accuracy(
    quantized: Path | str, float_model: Path | str, images: ImageSet, *, preprocess: Stated = None
) -> TwinAccuracy:
    """Top-1 of a quantized file and of its float twin on the same labelled images, and the difference.

    Parameters
    ----------
    quantized, float_model : path
        Two .tflite files of one network.
    images : ImageSet
        Images without labels, or whose classes are not those of the network, give no rows and a reason.
    preprocess : StatedInput or Preprocess, optional
        What both take, where it is not known.
    """
    reason = "" if getattr(images, "labelled", True) else f"{images.name} has no class folders, so there is no top-1."
    try:
        answers = (
            []
            if reason
            else [collect_predictions(file, images, preprocess=preprocess) for file in (quantized, float_model)]
        )
    except UserError as error:
        answers, reason = [], f"There is no top-1: {error}"
    tables = [accuracy(found).assign(model=answers[0].info.key["model"]) for found in answers]  # of one network
    return TwinAccuracy(
        table=pd.concat(tables, ignore_index=True) if tables else frames.build(frames.ACCURACY, []),
        comparison=compare_predictions(*answers) if answers else frames.build(frames.COMPARISON, []),
        reason=reason,
    )
