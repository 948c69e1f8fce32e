"""The integer arithmetic of one op, step by step, for every output value at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from effnet_lab.analysis.integer.fixed_point import TIES_AWAY, requantize
from effnet_lab.analysis.integer.means import mean
from effnet_lab.analysis.integer.op_case import IntegerStep, OpCase
from effnet_lab.analysis.integer.rescale import AT_ONCE, scaled
from effnet_lab.analysis.integer.sums import products
from effnet_lab.analysis.metrics import Array
from effnet_lab.litert import Tensor
from effnet_lab.names import UserError

_PRODUCTS = ("input code x weight code over the window", "input code x (weight code - its zero point) over the window")
_ADD_BITS = 20  # extra bits that an addition gives its inputs


def steps(case: OpCase) -> Iterator[IntegerStep]:
    """From the input codes to the output code; the last step is the op's output, int64 of the output's shape."""
    parts = _KINDS.get(case.op.kind)
    if parts is None:
        raise UserError(f"The arithmetic of {case.op.kind!r} is not known. Known: {', '.join(_KINDS)}.")
    types = {tensor.dtype.name for tensor in (*case.inputs[:1], case.output)}
    if types not in ({"int8"}, {"uint8"}):
        said = ", ".join(sorted(types))
        raise UserError(f"Only the arithmetic of int8 and uint8 activations is known. This op has {said}.")
    last = np.empty(0)
    for step in parts(case):
        yield step
        last = np.asarray(step.value)
    yield from _finish(case, last)


def _finish(case: OpCase, rounded: Array) -> Iterator[IntegerStep]:
    zero, (low, high) = int(case.output.zero_point[0]), code_range(case.output, case.options.fused)
    yield IntegerStep(quantity="output zero point", value=zero, how="added to the rounded value")
    yield IntegerStep(quantity="lowest code", value=low, how=f"activation {case.options.fused}")
    yield IntegerStep(quantity="highest code", value=high, how=f"activation {case.options.fused}")
    if rounded.size != np.prod(case.output.shape, dtype=np.int64):
        raise UserError(f"Its output is stated as {case.output.shape}, and what goes in makes {rounded.size:,} values.")
    code = np.clip(rounded + zero, low, high).reshape(case.output.shape)
    yield IntegerStep(quantity="output code", value=code, how="rounded value + zero point, clamped")


def code_range(tensor: Tensor, fused: str) -> tuple[int, int]:
    """Lowest and highest code that an op with this fused activation can write."""
    limits, scale, zero = np.iinfo(tensor.dtype), np.float32(tensor.scale[0]), int(tensor.zero_point[0])
    bounds = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}.get(fused, (-np.inf, np.inf))
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = [np.sign(b) * np.floor(np.abs(np.float32(b) / scale) + 0.5) + zero for b in bounds]
    low, high = np.nan_to_num(np.clip(codes, limits.min, limits.max), nan=float(zero))
    return int(low), int(high)


def _weighted(case: OpCase) -> Iterator[IntegerStep]:
    """conv, depthwise, dense: products, what the input's zero point adds, bias, multiplier."""
    (x, kernel), zero = case.inputs[:2], int(case.inputs[0].zero_point[0])
    if kernel.data is None or kernel.dtype != x.dtype or (np.any(kernel.zero_point) and x.dtype != np.uint8):
        raise UserError(
            f"Weights must be stored, symmetric int8 or uint8 as the input. Got {kernel.dtype} for {x.dtype}, zero points "
            f"{kernel.zero_point[:4]}."
        )
    weights = kernel.data.astype(np.int64) - int(kernel.zero_point[0])
    total = products(case.op.kind, case.codes[0], weights, case.options, zero)
    axes = (0, 1, 2) if case.op.kind == "depthwise" else tuple(range(1, weights.ndim))
    per_channel = weights.sum(axes)
    bias: Array = case.codes[2].astype(np.int64) if len(case.inputs) > 2 else np.zeros(1, np.int64)
    yield IntegerStep(quantity="sum of products", value=total, how=_PRODUCTS[x.dtype == np.uint8])
    yield IntegerStep(quantity="input zero point", value=zero, how="also the code of the padding")
    yield IntegerStep(quantity="sum of weight codes", value=per_channel, how="of this output channel")
    yield IntegerStep(
        quantity="zero point term", value=-zero * per_channel, how="- input zero point x sum of weight codes"
    )
    yield IntegerStep(quantity="bias code", value=bias, how="int32, in units of input scale x weight scale")
    accumulator = (total - zero * per_channel + bias).astype(np.int32).astype(np.int64)  # int32 wraps
    yield IntegerStep(quantity="accumulator", value=accumulator, how="sum of products + zero point term + bias, int32")
    real = multiplier(x, kernel, case.output, case.op.kind, case.kernels)
    how = "input scale x weight scale / output scale"
    together = AT_ONCE.get(case.op.kind, 1) if case.kernels == "builtin" else 1
    yield from scaled(accumulator, real, case.rounding, how, together=together)


