"""What TensorFlow Lite's XNNPACK delegate will do with each op, without asking it.

The delegate looks at some conditions before it takes an op (else the op stays with the plain kernels); what it does not look
at and XNNPACK then refuses, fails at the first run: "failed to create XNNPACK runtime". Source of the bounds: XNNPACK,
src/operators/convolution-nhwc.c and fully-connected-nc.c (256), tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc (which
scales are checked first, and the ratios of elementwise ops); each was found again by running files of one op.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from effnet_lab.analysis.lint.network import LAYERS, SUMS, Network, Node, normal
from effnet_lab.analysis.lint.rules import Finding
from effnet_lab.litert import Tensor
from effnet_lab.litert.graph import CHANGES_OF_TYPE

LARGEST_MULTIPLIER = 256.0
_RATIOS = {"add": (2.0**-10, 2.0**8), "sub": (2.0**-10, 2.0**8), "mul": (2.0**-16, 2.0**8)}  # from, below
_RESCALES = 2.0**-8, 2.0**7  # scale of the input over that of the output: quantize, both sides of a leaky ReLU
_MOST_JOINED, _MOST_PARTS = 5, 4
_ABORT = 2.0**19  # input scale over output scale of an addition, from which the plain kernel aborts the process
_FUSED = ("none", "relu", "relu6", "relu_n1_to_1")
_MOST_AXES = 6
_EIGHT_BITS = ("int8", "uint8")
_EITHER = {  # kinds that are taken with float and with 8-bit activations, if their form and scales allow
    *LAYERS, *_RATIOS, "mean", "sum", "reduce_max", "reduce_min", "max_pool_2d", "concatenation", "split", "slice",
    "strided_slice", "pad", "reshape", "transpose", "depth_to_space", "space_to_depth", "resize_bilinear",
    "transpose_conv", "leaky_relu", "logistic", "tanh", "batch_matmul",
}  # fmt: skip
_TAKEN = {  # the same and the others, by the type of the activations
    "float32": {
        *_EITHER, "softmax", "relu", "relu6", "relu_n1_to_1", "dequantize", "abs", "average_pool_2d", "ceil", "cos", "div",
        "elu", "exp", "floor", "gelu", "hard_swish", "log", "maximum", "minimum", "neg", "prelu", "round", "rsqrt", "sin", "sqrt",
        "square", "squared_difference",
    },
    "int8": {*_EITHER, "quantize", "elu"},
    "uint8": {*_EITHER, "quantize"},
}  # fmt: skip
_STORED = {  # inputs that have to be in the file: by how many places from the front
    "conv": (1, 2), "depthwise": (1, 2), "mean": (1,), "sum": (1,), "reduce_max": (1,), "reduce_min": (1,), "pad": (1,),
    "reshape": (1,), "resize_bilinear": (1,), "slice": (1, 2), "strided_slice": (1, 2, 3), "split": (0,), "transpose": (1,),
    "prelu": (1,), "transpose_conv": (0, 1, 3),
}  # fmt: skip
_BIAS_OFF = 0.01  # how far a bias scale may be from input scale x weight scale
_SMALL_SHARE = 0.01  # of the MAdds


def fates(network: Network) -> dict[int, tuple[str, str]]:
    """`fate` of every op by its index, with what follows from that of others.

    A weight that is unpacked for an op left to the plain kernels is unpacked there; a variable goes where it is used.
    """
    found = {node.op.index: fate(node) for node in network.nodes}
    readers: dict[int, list[Node]] = {}
    for node in network.nodes:
        for index in node.op.inputs:
            readers.setdefault(index, []).append(node)
    for node in network.nodes:
        users = [found[reader.op.index][0] for index in node.op.outputs for reader in readers.get(index, [])]
        if node.kind == "dequantize" and all(node.fixed) and "plain" in users:
            found[node.op.index] = "plain", "unpacks a weight for the plain kernels"
        if node.kind == "var_handle":
            found[node.op.index] = ("delegated", "") if "delegated" in users else ("plain", "var_handle")
    return found


def fate(node: Node) -> tuple[str, str]:
    """("delegated" | "plain" | "refused" | "aborts", why).

    "refused": the interpreter fails at the first run with the delegate, and runs without it. "aborts": the process ends
    with and without the delegate.
    """
    if node.kind in ("read_variable", "assign_variable"):
        return _variable(node)
    if not node.inputs or not node.outputs:
        return "plain", node.kind
    types = {tensor.dtype.name for tensor in (*node.values, *node.outputs)}
    if node.kind in CHANGES_OF_TYPE and len(types) > 1:
        return _change_of_type(node)
    kind_known = all(node.kind in _TAKEN.get(name, ()) for name in types)
    if not kind_known or (node.kernel is not None and node.options.fused not in _FUSED):
        return "plain", f"{node.kind} of {', '.join(sorted(types))}"
    if len(types) > 1:
        return "plain", f"{node.kind} of {' and '.join(sorted(types))}"
    if (why := _out_of_bounds(node)) is not None:
        return "plain", why
    weights = node.kernel.dtype.name if node.kernel is not None else ""
    if types == {"float32"}:
        dynamic = node.kind == "depthwise" and weights == "int8"
        return ("plain", "depthwise with int8 weights and float activations") if dynamic else ("delegated", "")
    if node.kind == "conv" and weights == "int4":
        return "plain", "conv of 4-bit weights"
    if node.kind in SUMS and (why := _abort(node)) is not None:
        return "aborts", why
    if (why := _left_alone(node)) is not None:
        return "plain", why
    for tensor in (*node.activations, *(node.inputs[1:2] if node.kind == "dense" else ())):
        if (why := _not_representable(tensor)) is not None:
            return "refused", why
    if node.kernel is not None and (worst := float(np.max(node.multipliers))) >= LARGEST_MULTIPLIER:
        return "refused", f"multiplier {worst:.4g}, bound {LARGEST_MULTIPLIER:g}"
    return "delegated", ""


def _variable(node: Node) -> tuple[str, str]:
    """State: taken if its value is of a known shape, in float or 8 bits."""
    value = node.inputs[1] if node.kind == "assign_variable" else node.output
    taken = value.dtype.name in _TAKEN and (value.shape or node.kind == "assign_variable")
    return ("delegated", "") if taken else ("plain", f"{node.kind} of {value.dtype.name} {value.shape}")


def _change_of_type(node: Node) -> tuple[str, str]:
    source, target = node.inputs[0], node.output
    if node.fixed[0] or {source.dtype.name, target.dtype.name} in ({"float32", "int8"}, {"float32", "uint8"}):
        return "delegated", ""  # what is stored is unpacked once, when the interpreter starts
    return "plain", f"{node.kind} of {source.dtype.name} to {target.dtype.name}"


def _abort(node: Node) -> str | None:
    *into, out = (float(tensor.scale[0]) for tensor in node.activations)
    if node.kind == "sub" and out == 0:
        return None
    ratio = max(into) / out if out else np.inf
    return (
        f"input scale / output scale {ratio:.4g}, the plain kernel aborts from {_ABORT:g}" if ratio >= _ABORT else None
    )


def _out_of_bounds(node: Node) -> str | None:
    """Why the delegate does not take an op of a kind that it takes, judging by its form."""
    how, kind = node.options, node.kind
    for tensor in (*node.values, node.output):
        if tensor.dtype.name in _EIGHT_BITS and tensor.scale.size != 1:
            return f"{kind} of {tensor.dtype.name} with {tensor.scale.size} scales"
        if tensor.dtype.name in _EIGHT_BITS and tensor.axis != 0:
            return f"{kind} whose {tensor.name[:60]!r} states its one scale for axis {tensor.axis}"
    if kind in _RATIOS and len(node.inputs) != 2:
        return f"{kind} of {len(node.inputs)} tensors"
    if node.kernel is not None and node.kernel.dtype.kind not in "fV" and _scales_do_not_fit(node.kernel):
        return f"{kind} of {node.kernel.dtype.name} weights with {node.kernel.scale.size} scales"
    if any(len(tensor.shape) > _MOST_AXES for tensor in (*node.values, node.output)):
        return f"{kind} of more than {_MOST_AXES} axes"
    places = [place for place in _STORED.get(kind, ()) if place < len(node.inputs)]
    if missing := [node.inputs[place] for place in places if not node.fixed[place]]:
        return f"{kind} whose {missing[0].name[:60]!r} is computed"
    if kind in ("conv", "depthwise") and node.bias is None:
        return f"{kind} without a bias"
    if kind == "concatenation" and not 2 <= len(node.inputs) <= _MOST_JOINED:
        return f"concatenation of {len(node.inputs)} tensors, taken from 2 to {_MOST_JOINED}"
    if kind == "split" and not 2 <= len(node.outputs) <= _MOST_PARTS:
        return f"split into {len(node.outputs)} tensors, taken from 2 to {_MOST_PARTS}"
    if kind == "strided_slice" and (how.masked or np.any(node.inputs[3].values != 1)):
        return "strided_slice with a stride, or that adds or leaves out axes"
    if kind == "slice" and np.any(node.inputs[2].values <= 0):
        return "slice that does not state its size"
    if kind == "pad" and np.any(node.inputs[1].values < 0):
        return "pad that cuts off"
    if kind in ("max_pool_2d", "average_pool_2d") and any(np.greater(how.stride, how.window)):
        return f"{kind} whose stride {how.stride} is larger than its window {how.window}"
    if kind == "softmax" and how.beta != 1:
        return f"softmax with beta {how.beta:g}"
    if kind in ("depth_to_space", "space_to_depth") and how.block <= 1:
        return f"{kind} with a block of {how.block}"
    return None


def _scales_do_not_fit(kernel: Tensor) -> bool:
    return not kernel.quantized or (kernel.dtype.name == "uint8" and (kernel.scale.size > 1 or kernel.axis != 0))


def _left_alone(node: Node) -> str | None:
    """Why the delegate does not take an int8 op, judging by its scales."""
    checked = [node.bias] if node.kind == "dense" else [node.kernel, node.bias]
    for tensor in (t for t in checked if t is not None and node.kind in LAYERS):
        if not np.all(normal(tensor.scale)):
            return f"{'bias' if tensor is node.bias else 'weight'} scale {tensor.scale[~normal(tensor.scale)][0]:.4g}"
    if node.kind in _RATIOS:
        first, second, out = (tensor.scale[0] for tensor in node.activations)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [first * second / out] if node.kind == "mul" else [first / out, second / out]
        low, high = _RATIOS[node.kind]
        for ratio in ratios:
            if not low <= ratio < high:
                return f"scale ratio {ratio:.4g}, taken within [{low:g}, {high:g})"
    if node.kind == "reshape" or (node.kind == "concatenation" and node.output.dtype.name == "uint8"):
        for tensor in node.values:
            if tensor.scale[:1] != node.output.scale[:1] or tensor.zero_point[:1] != node.output.zero_point[:1]:
                return f"{node.kind} whose output is quantized unlike its input"
    if node.kind in ("quantize", "leaky_relu"):
        low, high = _RESCALES
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = node.inputs[0].scale[0] / node.output.scale[0]
        for factor in (ratio, abs(ratio * node.options.slope)) if node.kind == "leaky_relu" else (ratio,):
            if not low <= factor <= high:
                return f"scale ratio {factor:.4g}, taken within [{low:g}, {high:g}]"
    return None


def _not_representable(tensor: Tensor) -> str | None:
    if not np.all(normal(tensor.scale)):
        return f"scale {tensor.scale[~normal(tensor.scale)][0]:.4g} of {tensor.name!r}"
    if tensor.dtype.kind not in "iu":  # 4 bits: symmetric
        return None
    limits = np.iinfo(tensor.dtype)
    outside = (tensor.zero_point < limits.min) | (tensor.zero_point > limits.max)
    return f"zero point {tensor.zero_point[outside][0]} of {tensor.name!r}" if outside.any() else None


def check(network: Network) -> Iterator[Finding]:
    """Q101 to Q106, X201 and X202."""
    total = sum(node.madds for node in network.nodes) or 1
    judged = fates(network)
    for node in network.nodes:
        index = node.op.index
        what, why = judged[index]
        if what == "refused":
            yield Finding(id="Q101" if why.startswith("multiplier") else "Q102", op=index, evidence=why)
        elif what == "aborts":
            yield Finding(id="Q103", op=index, evidence=why)
        elif what == "plain" and not why.startswith(("weight scale", "bias scale")):
            heavy = node.kind in _RATIOS or node.madds / total >= _SMALL_SHARE
            share = f"; {node.madds / total:.1%} of the MAdds" if node.madds else ""
            yield Finding(id="X201" if heavy else "X202", op=index, evidence=why + share)
    for node in network.computing:
        yield from _softmax(node)
        yield from _weight_scales(node)


def _softmax(node: Node) -> Iterator[Finding]:
    out = node.output
    if node.kind != "softmax" or out.dtype.name not in ("int8", "uint8") or not out.quantized:
        return
    scale, zero, wanted = float(out.scale[0]), int(out.zero_point[0]), np.iinfo(out.dtype).min
    if abs(scale * 256 - 1) > 1e-3 or zero != wanted:  # TensorFlow Lite, kernels/activations.cc, SoftmaxPrepare
        yield Finding(id="Q104", op=node.op.index, evidence=f"scale 1/{1 / scale:.4g}, zero point {zero}, not {wanted}")


def _weight_scales(node: Node) -> Iterator[Finding]:
    if not node.integer_layer:
        return
    kernel = node.inputs[1]
    bad = ~normal(kernel.scale)
    if bad.any():
        evidence = f"{bad.sum()} of {bad.size} scales, {kernel.scale[bad][0]:.4g} first; XNNPACK leaves the layer alone"
        yield Finding(id="Q106", op=node.op.index, evidence=evidence)
    if node.bias is None or not node.bias.quantized:
        return
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        expected = node.inputs[0].scale[0].astype(np.float64) * kernel.scale.astype(np.float64)
        off = np.abs(node.bias.scale / expected - 1)
    off = off[np.broadcast_to(expected > 0, off.shape) & ~np.isnan(off)]
    if off.size and off.max() > _BIAS_OFF:
        evidence = f"off by {off.max():.1%} in the worst channel; all kernels read the bias in those units"
        yield Finding(id="Q105", op=node.op.index, evidence=evidence)
