"""The integer arithmetic of one op, step by step, for every output value at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from effnet_lab.analysis.integer.elementwise import add, mul
from effnet_lab.analysis.integer.means import mean
from effnet_lab.analysis.integer.op_case import IntegerStep, OpCase
from effnet_lab.analysis.integer.rescale import AT_ONCE, scaled
from effnet_lab.analysis.integer.sums import products
from effnet_lab.analysis.metrics import Array
from effnet_lab.litert import Tensor
from effnet_lab.names import UserError


class UnknownArithmeticError(UserError):
    """An op, or a type of its activations, that is not recomputed here."""


_PRODUCTS = ("input code x weight code over the window", "input code x (weight code - its zero point) over the window")


def steps(case: OpCase) -> Iterator[IntegerStep]:
    """From the input codes to the output code; the last step is the op's output, int64 of the output's shape."""
    parts = _KINDS.get(case.op.kind)
    if parts is None:
        raise UnknownArithmeticError(f"The arithmetic of {case.op.kind!r} is not known. Known: {', '.join(_KINDS)}.")
    types = {tensor.dtype.name for tensor in (*case.inputs[:1], case.output)}
    if types not in ({"int8"}, {"uint8"}):
        said = ", ".join(sorted(types))
        raise UnknownArithmeticError(f"Only the arithmetic of int8 and uint8 activations is known. This op has {said}.")
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


_KINDS: dict[str, Callable[[OpCase], Iterator[IntegerStep]]] = {
    "conv": _weighted,
    "depthwise": _weighted,
    "dense": _weighted,
    "add": add,
    "mul": mul,
    "mean": mean,
}
KINDS = tuple(_KINDS)