def multiplier(x: Tensor, kernel: Tensor, output: Tensor, kind: str, kernels: str) -> Array:
    """Real requantization multiplier per channel, in the precision in which the kernels form it."""
    if kernels == "xnnpack":
        return np.asarray((x.scale[0] * kernel.scale) / output.scale[0])
    if (
        kind == "dense" or x.dtype == np.uint8
    ) and kernel.scale.size == 1:  # two float32 multiplied before it is widened
        return np.asarray((x.scale[0] * kernel.scale).astype(np.float64) / np.float64(output.scale[0]))
    return np.asarray(np.float64(x.scale[0]) * kernel.scale.astype(np.float64) / np.float64(output.scale[0]))


def _add(case: OpCase) -> Iterator[IntegerStep]:
    offsets = []
    for i, (tensor, codes) in enumerate(zip(case.inputs, case.codes, strict=True), start=1):
        zero = int(tensor.zero_point[0])
        offsets.append(codes.astype(np.int64) - zero)
        yield IntegerStep(quantity=f"input {i} code", value=codes.astype(np.int64), how="as the interpreter holds it")
        yield IntegerStep(quantity=f"input {i} offset", value=offsets[-1], how=f"code - zero point {zero}")
    scales = [tensor.scale[0] for tensor in (*case.inputs, case.output)]
    yield from (_add_one_shift if case.kernels == "xnnpack" else _add_common_scale)(offsets, scales)


def _add_one_shift(offsets: list[Array], scales: list[np.float32]) -> Iterator[IntegerStep]:
    """XNNPACK: both integer multipliers share one shift, so that one rounding is left."""
    ratios = [scale / scales[2] for scale in scales[:2]]
    shift = _ADD_BITS - (int(np.frexp(max(ratios))[1]) - 1)
    integers = [int(np.rint(np.ldexp(np.float64(ratio), shift))) for ratio in ratios]
    for i, (ratio, integer) in enumerate(zip(ratios, integers, strict=True), start=1):
        yield IntegerStep(quantity=f"multiplier {i}", value=float(ratio), how=f"input {i} scale / output scale")
        yield IntegerStep(quantity=f"integer multiplier {i}", value=integer, how=f"multiplier {i} x 2^{shift}")
    total = sum(offset * integer for offset, integer in zip(offsets, integers, strict=True))
    yield IntegerStep(quantity="accumulator", value=total, how="offset 1 x integer 1 + offset 2 x integer 2")
    yield IntegerStep(quantity="before rounding", value=total / 2.0**shift, how=f"accumulator / 2^{shift}")
    yield IntegerStep(quantity="rounded value", value=(total + (1 << (shift - 1))) >> shift, how="ties upward")


def _add_common_scale(offsets: list[Array], scales: list[np.float32]) -> Iterator[IntegerStep]:
    """The plain kernels: both inputs to a common scale of twice the larger one, then to the output's."""
    common = 2.0 * max(float(scales[0]), float(scales[1]))
    terms = []
    for i, (offset, scale) in enumerate(zip(offsets, scales[:2], strict=True), start=1):
        terms.append(requantize(offset << _ADD_BITS, float(scale) / common, TIES_AWAY))
        yield IntegerStep(
            quantity=f"multiplier {i}", value=float(scale) / common, how="input scale / (2 x larger input scale)"
        )
        yield IntegerStep(
            quantity=f"term {i}", value=terms[-1], how=f"offset {i} x 2^{_ADD_BITS} x multiplier {i}, rounded"
        )
    total = terms[0] + terms[1]
    yield IntegerStep(quantity="accumulator", value=total, how="term 1 + term 2")
    real = common / (2.0**_ADD_BITS * float(scales[2]))
    yield from scaled(total, real, TIES_AWAY, f"2 x larger input scale / (2^{_ADD_BITS} x output scale)")


def _mul(case: OpCase) -> Iterator[IntegerStep]:
    """As long as the result fits into int16: beyond that the plain kernel wraps around, and this does not."""
    offsets = [
        codes.astype(np.int64) - int(tensor.zero_point[0])
        for tensor, codes in zip(case.inputs, case.codes, strict=True)
    ]
    total = offsets[0] * offsets[1]
    yield IntegerStep(quantity="accumulator", value=total, how="product of the two (code - zero point)")
    first, second, out = (tensor.scale[0] for tensor in (*case.inputs, case.output))
    exact = float(first) * float(second) / float(out)
    real = (first * second) / out if case.kernels == "xnnpack" else exact
    yield from scaled(total, real, case.rounding, "input scale 1 x input scale 2 / output scale")


_KINDS: dict[str, Callable[[OpCase], Iterator[IntegerStep]]] = {
    "conv": _weighted,
    "depthwise": _weighted,
    "dense": _weighted,
    "add": _add,
    "mul": _mul,
    "mean": mean,
}
KINDS = tuple(_KINDS)
