"""Cross-layer equalization that leaves a network with ReLU6 what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.repair.moments import Moments
from effnet_lab.analysis.repair.scale_groups import Group, channel_groups
from effnet_lab.litert import Graph, Op, read_graph
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.options import op_options
from effnet_lab.names import UserError

CEILING = 6.0  # of ReLU6
LEAST_SHARE = 1 / 8  # of its bound that a channel is taken to reach, however little it fired on the calibration images
MOST_OCTAVES = 24  # a scale stays between 2**-24 and 2**24
SWEEPS = 200  # at most so many passes over the network
SETTLED = 1e-3  # or until no scale moves further than this, octaves


def equalize(float_content: bytes, moments: Mapping[str, Moments], *, headroom: float = 1.5) -> bytes:
    """Give the channels of each layer similar ranges, so that one scale per tensor fits them all.

    An activation's channel is multiplied by s: in the layers that compute it (kernel and bias), and divided out in the
    kernels that read it. Activations that an addition ties share s. As in the reference, s = sqrt(r_in / r_out), where r_out
    is the channel's range in what grows with s and r_in in what shrinks; here the activation itself, which has one scale
    per tensor too, counts among the first, and each range is relative to its tensor's. Passes are repeated until they settle.

    The reference replaces ReLU6 by ReLU; here the network stays the same function. Every s is a power of two, so that

    - where no ReLU6 is scaled, the output is equal bit for bit, for every input;
    - a channel before ReLU6 is scaled only as far as neither the old nor the new one is cut off at 6: ``s * reach <= 6``,
      and s = 1 where ``reach >= 6``. Reach is `headroom` times the largest value on the calibration images, but at least an
      eighth and at most all of what the weights allow when the layer's input stays within its own reach. The output is equal
      bit for bit for every image whose activations stay within `headroom` times what was seen.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file, batch norm folded.
    moments : mapping of tensor name to Moments
        From `measure_moments` on the same file.
    headroom : float
        At least 1. More leaves less freedom and is safer on unseen images; infinite: equal bit for bit for every input.

    Returns
    -------
    bytes
        A file with the same graph and names, other weights.

    References
    ----------
    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1.
    """
    if not headroom >= 1:
        raise UserError(
            f"headroom must be at least 1, or values of the calibration images would be clipped. Got {headroom}."
        )
    graph, options = read_graph(float_content), op_options(float_content)
    groups = channel_groups(graph, options)
    capped = {i for group in groups for i in group.relu6}
    bounds = [_bounds(graph, group, moments, headroom, capped) for group in groups]
    octaves = _settle(graph, groups, bounds, moments)
    arrays = {i: tensor.data.copy() for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    for group, log, (_low, high) in zip(groups, octaves, bounds, strict=True):
        whole = np.rint(log)
        _scale(arrays, group, np.exp2(np.where(whole > high, np.floor(high), whole)).astype(np.float32))
    changed = [t for t in graph.tensors if t.data is not None and not np.array_equal(arrays[t.index], t.data)]
    return with_constants(float_content, {tensor.name: arrays[tensor.index] for tensor in changed})


def channel_range(kernel: NDArray[Any], kind: str, side: str, channels: int) -> NDArray[Any]:
    """Largest absolute weight of every output ("out") or input ("in") channel, (channels,)."""
    axis = _axis(kind, side, kernel.ndim)
    ranges = np.abs(kernel).max(axis=tuple(i for i in range(kernel.ndim) if i != axis))
    return np.asarray(ranges.reshape(channels, -1).max(axis=1))  # a depthwise kernel may have several outputs per input


def _settle(graph: Graph, groups: list[Group], bounds: list[Any], moments: Mapping[str, Moments]) -> list[NDArray[Any]]:
    """Base-2 logarithms of every group's scales, (channels,) each."""
    arrays = {op.inputs[1]: graph.kernel(op).astype(np.float64) for group in groups for op in group.layers}
    octaves = [np.zeros(group.channels) for group in groups]
    for _ in range(SWEEPS):
        moved = 0.0
        for group, log, (low, high) in zip(groups, octaves, bounds, strict=True):
            grows = [channel_range(arrays[op.inputs[1]], op.kind, "out", group.channels) for op in group.producers] + [
                np.exp2(log) * moments[graph.tensors[op.outputs[0]].name].peak for op in group.producers
            ]
            shrinks = [channel_range(arrays[op.inputs[1]], op.kind, "in", group.channels) for op in group.consumers]
            r_out, r_in = _relative(grows), _relative(shrinks)
            used = (r_out > 0) & (r_in > 0)
            wish = log + np.where(used, np.log2(np.where(used, r_in, 1) / np.where(used, r_out, 1)) / 2, 0)
            step = np.clip(wish, low, high) - log
            log += step
            _scale(arrays, group, np.exp2(step))
            moved = max(moved, float(np.abs(step).max()))
        if moved < SETTLED:
            break
    return octaves


