"""What mends a network, and by how much: repaired step by step, and measured after every step, by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from effnet_lab.analysis.repair import STEPS, RepairStage, repair_stages
from effnet_lab.evaluate import collect_predictions
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.images import ImageSet, Source, Stated, open_images
from effnet_lab.litert import embed_info, settle
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.files import store
from effnet_lab.quantize.float_file import FloatFile, float_file
from effnet_lab.quantize.ranges import as_taken, calibration_images
from effnet_lab.quantize.schemes import AI_EDGE, Scheme, get_scheme
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies.repair_gain import repair_gain

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """What every step gave."""

    table: pd.DataFrame  # REPAIR: the float file, the unrepaired one, and one row per step
    stages: tuple[RepairStage, ...]  # the unrepaired one first
    file: Path | None  # of the last stage


def repair(
    weights: Network,
    data: str | Path | ImageSet,
    out: Path | str | None = None,
    *,
    calibration: Source = "scenes",
    steps: str | Sequence[str] = tuple(STEPS),
    format: str = "int8-per-tensor",
    limit: int | None = 200,
    limit_data: int | None = None,
    variant: str | None = None,
    preprocess: Stated = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Repaired:
    """Equalize the channels of a float network, clip outlying weights, quantize, correct the biases; measure each step.

    Parameters
    ----------
    weights : name, path, LoadedModel or Keras model
    data : name, path or ImageSet
        Labelled images that say what a step gains.
    out : path, optional
        Where the repaired .tflite file goes.
    calibration : name, path or ImageSet
        Never evaluation images.
    steps : str or sequence of str
        Of `STEPS`, several separated by commas; taken in the order of `STEPS`.
    format : str
        A static scheme.
    limit, limit_data : int, optional
        Images at most of a named source or a path: for calibration, and of `data`.
    variant, preprocess, progress
        As for `export`.
    """
    chosen = steps.split(",") if isinstance(steps, str) else list(steps)
    chosen = [name.strip() for name in chosen if lookup("repair", name.strip(), STEPS)]
    scheme = _static(format)
    if out is not None and Path(out).suffix != ".tflite":
        raise UserError(f"The repaired file must end in .tflite. Got {str(out)!r}.")
    require_source(weights)
    images = data if isinstance(data, ImageSet) else open_images(data, limit=limit_data)
    calibrating = calibration_images(calibration, limit=limit)
    source = _settled(float_file(weights, variant), preprocess)
    calibrating = as_taken(calibrating, source.content, source.info)
    quantize = quantizer((scheme, AI_EDGE), calibrating)
    answer = partial(_answers, images=images, preprocess=preprocess, progress=progress)
    found = repair_stages(
        source.content, calibrating, source.info.preprocess, quantize, steps=chosen, progress=progress
    )
    with scratch_folder() as folder:
        stages: list[RepairStage] = []
        answers: dict[str, Predictions] = {}
        for stage in found:
            if not answers:  # once the network is known to be one that can be repaired
                answers["float"] = answer(source.content, folder / "float.tflite")
            answers[stage.name] = answer(stage.quantized, folder / "trial.tflite")
            stages.append(stage)
    if out is not None:
        store(Path(out), stages[-1].quantized)
    return Repaired(table=repair_gain(answers), stages=tuple(stages), file=None if out is None else Path(out))


def _settled(source: FloatFile, preprocess: Stated) -> FloatFile:
    """With what is stated of the input written into the file, for everything that reads it."""
    info = settle(source.info, preprocess, measures="a repair")
    return FloatFile(content=embed_info(source.content, info), info=info)


def _answers(
    content: bytes, path: Path, images: ImageSet, preprocess: Stated, progress: Callable[..., Iterable[Any]] | None
) -> Predictions:
    path.write_bytes(content)
    return collect_predictions(path, images, preprocess=preprocess, progress=progress)


def _static(format: str) -> Scheme:
    scheme = get_scheme(format)
    if not scheme.calibrated:
        raise UserError(f"Repairs are for static formats: int8, int8-per-tensor, int16x8, int4. Got {format!r}.")
    return scheme
