"""What the stored codes allow: dead, constant and wasted outputs, overflows, weights per tensor, unlike residuals.

All bounds hold for any image: they follow from the codes that the op before can write, never from data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.lint.network import Network, Node, normal
from effnet_lab.analysis.lint.rules import Finding

_INT32 = np.iinfo(np.int32)
_DEAD_RANGE = 1e-4  # real units over all 256 codes; images give activations of about 1
_MOST_UNUSED = 64  # codes left by the activation: two of eight bits lost
_UNLIKE_BITS = 3.0
_APART_BITS = 2.0


def check(network: Network) -> Iterator[Finding]:
    """D301 to D304, B401, B402, W501, W502 and R601."""
    for node in network.computing:
        out = node.output
        if out.dtype.name != "int8" or not out.quantized:
            continue
        dead = float(out.scale[0]) * 255 < _DEAD_RANGE
        if dead:
            yield Finding(
                id="D301",
                op=node.op.index,
                evidence=f"scale {out.scale[0]:.3g}: 256 codes span {out.scale[0] * 255:.3g}",
            )
        elif node.kind != "softmax" and out.index in network.codes:
            yield from _unused(node, *network.codes[out.index])
        if node.integer_layer and np.all(normal(node.inputs[0].scale)) and np.all(normal(out.scale)):
            yield from _layer(node, network, dead)
        if node.kind == "add":
            yield from _residual(node)


def _unused(node: Node, low: int, high: int) -> Iterator[Finding]:
    left = high - low + 1
    if left == 1:
        evidence = f"activation {node.options.fused} and zero point {node.output.zero_point[0]} leave code {low} only"
        yield Finding(id="D302", op=node.op.index, evidence=evidence)
    elif left <= _MOST_UNUSED:
        evidence = f"activation {node.options.fused} leaves {left} of 256 codes: {8 - np.log2(left):.1f} bits lost"
        yield Finding(id="D304", op=node.op.index, evidence=evidence)


def _layer(node: Node, network: Network, dead: bool) -> Iterator[Finding]:
    yield from _per_tensor(node)
    low, high = accumulator_range(node, network)
    bias = node.bias.data.reshape(-1).astype(np.int64) if node.bias is not None and node.bias.data is not None else None
    full = np.zeros(low.size, bool) if bias is None else (bias <= -_INT32.max) | (bias >= _INT32.max)
    if bias is not None and full.any():
        channel = int(np.flatnonzero(full)[0])
        evidence = (
            f"{full.sum()} of {full.size} channels at the end of int32, channel {channel} first: {bias[channel]:,}"
        )
        yield Finding(id="B401", op=node.op.index, evidence=evidence)
    over = ((low < _INT32.min) | (high > _INT32.max)) & ~full
    if over.any():
        worst = int(np.max(np.maximum(-low, high)[over]))
        evidence = (
            f"{over.sum()} of {over.size} channels; the largest possible sum is {worst:,}, int32 ends at {_INT32.max:,}"
        )
        yield Finding(id="B402", op=node.op.index, evidence=evidence)
    if not dead and node.output.index in network.codes:
        yield from _constant(node, low, high, *network.codes[node.output.index])


def accumulator_range(node: Node, network: Network) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest accumulator per channel, int64, over all codes that the input can hold."""
    x, weights = node.inputs[0], node.inputs[1].values
    limits = np.iinfo(x.dtype)
    codes = network.codes.get(x.index, (limits.min, limits.max))
    below, above = (min(codes[0] - int(x.zero_point[0]), 0), max(codes[1] - int(x.zero_point[0]), 0))  # 0 pads
    up = np.maximum(weights, 0).sum(node.channel_axes, dtype=np.int64)
    down = np.minimum(weights, 0).sum(node.channel_axes, dtype=np.int64)
    bias = node.bias.data.reshape(-1).astype(np.int64) if node.bias is not None and node.bias.data is not None else 0
    return up * below + down * above + bias, up * above + down * below + bias


def _constant(
    node: Node, low: NDArray[np.int64], high: NDArray[np.int64], lowest: int, highest: int
) -> Iterator[Finding]:
    """Channels whose code is the same at both ends of the accumulator."""
    zero = int(node.output.zero_point[0])
    multipliers = np.broadcast_to(node.multipliers.astype(np.float64), low.shape)
    ends = [np.clip(np.rint(bound * multipliers) + zero, lowest, highest) for bound in (low, high)]
    same = (ends[0] == ends[1]) & (high >= _INT32.min) & (low <= _INT32.max)
    n, of = int(same.sum()), same.size
    if n == of and of > 1:
        codes = np.unique(ends[0]).astype(int)
        where = {(lowest,): "the lowest code", (highest,): "the highest code"}.get(tuple(codes), "one code each")
        yield Finding(id="D302", op=node.op.index, evidence=f"all {of} channels stay at {where} whatever goes in")
    elif n:
        never, always = int((same & (ends[1] == lowest)).sum()), int((same & (ends[0] == highest)).sum())
        evidence = (
            f"{n} of {of} channels: {never} at the lowest code, {always} at the highest, {n - never - always} between"
        )
        yield Finding(id="D303", op=node.op.index, evidence=evidence)


def _per_tensor(node: Node) -> Iterator[Finding]:
    kernel = node.inputs[1]
    if kernel.scale.size > 1 or node.output.shape[-1] < 2:
        return
    largest = np.abs(kernel.values.astype(np.int16)).max(node.channel_axes).astype(np.float64)
    bits = np.log2(largest.max() / np.maximum(largest, 1)) if largest.max() > 0 else np.zeros(1)
    evidence = f"median channel loses {np.median(bits):.1f} bits, the worst {bits.max():.1f}"
    if node.kind == "depthwise":
        yield Finding(id="W501", op=node.op.index, evidence=evidence)
    elif np.median(bits) >= _APART_BITS:
        yield Finding(id="W502", op=node.op.index, evidence=evidence)


def _residual(node: Node) -> Iterator[Finding]:
    computed = [tensor for tensor in node.inputs if tensor.data is None]
    scales = np.array([float(tensor.scale[0]) for tensor in computed if tensor.quantized])
    if scales.size != 2 or not np.all(normal(np.array([*scales, node.output.scale[0]], np.float32))):
        return
    lost = np.log2(float(node.output.scale[0]) / scales.min())
    if lost >= _UNLIKE_BITS:
        evidence = (
            f"input scales {scales[0]:.3g}, {scales[1]:.3g}, output {node.output.scale[0]:.3g}: {lost:.1f} bits lost"
        )
        yield Finding(id="R601", op=node.op.index, evidence=evidence)
