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
_EITHER = {  # kinds that are taken with float and with int8 activations, if their form and scales allow
    *LAYERS, *_RATIOS, "mean", "sum", "reduce_max", "reduce_min", "max_pool_2d", "concatenation", "split", "slice",
    "strided_slice", "pad", "reshape", "expand_dims", "transpose", "depth_to_space", "space_to_depth", "resize_bilinear",
    "transpose_conv", "leaky_relu", "logistic", "tanh",
}  # fmt: skip
_TAKEN = {  # the same and the others, by the type of the activations
    "float32": {
        *_EITHER, "softmax", "relu", "relu6", "relu_n1_to_1", "dequantize", "abs", "average_pool_2d", "batch_matmul", "ceil",
        "cos", "div", "elu", "exp", "floor", "gelu", "hard_swish", "log", "maximum", "minimum", "neg", "prelu", "round",
        "rsqrt", "sin", "sqrt", "square", "squared_difference",
    },
    "int8": {*_EITHER, "quantize"},
}  # fmt: skip
_SMALL_SHARE = 0.01  # of the MAdds


def fate(node: Node) -> tuple[str, str]:
    """("delegated" | "plain" | "refused" | "aborts", why).

    "refused": the interpreter fails at the first run with the delegate, and runs without it. "aborts": the process ends
    with and without the delegate.
    """
    types = {tensor.dtype.name for tensor in (*node.flowing, node.output)}
    if node.kind in CHANGES_OF_TYPE and len(types) > 1:
        return _change_of_type(node)
    kind_known = all(node.kind in _TAKEN.get(name, ()) for name in types)
    if not kind_known or (node.kernel is not None and node.options.fused not in _FUSED):
        return "plain", f"{node.kind} of {', '.join(sorted(types))}"
    if (why := _out_of_bounds(node)) is not None:
        return "plain", why
    if types == {"float32"}:
        dynamic = node.kind == "depthwise" and node.kernel.dtype.name == "int8"
        return ("plain", "depthwise with int8 weights and float activations") if dynamic else ("delegated", "")
    if node.kind == "conv" and node.kernel.dtype.name == "int4":
        return "plain", "conv of 4-bit weights"
    if node.kind in SUMS and (worst := _abort(node)) is not None:
        return "aborts", worst
    if (why := _left_alone(node)) is not None:
        return "plain", why
    for tensor in (*node.activations, *([node.kernel] if node.kind == "dense" else [])):
        if (why := _not_representable(tensor)) is not None:
            return "refused", why
    if node.kernel is not None and (worst := float(np.max(node.multipliers))) >= LARGEST_MULTIPLIER:
        return "refused", f"multiplier {worst:.4g}, bound {LARGEST_MULTIPLIER:g}"
    return "delegated", ""


def _change_of_type(node: Node) -> tuple[str, str]:
    source, target = node.inputs[0], node.output
    stored = source.data is not None  # unpacked once, when the interpreter starts
    if stored or {source.dtype.name, target.dtype.name} in ({"float32", "int8"}, {"float32", "uint8"}):
        return "delegated", ""
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
    if node.kind == "concatenation" and len(node.inputs) > _MOST_JOINED:
        return f"concatenation of {len(node.inputs)} tensors, taken up to {_MOST_JOINED}"
    if node.kind == "split" and len(node.op.outputs) > _MOST_PARTS:
        return f"split into {len(node.op.outputs)} tensors, taken up to {_MOST_PARTS}"
    if node.kind == "strided_slice" and (node.inputs[3].data is None or np.any(node.inputs[3].data != 1)):
        return "strided_slice with a stride"
    how = node.options
    if node.kind in ("max_pool_2d", "average_pool_2d") and any(np.greater(how.stride, how.window)):
        return f"{node.kind} whose stride {how.stride} is larger than its window {how.window}"
    return None


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
    for node in network.nodes:
        index = node.op.index
        what, why = fate(node)
        if what == "refused":
            yield Finding(id="Q101" if why.startswith("multiplier") else "Q102", op=index, evidence=why)
        elif what == "aborts":
            yield Finding(id="Q103", op=index, evidence=why)
        elif what == "plain" and not why.startswith(("weight scale", "bias scale")):
            heavy = node.kind in _RATIOS or node.madds / total >= _SMALL_SHARE
            share = f"; {node.madds / total:.1%} of the MAdds" if node.madds else ""
            yield Finding(id="X201" if heavy else "X202", op=index, evidence=why + share)
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
    bad = ~normal(node.kernel.scale)
    if bad.any():
        evidence = (
            f"{bad.sum()} of {bad.size} scales, {node.kernel.scale[bad][0]:.4g} first; XNNPACK leaves the layer alone"
        )
        yield Finding(id="Q106", op=node.op.index, evidence=evidence)
    if node.bias is None or not node.bias.quantized:
        return
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        expected = node.inputs[0].scale[0].astype(np.float64) * node.kernel.scale.astype(np.float64)
        off = np.abs(node.bias.scale / expected - 1)
    off = off[np.broadcast_to(expected > 0, off.shape)]
    if off.size and np.nanmax(off) > 0.01:
        evidence = f"off by {np.nanmax(off):.1%} in the worst channel; all kernels read the bias in those units"
        yield Finding(id="Q105", op=node.op.index, evidence=evidence)
