"""What mends a network, and by how much: repaired step by step, and measured after every step, by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from effnet_lab.analysis.repair import (
    STEPS,
    Precision,
    RepairStage,
    moved_codes,
    narrow_depthwise,
    repair_stages,
    rounding_table,
    split_held_out,
)
from effnet_lab.analysis.repair.kept_layers import KeptLayers
from effnet_lab.evaluate import collect_predictions
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.litert import Graph, Op, read_graph
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import scratch_folder
from effnet_lab.quantize.files import store
from effnet_lab.quantize.float_file import FloatFile
from effnet_lab.quantize.ranges import as_taken, calibration_images
from effnet_lab.quantize.recipes import Recipe, as_recipe, parse_recipe
from effnet_lab.quantize.schemes import AI_EDGE, get_scheme
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies.repair_gain import repair_gain
from effnet_lab.studies.start import as_answered, start_from

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network

INT4, FLOAT_BITS = 4, 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """What every step gave."""

    table: pd.DataFrame  # REPAIR: the float file, the unrepaired one, and one row per step, taken or left
    stages: tuple[RepairStage, ...]  # the unrepaired one first, then every step that was tried
    rounding: pd.DataFrame  # ROUNDING: one row per layer that was rounded; none without that step
    moved: pd.DataFrame  # MOVED_CODES of the same layers
    file: Path | None  # of the last stage that was taken

    @property
    def last(self) -> RepairStage:
        """The last stage that was taken: the unrepaired one where nothing helped."""
        return [stage for stage in self.stages if stage.taken][-1]


def repair(
    weights: Network,
    data: Source,
    out: Path | str | None = None,
    *,
    calibration: Source = "scenes",
    steps: str | Sequence[str] = tuple(STEPS),
    format: str = "int8-per-tensor",
    depthwise_bits: int = 8,
    limit: int | None = 200,
    limit_data: int | None = None,
    variant: str | None = None,
    preprocess: Stated = None,
    resume: Path | str | None = None,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Repaired:
    """Mend a network without giving any layer more bits, and measure each step.

    A quarter of the calibration images is held out: a step that does not help on them by more than its noise is not taken.

    Parameters
    ----------
    weights : name, path, LoadedModel or Keras model
        Of a quantized .tflite file the dequantized weights are what is mended.
    data : name, path, ImageSet or ArraySet
        Labelled images, or arrays, that say what a step gains. Without labels, the answers of the float network count as
        right.
    out : path, optional
        Where the repaired .tflite file goes.
    calibration : name, path, ImageSet or ArraySet
        Never evaluation images.
    steps : str or sequence of str
        Of `STEPS`, several separated by commas; taken in the order of `STEPS`.
    format : str
        A static scheme, or a recipe of such, see `parse_recipe`.
    depthwise_bits : 8 or 4
        Of depthwise kernels where the others have 4.
    limit, limit_data : int, optional
        Images at most of a named source or a path: for calibration, and of `data`.
    resume : path, optional
        A folder that keeps what is finished, for a run that may be stopped: the same call goes on there.
    workers : int, optional
        Interpreters that share the images; by default one for each free processor. Every number is the same to the bit.
    variant, preprocess, progress
        As for `export`.
    """
    chosen = steps.split(",") if isinstance(steps, str) else list(steps)
    chosen = [name.strip() for name in chosen if lookup("repair", name.strip(), STEPS)]
    recipe = _static(format)
    _require_depthwise(depthwise_bits, recipe)
    if out is not None and Path(out).suffix != ".tflite":
        raise UserError(f"The repaired file must end in .tflite. Got {str(out)!r}.")
    require_source(weights)
    images = open_samples(data, limit=None if isinstance(data, ImageSet | ArraySet) else limit_data)
    calibrating = calibration_images(calibration, limit=limit)
    source = start_from(weights, variant, preprocess, measures="a repair", shown=calibrating)
    if not images.labelled:
        images = as_answered(images, source, preprocess, workers)
    fixing, judging = split_held_out(as_taken(calibrating, source.content, source.info))
    quantize = quantizer((recipe, AI_EDGE), fixing)
    if depthwise_bits == INT4:
        quantize = partial(_narrowed, quantize)
    folder = None if resume is None else Path(resume)
    found = repair_stages(
        source.content, fixing, source.info.preprocess, quantize, steps=chosen, held_out=judging,
        precision=_precision(recipe, read_graph(source.content), depthwise_bits),
        kept=None if folder is None else KeptLayers(folder / "rounded.npz"), workers=workers, progress=progress,
    )  # fmt: skip
    answer = partial(
        _answers, folder=folder, images=images, preprocess=preprocess, workers=workers, progress=progress
    )  # fmt: skip
    stages: dict[str, RepairStage] = {}
    answers: dict[str, Predictions] = {}
    for stage in found:
        if not answers:  # once the network is known to be one that can be repaired
            answers["float"] = answer(source.content, "float")
        answers[stage.name] = answer(stage.quantized, stage.name)
        stages[stage.name] = stage
    return _repaired(stages, answers, source, None if out is None else Path(out))


def _repaired(
    stages: dict[str, RepairStage], answers: dict[str, Predictions], source: FloatFile, out: Path | None
) -> Repaired:
    layers = [layer for stage in stages.values() for layer in stage.layers.values()]
    graph, key = read_graph(source.content), answers["none"].info.key
    done = Repaired(
        table=repair_gain(answers, stages=stages), stages=tuple(stages.values()),
        rounding=rounding_table(layers, graph, key), moved=moved_codes(layers, graph, key), file=out,
    )  # fmt: skip
    if out is not None:
        store(out, done.last.quantized)
    return done


def _answers(
    content: bytes,
    name: str,
    *,
    folder: Path | None,
    images: ImageSet | ArraySet,
    preprocess: Stated,
    workers: int | None,
    progress: Callable[..., Iterable[Any]] | None,
) -> Predictions:
    """Of a file that is written for them alone: the folder is the user's, who may have files of such names there."""
    resume = None if folder is None else folder / f"{name}.answers.npz"
    how: dict[str, Any] = {"preprocess": preprocess, "workers": workers, "progress": progress}
    with scratch_folder() as scratch:
        path = scratch / "trial.tflite"
        path.write_bytes(content)
        return collect_predictions(path, images, resume=resume, **how)


