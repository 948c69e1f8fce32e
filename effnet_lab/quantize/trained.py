"""Static int8 with the ranges that quantization-aware training has found: nothing is calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import tensorflow as tf

from effnet_lab.images import ImageSet
from effnet_lab.litert import ModelInfo, embed_info
from effnet_lab.litert.io_types import require_io, with_io
from effnet_lab.models.fake_quant import strip_fake_quant
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.quantize.convert import saved_model
from effnet_lab.quantize.export import Ranging, Target, export, paths_of, store, versions
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import CONVERTER, SCHEMES
from effnet_lab.quiet import quiet
from effnet_lab.scaling import layer_counts

QAT = "qat"  # stands as back end in the file: the converter, with trained ranges
_INT8 = SCHEMES["static_wi8_ai8"]


def export_trained(
    model: LoadedModel,
    wanted: Sequence[Target],
    out: Path | str,
    *,
    calibration: ImageSet | Ranging | None = None,
    io: str | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> list[Path]:
    """As `export`, of a network with fake quantization.

    ``static_wi8_ai8`` through the converter takes the trained ranges; the file says back end "qat" and has no calibration.
    Every other target starts from the trained weights without fake quantization. Layers that the training left in float
    stay float32, and then input and output are float32 unless `io` says otherwise.
    """
    trained = [target == (_INT8, CONVERTER) for target in wanted]
    own = (_INT8 if _whole(model) else _recipe(model), QAT)
    named = [own if ours else target for target, ours in zip(wanted, trained, strict=True)]
    paths = paths_of(model.name, named, Path(out))
    if any(trained) and io is not None:
        require_io(_INT8.activations if _whole(model) else "float32", io)
    others = [target for target, ours in zip(wanted, trained, strict=True) if not ours]
    if others:
        export(strip_fake_quant(model), others, out, calibration=calibration, io=io, progress=progress)
    for path, ours in zip(paths, trained, strict=True):
        if ours:
            store(path, _trained_file(model, io))
    return paths


def _trained_file(model: LoadedModel, io: str | None) -> bytes:
    whole = _whole(model)
    with saved_model(model) as folder:
        content = _convert(folder, whole)
    if io is not None and whole:
        content = with_io(content, io)
    info = ModelInfo(
        model=model.name,
        variant=model.spec.name,
        scheme=_INT8.name if whole else _recipe(model).name,
        backend=QAT,
        preprocess=model.preprocess,
        classes=model.classes,
        recipe="" if whole else _recipe(model).text,
        io=io or (_INT8.activations if whole else "float32"),
        versions=versions(),
    )
    return embed_info(content, info)


def _convert(folder: Path, whole: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # no TFLITE_BUILTINS_INT8: with it the converter demands calibration images although every range is in the graph
    if whole:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        return bytes(converter.convert())


def _whole(model: LoadedModel) -> bool:
    return set(model.fake_quantized) == set(layer_counts(model.spec, len(model.classes))["layer"])


def _recipe(model: LoadedModel) -> Recipe:
    return Recipe(rules=tuple((layer, _INT8) for layer in model.fake_quantized))
