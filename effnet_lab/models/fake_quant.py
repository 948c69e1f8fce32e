"""Networks that compute in float what an int8 file will: fake-quantized weights and activations, for training.

The scheme is tfmot's default one: 8 bits, per-channel weights (one scale for a whole depthwise kernel), batch norm as a
layer of its own in training, whose fold at conversion only scales each channel's weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.models.build import network
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.models.tfmot import tfmot
from effnet_lab.models.variables import assign, variables
from effnet_lab.names import UserError
from effnet_lab.quiet import quiet
from effnet_lab.scaling.layers import Layer
from effnet_lab.scaling.layers import layers as counted_layers

_PARTS = ("", "_bn", "_act")  # Keras layers that are one op in int8
_RANGES = (
    "output",
    "post_activation",
    "quantize_layer",
)  # how tfmot names what is neither a kernel's range nor a weight
# Swish, the sigmoid of a gate, and its product: the toolkit has no scheme for them. As in the file, what goes in and what
# comes out is int8; the sigmoid inside of a swish is in the file, too, in steps of 1/256.
_UNKNOWN_TO_TFMOT = (tf_keras.layers.Activation, tf_keras.layers.Multiply)
INPUT = "quantize_layer"  # layer of the fake-quantized network that quantizes the image


def fake_quantize(model: LoadedModel, layers: Sequence[str] | None = None) -> LoadedModel:
    """The same network with fake quantization; its ranges are unset until `set_ranges`.

    Parameters
    ----------
    model : LoadedModel
        Float weights; they are copied.
    layers : sequence of str, optional
        Which to quantize: names as `scaling.layers` has them, shell patterns (``blocks_1_*``), ``op:depthwise`` or
        ``block:3``. A layer means its convolution, batch norm and activation; what feeds a chosen layer is quantized too.
        All by default.

    Raises
    ------
    UserError
        If a pattern matches no layer, or the network has what tfmot cannot quantize.
    """
    known = counted_layers(model.family_spec, max(1, len(model.classes)))
    chosen = tuple(layer.name for layer in known) if layers is None else matching(known, layers)
    toolkit = tfmot().quantization.keras
    with quiet(), toolkit.quantize_scope({"_OutputOnly": _output_only()}):
        tf_keras.backend.reset_uids()  # else the name of the layer that quantizes the image depends on what ran before
        annotated = _annotate(model.keras, chosen, whole=len(chosen) == len(known))
        keras = toolkit.quantize_apply(annotated, quantized_layer_name_prefix="")  # layers keep their names
    return replace(model, keras=keras, fake_quantized=chosen)


def set_ranges(model: LoadedModel, reference: LoadedModel, batches: Iterable[NDArray[Any]]) -> None:
    """Give every fake quantization its range: a kernel's own, and the mean over the batches of an activation's extremes.

    Without it a fresh network is at chance: all ranges are [-6, 6]. The extremes are the float network's at inference, so
    that the statistics of the batch norm stay as they are.

    Parameters
    ----------
    model : LoadedModel
        From `fake_quantize`; changed in place.
    reference : LoadedModel
        The float network it was made from.
    batches : iterable of ndarray, float32 (n, side, side, 3)
        Normalised images.
    """
    unset = variables(model.keras)
    tensors = [name.rsplit("/", 1) for name in unset if name.endswith("_max")]
    watched = {layer: _float_output(reference, layer) for layer, what in tensors if what.startswith(_RANGES)}
    probe = tf_keras.Model(reference.keras.input, watched)
    seen = [
        {layer: (min(0.0, float(np.min(x))), max(0.0, float(np.max(x)))) for layer, x in probe(batch).items()}
        for batch in batches
    ]
    for layer, what in tensors:
        low, high = unset[f"{layer}/{what.removesuffix('_max')}_min"], unset[f"{layer}/{what}"]
        if layer in watched and what.startswith(_RANGES):
            low.assign(np.mean([extremes[layer][0] for extremes in seen]))
            high.assign(np.mean([extremes[layer][1] for extremes in seen]))
        else:
            kernel = np.abs(unset[f"{layer}/{what.removesuffix('_max')}"].numpy())
            largest = kernel.reshape(-1, high.shape[0]).max(axis=0) if high.shape.rank else kernel.max()
            low.assign(-largest)
            high.assign(largest)


def strip_fake_quant(model: LoadedModel) -> LoadedModel:
    """The float network with the trained weights; a float model comes back as it is."""
    if not model.fake_quantized:
        return model
    keras, trained = network(model.family_spec, len(model.classes)), variables(model.keras)
    assign(keras, {name: trained[name].numpy() for name in variables(keras)}, model.name)
    return replace(model, keras=keras, fake_quantized=())


def matching(known: Sequence[Layer], patterns: Sequence[str]) -> tuple[str, ...]:
    """Names of those layers, in their order, that a pattern fits; every pattern must fit one."""
    for pattern in patterns:
        if not any(_fits(layer, pattern) for layer in known):
            near = get_close_matches(pattern, [layer.name for layer in known], n=1, cutoff=0)
            raise UserError(f"No layer matches {pattern!r}. Did you mean {near[0]!r}?")
    chosen = tuple(layer.name for layer in known if any(_fits(layer, pattern) for pattern in patterns))
    if not chosen:
        raise UserError("Name at least one layer to quantize, or leave the choice out for all of them.")
    return chosen


def _fits(layer: Layer, pattern: str) -> bool:
    kind, _, value = pattern.rpartition(":")
    if kind == "op":
        return layer.op == value
    return fnmatchcase(layer.name, f"blocks_{value}_*" if kind == "block" else pattern)


def _float_output(reference: LoadedModel, layer: str) -> tf.Tensor:
    return reference.keras.input if layer == INPUT else reference.keras.get_layer(layer).output


def _annotate(keras: tf_keras.Model, chosen: tuple[str, ...], *, whole: bool) -> tf_keras.Model:
    toolkit = tfmot().quantization.keras

    own = [layer.name for layer in keras.layers if isinstance(layer, _UNKNOWN_TO_TFMOT)]
    if whole and not own:
        return toolkit.quantize_annotate_model(keras)
    inside = {f"{name}{part}" for name in chosen for part in _PARTS}
    inside |= {layer.name for layer in keras.layers if whole and not isinstance(layer, tf_keras.layers.InputLayer)}
    feeding = {source for name in inside & {x.name for x in keras.layers} for source in _sources(keras.get_layer(name))}

    def wrap(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in inside and layer.name in own:
            return toolkit.quantize_annotate_layer(layer, _output_only()())
        if layer.name in inside:
            return toolkit.quantize_annotate_layer(layer)
        if layer.name in feeding:
            return toolkit.quantize_annotate_layer(layer, _output_only()())
        return layer

    return tf_keras.models.clone_model(keras, clone_function=wrap)


def _sources(layer: tf_keras.layers.Layer) -> list[str]:
    """Layers whose output this one reads; dropout is nothing at inference, and the image has a quantizer of its own."""
    found = []
    for tensor in tf.nest.flatten(layer.input):
        source = tensor.node.layer
        if isinstance(source, tf_keras.layers.Dropout):
            found += _sources(source)
        elif not isinstance(source, tf_keras.layers.InputLayer):
            found.append(source.name)
    return found


def _output_only() -> type:
    """A configuration that quantizes a layer's output and nothing else: what a quantized layer reads from a float one."""
    toolkit = tfmot().quantization.keras
    base = toolkit.QuantizeConfig

    class _OutputOnly(base):  # type: ignore[valid-type, misc]  # the toolkit has no types
        def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
            return [toolkit.quantizers.MovingAverageQuantizer(8, per_axis=False, symmetric=False, narrow_range=False)]

        def get_weights_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
            return []

        get_activations_and_quantizers = get_weights_and_quantizers

        def set_quantize_weights(self, layer: tf_keras.layers.Layer, quantize_weights: list[Any]) -> None:
            pass

        set_quantize_activations = set_quantize_weights

        def get_config(self) -> dict[str, Any]:
            return {}

    return _OutputOnly
