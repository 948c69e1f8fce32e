"""A .tflite file of the Lite family to a Keras network that computes the same function in float.

Weights are dequantized. Batch norm was folded into kernels and biases when the file was made: here the bias becomes beta
under a batch norm that does nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert import Op, read_info
from effnet_lab.models.conv_layers import BN_EPSILON
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.mapping import RELU6_NETWORKS, listed
from effnet_lab.models.weights.tflite_walk import Affine, OtherNetworkError, Walk
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec, get_spec
from effnet_lab.scaling.layers import Layer, layers

_VALID, _RELU6 = 1, 3  # of Padding and ActivationFunctionType in TensorFlow Lite's schema
MOST_UNLIKE = 0.3  # share of the layers, from which on a file is no damaged network of this family but another one
_KERNEL_AXES = {"conv": (1, 2, 3, 0), "depthwise": (1, 2, 3, 0), "dense": (1, 0)}  # of the file, in Keras' order


def load(path: Path, variant: str | None = None) -> LoadedModel:
    """Import float32, float16, dynamic, int8 or uint8 weights; a last softmax is left out: the model gives logits.

    Scalars that the file multiplies with or adds before its first convolution become part of the preprocessing. All else
    must be the network exactly: kinds and shapes of the ops, strides, padding, activations, and what is added to what.
    """
    info, walk = read_info(path), Walk(path)
    shape = walk.input.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise OtherNetworkError(f"{path} takes {shape}, not square RGB images. Give an image classifier.")
    spec, classes = _recognise(walk, path, variant)
    steps = list(zip(layers(spec, max(classes, 1), shape[1]), walk.layers, strict=classes > 0))
    _check_wiring(walk, steps, path)
    assert info.preprocess is not None
    preprocess = replace(_fold(info.preprocess, walk.before, path), size_px=shape[1])
    tensors = {name: values for layer, op in steps for name, values in _variables(walk, layer, op).items()}
    return assemble(spec, tensors, preprocess, source=str(path), name=info.model, classes=info.classes)


def _recognise(walk: Walk, path: Path, variant: str | None) -> tuple[NetSpec, int]:
    """Specification and number of classes; 0 when the file ends at the pooled features."""
    has = [_signature(op.kind, _kernel(walk, op)) for op in walk.layers]
    last = walk.layers[-1]
    classes = walk.stored(last.inputs[1]).shape[0] if last.kind == "dense" else 0
    candidates = RELU6_NETWORKS if variant is None else {variant: get_spec(variant)}
    wanted = {name: _expected(spec, classes) for name, spec in candidates.items()}
    for name, signatures in wanted.items():
        if signatures == has:
            return candidates[name], classes
    counted = Counter(has)
    lacks = {name: Counter(signatures) - counted for name, signatures in wanted.items()}
    extra = {name: counted - Counter(signatures) for name, signatures in wanted.items()}
    nearest = min(wanted, key=lambda name: lacks[name].total() + extra[name].total())
    if variant is None and extra[nearest].total() > MOST_UNLIKE * len(has):
        raise OtherNetworkError(
            f"{path} is not an EfficientNet-Lite: {extra[nearest].total()} of its {len(has)} layers fit none of "
            f"{', '.join(RELU6_NETWORKS)}. Its weights cannot be opened; evaluate, layer-error, verdicts, explain, bench and "
            "lint take the file as it is."
        )
    raise OtherNetworkError(
        f"{path} is not network {nearest!r}. missing: {listed(lacks[nearest].elements())}; "
        f"unexpected: {listed(extra[nearest].elements())}. Only networks of {', '.join(RELU6_NETWORKS)} can be imported."
    )


def _expected(spec: NetSpec, classes: int) -> list[str]:
    channels, out = {"input": 3}, []
    for layer in layers(spec, max(classes, 1)):
        channels[layer.name] = layer.channels
        entering, k = channels[layer.inputs[0]], layer.kernel
        shapes = {
            "conv": (k, k, entering, layer.channels),
            "depthwise": (k, k, layer.channels, 1),
            "dense": (entering, layer.channels),
        }
        out.append(_signature(layer.op, shapes.get(layer.op, ())))
    return out if classes else out[:-1]


def _signature(kind: str, kernel: tuple[int, ...]) -> str:
    return " ".join([kind, "x".join(map(str, kernel))]).strip()


def _kernel(walk: Walk, op: Op) -> tuple[int, ...]:
    if op.kind not in _KERNEL_AXES:
        return ()
    stored = walk.value(op.inputs[1])
    return () if stored is None else tuple(stored.shape[axis] for axis in _KERNEL_AXES[op.kind])


def _check_wiring(walk: Walk, steps: list[tuple[Layer, Op]], path: Path) -> None:
    """Every op reads what the network reads there, and does with it what the network does."""
    name_of = {walk.entry: "input"}
    for layer, op in steps:
        read = sorted(name_of.get(walk.origin(index), "?") for index in walk.computed(op))
        wrong = _wrong_option(walk, layer, op)
        if read != sorted(layer.inputs):
            wrong = f"reads {', '.join(read)} instead of {', '.join(layer.inputs)}"
        if wrong:
            raise OtherNetworkError(f"{path}: {layer.name} {wrong}. Only EfficientNet-Lite itself can be imported.")
        name_of[op.outputs[0]] = layer.name


def _wrong_option(walk: Walk, layer: Layer, op: Op) -> str | None:
    options, out = walk.options(op), walk.tensors[op.outputs[0]]
    if layer.op == "mean":
        return None if int(np.prod(out.shape)) == layer.channels else f"leaves {out.shape}"
    if options is None:
        return "says nothing of its stride and activation"
    if layer.op in ("conv", "depthwise"):
        if (options.strideH, options.strideW) != (layer.stride, layer.stride):
            return f"has stride {options.strideH}x{options.strideW} instead of {layer.stride}"
        if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
            return "is dilated"
        if options.padding == _VALID and layer.kernel > 1:
            return "has no SAME padding"
    clipped = options.fusedActivationFunction == _RELU6 or op.outputs[0] in walk.relu6
    if not clipped and out.quantized and not options.fusedActivationFunction:
        codes = np.iinfo(out.dtype)  # the range of the codes may do the clipping
        low, high = (float(out.scale[0]) * (code - int(out.zero_point[0])) for code in (codes.min, codes.max))
        clipped = low >= 0 and high <= 6.01
    wanted = layer.op in ("conv", "depthwise") and not layer.name.endswith("_project")
    if clipped != wanted or options.fusedActivationFunction not in (0, _RELU6):
        return f"{'lacks' if wanted else 'has'} a ReLU6, or has another activation"
    return None


def _variables(walk: Walk, layer: Layer, op: Op) -> dict[str, NDArray[Any]]:
    if layer.op not in _KERNEL_AXES:
        return {}
    kernel = walk.stored(op.inputs[1]).transpose(_KERNEL_AXES[layer.op])
    channels = layer.channels
    bias = walk.stored(op.inputs[2]).reshape(-1) if len(op.inputs) > 2 else np.zeros(channels, np.float32)
    if layer.op == "dense":
        return {f"{layer.name}/kernel": kernel, f"{layer.name}/bias": bias}
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    norm = {"gamma": ones, "beta": bias, "moving_mean": zeros, "moving_variance": ones - np.float32(BN_EPSILON)}
    own = f"{layer.name}/{'depthwise_kernel' if layer.op == 'depthwise' else 'kernel'}"
    return {own: kernel} | {f"{layer.name}_bn/{name}": values for name, values in norm.items()}


def _fold(preprocess: Preprocess, before: Affine, path: Path) -> Preprocess:
    """Preprocessing followed by ``factor * x + shift``, as one preprocessing."""
    if not before.factor > 0:
        raise UserError(f"{path} multiplies its input by {before.factor:g}. Only positive factors can be imported.")
    if isinstance(preprocess.mean, tuple) or isinstance(preprocess.std, tuple):
        raise UserError(f"{path} has a mean or std for each channel. The weights of this family have one for all.")
    mean = preprocess.mean - before.shift * preprocess.std / before.factor
    return replace(preprocess, mean=round(mean, 6), std=preprocess.std / before.factor)
