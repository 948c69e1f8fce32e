"""Static int8 with the ranges that quantization-aware training has found: nothing is calibrated."""

from __future__ import annotations

from effnet_lab.litert.io_types import with_io
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf
from effnet_lab.quantize.convert import Traced, carry_out, trace_model
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import INT8
from effnet_lab.scaling import layer_counts


def trained_recipe(model: LoadedModel) -> Recipe:
    """What a network with fake quantization was trained for: int8 for all layers, or for those that were chosen."""
    whole = set(model.fake_quantized) == set(layer_counts(model.family_spec, len(model.classes))["layer"])
    return Recipe(rules=(("*", INT8),) if whole else tuple((layer, INT8) for layer in model.fake_quantized))


def convert_trained(model: LoadedModel, io: str | None = None) -> bytes:
    """The int8 file of a network with fake quantization, with the trained ranges.

    Layers that the training left in float stay float32, and then input and output are float32 whatever `io` says.
    """
    whole = trained_recipe(model).base is INT8
    content = _convert(trace_model(model), whole)
    return with_io(content, io) if whole and io is not None else content


def _convert(traced: Traced, whole: bool) -> bytes:
    converter = traced.converter()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # no TFLITE_BUILTINS_INT8: with it the converter demands calibration images although every range is in the graph
    if whole:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return carry_out(converter.convert)