def _narrowed(quantize: Callable[[bytes], bytes], content: bytes) -> bytes:
    return narrow_depthwise(quantize(content), content, INT4)


def _precision(recipe: Recipe, graph: Graph, depthwise_bits: int) -> Callable[[Op], Precision]:
    """How each layer of the quantized file is stored."""
    schemes = recipe.resolve(graph)

    def of(op: Op) -> Precision:
        scheme = schemes.get(graph.tensors[op.outputs[0]].name, recipe.base)
        bits = scheme.weight_bits if scheme.calibrated else FLOAT_BITS
        if bits == INT4 and op.kind == "depthwise":
            bits = depthwise_bits
        return Precision(bits=bits, per_tensor=scheme.granularity == "tensor", activation_bits=scheme.activation_bits)

    return of


def _static(format: str) -> Recipe:
    recipe = parse_recipe(format) if any(mark in format for mark in "=;") else as_recipe(get_scheme(format))
    if not recipe.base.calibrated:
        raise UserError(f"Repairs are for static formats: int8, int8-per-tensor, int16x8, int4. Got {format!r}.")
    return recipe


def _require_depthwise(bits: int, recipe: Recipe) -> None:
    if bits not in (INT4, 8):
        raise UserError(f"--depthwise-bits is 8 or 4. Got {bits}.")
    if bits == INT4 and recipe.base.weight_bits != INT4:
        raise UserError(f"Depthwise kernels of 4 bits go with the format int4. Got {recipe.text!r}.")