def _relative(ranges: list[NDArray[Any]]) -> NDArray[Any]:
    """Per channel, the largest share of its tensor's range that it takes up in any of the tensors, (channels,)."""
    return np.asarray(np.max([r / r.max() if r.max() > 0 else r for r in ranges], axis=0))


def _bounds(
    graph: Graph, group: Group, moments: Mapping[str, Moments], headroom: float, capped: set[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Between which powers of two a channel may be scaled: exponents, two arrays (channels,)."""
    low, high = np.full(group.channels, -float(MOST_OCTAVES)), np.full(group.channels, float(MOST_OCTAVES))
    producer = {op.outputs[0]: op for op in group.producers}
    for i in group.relu6:
        peak = moments[graph.tensors[i].name].peak
        op = producer.get(i)
        proved = np.full(group.channels, np.inf) if op is None else _most(graph, op, moments, headroom, capped)
        seen = peak * headroom if math.isfinite(headroom) else np.full(group.channels, np.inf)
        seen = np.maximum(seen, np.where(np.isfinite(proved), proved * LEAST_SHARE, 0))
        reach = np.where(peak > 0, np.minimum(seen, proved), proved)  # what never fired is known by its bound alone
        room = np.log2(CEILING) - np.log2(np.maximum(reach, CEILING * 2.0**-MOST_OCTAVES))
        high = np.minimum(high, np.maximum(room, 0))
        low = np.where(reach >= CEILING, 0, low)
    return low, high


def _most(graph: Graph, op: Op, moments: Mapping[str, Moments], headroom: float, capped: set[int]) -> NDArray[Any]:
    """Largest value that a layer can compute, (channels,), when its input lies in [0, 6] or in `headroom` times what it was."""
    kernel, source = graph.kernel(op).astype(np.float64), op.inputs[0]
    if source not in capped and math.isinf(headroom):
        return np.full(graph.tensors[op.outputs[0]].shape[-1], np.inf)
    width = graph.tensors[source].shape[-1]
    high = np.full(width, CEILING) if source in capped else headroom * moments[graph.tensors[source].name].peak
    low = np.zeros(width) if source in capped else -high
    if op.kind == "depthwise":
        low, high = (np.repeat(end, kernel.shape[3] // width) for end in (low, high))
    most = np.maximum(kernel * low, kernel * high)
    axis = _axis(op.kind, "out", kernel.ndim)
    total = most.sum(axis=tuple(i for i in range(kernel.ndim) if i != axis))
    bias = graph.tensors[op.inputs[2]].data if len(op.inputs) > 2 else None
    return np.asarray(total if bias is None else total + bias)


def _scale(arrays: dict[int, NDArray[Any]], group: Group, scale: NDArray[Any]) -> None:
    """Multiply a group's channels: kernels and biases (where `arrays` has them) before it, kernels after it."""
    for op in group.producers:
        kernel = arrays[op.inputs[1]]
        arrays[op.inputs[1]] = kernel * _along(scale, kernel.shape, _axis(op.kind, "out", kernel.ndim))
        if len(op.inputs) > 2 and op.inputs[2] in arrays:
            arrays[op.inputs[2]] = arrays[op.inputs[2]] * scale
    for op in group.consumers:
        kernel = arrays[op.inputs[1]]
        arrays[op.inputs[1]] = kernel / _along(scale, kernel.shape, _axis(op.kind, "in", kernel.ndim))


def _along(scale: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    spread = [1] * len(shape)
    spread[axis] = -1
    return np.repeat(scale, shape[axis] // len(scale)).reshape(spread)


def _axis(kind: str, side: str, ndim: int) -> int:
    """Where a kernel has its output or input channels."""
    return ndim - 1 if kind == "depthwise" or side == "in" else 0
