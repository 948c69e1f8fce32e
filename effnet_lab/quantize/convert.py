"""Keras to .tflite through `tf.lite.TFLiteConverter`, the path that the field knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from effnet_lab.images import Samples
from effnet_lab.litert.edit import with_signature
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.quantize.schemes import Scheme
from effnet_lab.quiet import quiet

_INPUT = "images"  # in the signature

_INTEGER = {  # op set of a static scheme by the bits of its activations
    8: tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    16: tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Traced:
    """A network as a graph for one image, which is traced once and converted in any number of ways."""

    network: tf_keras.Model  # whose variables the graph reads
    graph: Any

    def converter(self) -> tf.lite.TFLiteConverter:
        """One to be set up, and given to `carry_out`."""
        converter = tf.lite.TFLiteConverter.from_concrete_functions([self.graph], self.network)
        converter.experimental_lower_to_saved_model = False  # by way of a SavedModel it takes four times as long
        return converter


def trace(network: tf_keras.Model, shape: Sequence[int], *, control_flow: bool = True) -> Traced:
    """A network with one input, of this shape without the batch; its layers may have loops and conditions."""
    given = [tf.TensorSpec((1, *shape), tf.float32, name=_INPUT)]
    with quiet():
        serve = tf.function(
            lambda images: network(images, training=False), input_signature=given, autograph=control_flow
        )
        return Traced(network=network, graph=serve.get_concrete_function())


def trace_model(model: LoadedModel) -> Traced:
    """The network at its size, with a softmax on top; without classes there is none."""
    network, side = model.keras, model.preprocess.size_px
    if model.classes:
        probabilities = tf_keras.layers.Softmax(name="probabilities")(network.output)
        network = tf_keras.Model(network.input, probabilities, name=model.name)
    return trace(network, (side, side, 3), control_flow=model.spec is None)


def carry_out(convert: Callable[[], Any]) -> bytes:
    """The file that a converter makes, with the signature that it would have by way of a SavedModel, and in silence."""
    with quiet(), warnings.catch_warnings():
        # what is said of a converter that was set up by hand; and the debugger uses an interpreter that is to go
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated.*")
        return with_signature(bytes(convert()), _INPUT)


def convert(
    traced: Traced,
    scheme: Scheme,
    model: LoadedModel,
    calibration: Samples | None = None,
    float_tensors: Sequence[str] = (),
) -> bytes:
    """One .tflite file of a network.

    Parameters
    ----------
    traced : Traced
        From `trace_model`.
    scheme : Scheme
        Static schemes have input and output of the type of their activations.
    model : LoadedModel
        For its preprocessing.
    calibration : Samples, optional
        Needed by static schemes; every image is used.
    float_tensors : sequence of str
        Names, in the float file, of the tensors whose ops an int8 scheme leaves in float32.
    """
    converter = traced.converter()
    if scheme.weight_bits < 32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme.weight_bits == 16:
        converter.target_spec.supported_types = [tf.float16]
    if scheme.granularity == "tensor":
        converter._experimental_disable_per_channel = True  # there is no public switch
    if scheme.calibrated:
        assert calibration is not None
        converter.representative_dataset = lambda: (
            [value[None] for value in values] for values in calibration.samples(model.preprocess)
        )
        if float_tensors:
            return _selective(converter, float_tensors)
        converter.target_spec.supported_ops = [_INTEGER[scheme.activation_bits]]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(scheme.activations)
    return carry_out(converter.convert)


def _selective(converter: tf.lite.TFLiteConverter, float_tensors: Sequence[str]) -> bytes:
    """Int8 but for these tensors: the debugger's denylist is the converter's only way."""
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(float_tensors), fully_quantize=True)

    def convert() -> Any:
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        return debugger.get_nondebug_quantized_model()

    return carry_out(convert)
