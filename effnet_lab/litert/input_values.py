"""What a file's input takes, read off the file: its shape, its scale, or what the network does with it first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.inputs import InputSlot
from effnet_lab.images.preprocess import Grey, Preprocess
from effnet_lab.litert.graph import Graph, Op, Tensor
from effnet_lab.litert.standard_metadata import read_normalisation

Tone = tuple[Grey, Grey]  # mean and standard deviation, grey levels
LITE, SYMMETRIC, HALF = (127.0, 128.0), (127.5, 127.5), (128.0, 128.0)
UNIT, RAW = (0.0, 255.0), (0.0, 1.0)
IMAGENET: Tone = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's
USUAL: tuple[Tone, ...] = (LITE, SYMMETRIC, HALF, UNIT, RAW, IMAGENET)
_SLACK = 0.08  # share of a normalisation's width by which an input may miss it: bicubic kernels overshoot
_ALIKE = 0.001  # of the same: then the code of zero decides
_SMALLEST_PX = 8  # what is smaller is no picture
_PASSES = ("cast", "transpose", "dequantize", "reshape")  # ops that change no value


def input_slots(graph: Graph, signature: tuple[str, ...] = ()) -> list[InputSlot]:
    """The inputs of a network as arrays must fit them; `signature` has their names there, in the same order."""
    slots = []
    for i, index in enumerate(graph.inputs):
        tensor = graph.tensors[index]
        short = tensor.name.removeprefix("serving_default_").split(":")[0]
        names = dict.fromkeys([tensor.name, short, *signature[i : i + 1]])
        scale, zero = (float(tensor.scale[0]), int(tensor.zero_point[0])) if tensor.quantized else (0.0, 0)
        slots.append(InputSlot(tuple(names), tensor.shape, tensor.dtype, scale, zero, tensor.open_size))
    return slots


def taken(graph: Graph) -> str:
    """Shapes of its inputs in words; the file may leave a size open."""
    tensors = (graph.tensors[index] for index in graph.inputs)
    return ", ".join(f"{each.shape}{' as a stand-in for any size' * each.open_size}" for each in tensors)


def how_to_feed(graph: Graph, arrays: str) -> str:
    """Advice for a network that takes no pictures: `arrays`, unless its file leaves a size open, which arrays do not settle."""
    is_open = any(graph.tensors[index].open_size for index in graph.inputs)
    return "Export it with the size that you use." if is_open else arrays


def find_preprocess(graph: Graph, standard: bytes) -> Preprocess | None:
    """What TFLite Metadata state, else what follows from the input or from the first ops, else a guess, which says so.

    Crop and interpolation stand in no file from elsewhere. None where the network takes no pictures: several inputs, or a
    shape that is none.
    """
    if len(graph.inputs) != 1 or (shape := _picture(graph.tensors[graph.inputs[0]].shape)) is None:
        return None
    (mean, std), origin = _tone(graph, standard)
    if shape["channels"] == "grey" and isinstance(mean, tuple):
        (mean, std), origin = SYMMETRIC, "guessed"
    return Preprocess(**shape, mean=mean, std=std, origin=origin, framing="default")


def _picture(shape: tuple[int, ...]) -> dict[str, Any] | None:
    """Size, channels and layout; None for what is no picture. Grey pictures are square: other planes are spectrograms."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    layout = "channels_last" if shape[3] in (1, 3) else "channels_first"
    height, width, channels = shape[1:] if layout == "channels_last" else (*shape[2:], shape[1])
    if channels not in (1, 3) or min(height, width) < _SMALLEST_PX or (channels == 1 and height != width):
        return None
    size = {"size_px": height} if height == width else {"size_px": height, "width_px": width}
    return size | {"layout": layout, "channels": "grey" if channels == 1 else "RGB"}


def _tone(graph: Graph, standard: bytes) -> tuple[Tone, str]:
    """Mean and standard deviation, and where they come from."""
    tensor = graph.tensors[graph.inputs[0]]
    stated = read_normalisation(standard)
    if stated is not None and np.all(np.greater(stated[1], 0)) and _holds(tensor, *stated):
        return stated, "metadata"
    if tensor.quantized:
        found = by_scale(tensor)
        low, high = _limits(tensor)
        guess = LITE if low < -0.1 * high else UNIT if high < 2 else RAW
        return (guess, "guessed") if found is None else (found, "input scale")
    if tensor.dtype.kind in "iu":
        return RAW, "input scale"
    found = _by_first_ops(graph)
    return (LITE, "guessed") if found is None else (found, "first ops")


