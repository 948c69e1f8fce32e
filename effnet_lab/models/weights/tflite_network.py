"""Which network of the family a .tflite file is, op by op; no TensorFlow is loaded to say that it is another one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from effnet_lab.litert import Op
from effnet_lab.models.weights.mapping import RELU6_NETWORKS, listed
from effnet_lab.models.weights.tflite_walk import OtherNetworkError, Walk
from effnet_lab.scaling import NetSpec, get_spec, known_spec
from effnet_lab.scaling.layers import Layer, layers

_VALID, _RELU6 = 1, 3  # of Padding and ActivationFunctionType in TensorFlow Lite's schema
MOST_UNLIKE = 0.3  # share of the layers, from which on a file is no damaged network of this family but another one
KERNEL_AXES = {"conv": (1, 2, 3, 0), "depthwise": (1, 2, 3, 0), "dense": (1, 0)}  # of the file, in Keras' order


def recognise(path: Path, variant: str | None = None) -> tuple[NetSpec, int, list[tuple[Layer, Op]], Walk]:
    """Specification, number of classes (0 where the file ends at the pooled features), each layer with its op, and the walk.

    Raises
    ------
    OtherNetworkError
        If the file is not the network exactly: kinds and shapes of the ops, strides, padding, activations, and what is added
        to what.
    """
    walk = Walk(path)
    shape = walk.input.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise OtherNetworkError(f"{path} takes {shape}, not square RGB images. Give an image classifier.")
    spec, classes = _recognise(walk, path, variant)
    steps = list(zip(layers(spec, max(classes, 1), shape[1]), walk.layers, strict=classes > 0))
    _check_wiring(walk, steps, path)
    return spec, classes, steps, walk


def _recognise(walk: Walk, path: Path, variant: str | None) -> tuple[NetSpec, int]:
    """Specification and number of classes; 0 when the file ends at the pooled features."""
    has = [_signature(op.kind, _kernel(walk, op)) for op in walk.layers]
    last = walk.layers[-1]
    classes = walk.stored(last.inputs[1]).shape[0] if last.kind == "dense" else 0
    if variant is None and (own := known_spec(walk.info.variant)):
        candidates = RELU6_NETWORKS | {own.name: own}
    else:
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
            f"{path} is not an EfficientNet-Lite: {extra[nearest].total()} of its {len(has)} layers fit none. Its weights cannot "
            "be opened; evaluate, layer-error, verdicts, explain, bench and lint take the file as it is."
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
    if op.kind not in KERNEL_AXES:
        return ()
    stored = walk.value(op.inputs[1])
    return () if stored is None else tuple(stored.shape[axis] for axis in KERNEL_AXES[op.kind])


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
