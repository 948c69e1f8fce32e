"""Which ops Arm's Vela would leave to the CPU instead of an Ethos-U NPU.

For the ops of image classifiers, found by compiling files of one op with ethos-u-vela 5.2. Its compiler is laxer than the
list in its tflite_supported_operators.py, which stands for the older one: strides above 3 pass where nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from effnet_lab.analysis.lint.network import LAYERS, Network, Node
from effnet_lab.analysis.lint.rules import Finding
from effnet_lab.litert import Tensor

_KINDS = {
    *LAYERS, "add", "sub", "mul", "minimum", "maximum", "mean", "softmax", "relu", "relu6", "relu_n1_to_1", "logistic",
    "tanh", "hard_swish", "leaky_relu", "prelu", "quantize", "reshape", "squeeze", "expand_dims", "pad", "mirror_pad",
    "max_pool_2d", "average_pool_2d", "concatenation", "split", "split_v", "slice", "strided_slice", "pack", "unpack",
    "transpose", "transpose_conv", "resize_bilinear", "resize_nearest_neighbor", "abs", "exp", "squared_difference",
    "arg_max", "batch_matmul", "gelu", "log", "padv2", "reduce_max", "reduce_min", "rsqrt", "sum", "tile",
}  # fmt: skip
_TYPES = ("uint8", "int8", "int16", "int32")
_LARGEST_STRIDE = 3
_LARGEST_WEIGHT_SUM = 127 * 65536
_MEAN_COUNT = {"int8": 2**24, "uint8": 2**23, "int16": 2**16}
_MEAN_SIDE = 4096
_ANY_BATCH = ("dense", "softmax", "reshape", "squeeze", "split", "split_v", "slice", "strided_slice", "unpack")


def objection(node: Node) -> str | None:
    """Why an op would run on the CPU; None if the NPU takes it."""
    if node.kind not in _KINDS or not node.inputs or not node.outputs:
        return f"{node.kind} is a CPU op"
    values = _values(node)
    if (other := next((tensor for tensor in values if tensor.dtype.name not in _TYPES), None)) is not None:
        return f"{other.dtype.name} values"
    if node.kernel is not None and node.kernel.dtype.itemsize != 1:
        return f"{node.kernel.dtype.name} weights"
    if node.kernel is not None and node.kernel.dtype.name == "int4":
        return "4-bit weights, on which Vela 5.2 ends with a division by zero"
    if any(_without_scale(tensor) for tensor in (*values, node.kernel) if tensor is not None):
        return "a tensor without quantization, or a scale that is not positive, on which Vela ends"
    if any(tensor.scale.size > 1 for tensor in values):
        return "an activation quantized per channel"
    if node.kind not in _ANY_BATCH and len(node.inputs[0].shape) == 4 and node.inputs[0].shape[0] != 1:
        return f"a batch of {node.inputs[0].shape[0]}"
    if node.options.fused == "sign_bit":
        return "fused activation sign_bit"
    if node.kind == "mean":
        return _mean(node)
    return _window(node) if node.kind in ("conv", "depthwise") else None


def _values(node: Node) -> list[Tensor]:
    """What flows, without indices: a shape that is computed, the place of a maximum."""
    out = [] if node.kind == "arg_max" else [node.output]
    if not node.output.quantized:
        return [*node.flowing, *out]
    return [tensor for tensor in node.flowing if tensor.quantized or tensor.dtype.name != "int32"] + out


def _without_scale(tensor: Tensor) -> bool:
    return not tensor.quantized or not np.all(np.isfinite(tensor.scale) & (tensor.scale > 0))


def _window(node: Node) -> str | None:
    kernel, how = node.inputs[1], node.options
    if kernel.data is None:
        return "weights that are computed"
    down, across = how.stride
    folded = node.kind == "conv" and how.dilation == (1, 1) and not _padded(node)  # columns become channels
    if max(down, across) > _LARGEST_STRIDE and not folded:
        return f"stride {down}x{across}: above {_LARGEST_STRIDE} only in a convolution without padding or dilation"
    largest = int(np.abs(kernel.values.astype(np.int16)).sum(node.channel_axes, dtype=np.int64).max())
    return f"sum of weights {largest:,}, at most {_LARGEST_WEIGHT_SUM:,}" if largest > _LARGEST_WEIGHT_SUM else None


def _padded(node: Node) -> bool:
    sides = zip(
        node.inputs[0].shape[1:3], node.output.shape[1:3], node.inputs[1].shape[1:3], node.options.stride, strict=True
    )
    return node.options.same and any((out - 1) * stride + size > into for into, out, size, stride in sides)


def _mean(node: Node) -> str | None:
    shape = node.inputs[0].shape
    if node.inputs[1].data is None or not shape:
        return "axes that are computed"
    axes = [int(axis) % len(shape) for axis in node.inputs[1].values.reshape(-1)]
    count, most = int(np.prod([shape[axis] for axis in axes])), _MEAN_COUNT.get(node.inputs[0].dtype.name, 0)
    if count > most or max(shape[axis] for axis in axes) > _MEAN_SIDE:
        return f"a mean over {count:,} values, at most {most:,}, and {_MEAN_SIDE:,} along one axis"
    if len(shape) - 1 in axes and min(shape[1:]) > 1:
        return "a mean over channels"
    return None


def _vanishing(network: Network) -> set[int]:
    """Ops that Vela makes part of others."""
    readers: dict[int, list[Node]] = {}
    for node in network.nodes:
        for index in node.op.inputs:
            readers.setdefault(index, []).append(node)
    return _shapes(network, readers) | _dilations(network, readers)


def _shapes(network: Network, readers: dict[int, list[Node]]) -> set[int]:
    """Whatever computes nothing but the shape of a reshape: the file says it already."""
    found: set[int] = set()
    for node in reversed(network.computing):
        made = node.output.index
        if made not in network.graph.outputs and all(
            reader.op.index in found or (reader.kind == "reshape" and reader.inputs[0].index != made)
            for reader in readers.get(made, [])
        ):
            found.add(node.op.index)
    return found


def _dilations(network: Network, readers: dict[int, list[Node]]) -> set[int]:
    """Ops around a convolution that only spread it: a dilation in three ops."""
    found: set[int] = set()
    for node in network.computing:
        between = readers.get(node.output.index, [])
        after = readers.get(between[0].output.index, []) if len(between) == 1 and between[0].outputs else []
        kinds = [node.kind, *(other.kind for other in (*between, *after))]
        if kinds in (["space_to_batch_nd", kind, "batch_to_space_nd"] for kind in LAYERS):
            found |= {node.op.index, after[0].op.index}
    return found


def check(network: Network) -> Iterator[Finding]:
    """E701 and E702."""
    vanishing = _vanishing(network)
    objections = {node.op.index: objection(node) for node in network.nodes if node.op.index not in vanishing}
    left = {index: why for index, why in objections.items() if why is not None}
    if left and len(left) == len(objections):
        first = next(iter(left.values()))
        yield Finding(id="E702", op=None, evidence=f"all {len(left)} ops are left to the CPU: {first} first")
        return
    for index, why in left.items():
        yield Finding(id="E701", op=index, evidence=why)