def by_scale(tensor: Tensor) -> Tone | None:
    """The usual normalisation whose values a quantized input holds."""
    if np.iinfo(tensor.dtype).bits == 8:
        pixel = float(tensor.zero_point[0]) - np.iinfo(tensor.dtype).min  # the code of zero, counted from the lowest
        for mean, std in (LITE, SYMMETRIC, HALF, UNIT, RAW):
            if abs(tensor.scale[0] * std - 1) < 0.002 and abs(pixel - mean) <= 0.5:  # a pixel's code is the pixel
                return mean, std
        return _usual(*_limits(tensor))
    high = _limits(tensor)[1]  # 16 bits are symmetric about 0, so that only the highest value says something
    near = [tone for tone in USUAL if abs(max(map(abs, _ends(tone))) / high - 1) <= _SLACK]
    return near[0] if len(near) == 1 else None


def _holds(tensor: Tensor, mean: Grey, std: Grey) -> bool:
    """Whether most grey levels fit a quantized input; where they do not, the statement is about something else."""
    if not tensor.quantized:
        return True
    grey = (np.arange(256)[:, np.newaxis] - np.atleast_1d(mean)) / np.atleast_1d(std)
    low, high = _limits(tensor)
    margin = float(tensor.scale[0])
    return bool(np.mean((grey >= low - margin) & (grey <= high + margin)) > 0.5)


def _limits(tensor: Tensor) -> tuple[float, float]:
    """Lowest and highest value of a quantized tensor."""
    codes = np.iinfo(tensor.dtype)
    low, high = (float(tensor.scale[0]) * (code - int(tensor.zero_point[0])) for code in (codes.min, codes.max))
    return low, high


def _ends(tone: Tone) -> tuple[float, float]:
    """What black and white become, over all channels."""
    mean, std = np.asarray(tone[0]), np.asarray(tone[1])
    return float((-mean / std).min()), float(((255 - mean) / std).max())


def _usual(low: float, high: float) -> Tone | None:
    """The usual normalisation whose values are nearest to this range; None if none is near."""
    misses = []
    for tone in USUAL:
        black, white = _ends(tone)
        misses.append(max(abs(low - black), abs(high - white)) / (white - black))
    if min(misses) > _SLACK:
        return None
    near = [tone for tone, miss in zip(USUAL, misses, strict=True) if miss <= min(misses) + _ALIKE]
    zero = -low * 255 / (high - low)  # the grey level that becomes 0
    return next((tone for tone in near if np.all(np.abs(zero - np.asarray(tone[0])) <= 0.51)), near[0])


def _by_first_ops(graph: Graph) -> Tone | None:
    """The normalisation that a QUANTIZE or normalising ops behind a float input leave to be done before it."""
    here, factor, shift, seen = graph.inputs[0], np.ones(1), np.zeros(1), False
    while len(readers := [op for op in graph.ops if here in op.inputs]) == 1:
        op = readers[0]
        out = graph.tensors[op.outputs[0]]
        if op.kind == "quantize" and out.quantized:
            ends = [(end - shift) / factor for end in _limits(out)]
            return _usual(float(np.min(ends)), float(np.max(ends)))
        if op.kind not in _PASSES:
            if (step := _affine(graph, op, here)) is None:
                break
            factor, shift, seen = factor * step[0], shift * step[0] + step[1], True
        here = op.outputs[0]
    return _before(factor, shift) if seen else None


def _affine(graph: Graph, op: Op, here: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Factor and shift of an op that multiplies with, divides by, adds or subtracts a constant per channel."""
    if op.kind not in ("mul", "div", "add", "sub") or len(op.inputs) != 2:
        return None
    first = op.inputs[0] == here
    constant = graph.tensors[op.inputs[1] if first else op.inputs[0]]
    if constant.data is None or constant.data.size not in (1, 3) or constant.quantized:
        return None
    value, one, zero = constant.data.reshape(-1).astype(np.float64), np.ones(1), np.zeros(1)
    if op.kind == "mul":
        return value, zero
    if op.kind == "add":
        return one, value
    if op.kind == "sub":
        return (one, -value) if first else (-one, value)
    return (1 / value, zero) if first and value.all() else None


def _before(factor: NDArray[np.float64], shift: NDArray[np.float64]) -> Tone | None:
    """What must lie before ``factor * x + shift`` for a convolution to get values about 0, or grey levels."""
    for least, most, farthest in ((0.9, 8.0, 4.0), (200.0, 300.0, 300.0)):
        for tone in (RAW, UNIT, SYMMETRIC):
            ends = np.stack([end * factor + shift for end in _ends(tone)])
            width = np.abs(ends[1] - ends[0])
            if width.min() >= least and width.max() <= most and np.abs(ends).max() <= farthest:
                return tone
    return None
