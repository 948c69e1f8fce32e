"""The integer arithmetic of a mean: each kernel path has its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from effnet_lab.analysis.integer.fixed_point import TIES_AWAY, quantize_multiplier, requantize_with
from effnet_lab.analysis.integer.op_case import IntegerStep, OpCase
from effnet_lab.analysis.integer.rescale import AT_ONCE, round_together
from effnet_lab.analysis.metrics import Array


def mean(case: OpCase) -> Iterator[IntegerStep]:
    """From the codes that go in to the rounded value."""
    x, codes = case.inputs[0], case.codes[0]
    axes = tuple(int(axis) for axis in case.codes[1].reshape(-1))
    count, zero = int(np.prod([codes.shape[axis] for axis in axes])), int(x.zero_point[0])
    total = codes.astype(np.int64).sum(axes)
    yield IntegerStep(quantity="sum of codes", value=total, how=f"over the {count} values")
    kept = len(case.output.shape) == codes.ndim == 4
    if case.kernels == "builtin" and kept and sorted(axis % 4 for axis in axes) == [1, 2]:
        yield from _mean_of_a_map(case, total, count)
        return
    yield IntegerStep(quantity="zero point term", value=-count * zero, how=f"- {count} x input zero point {zero}")
    accumulator = total - count * zero
    yield IntegerStep(quantity="accumulator", value=accumulator, how="sum of codes + zero point term")
    if case.kernels == "xnnpack":
        yield from _mean_in_float(case, total, count)
        return
    yield from _mean_divided(accumulator, float(x.scale[0]) / float(case.output.scale[0]), count)


def _mean_in_float(case: OpCase, total: Array, count: int) -> Iterator[IntegerStep]:
    """XNNPACK: both zero points are one float32 number, and what is rounded holds the output's: ties are to even codes.

    Found by comparing ways to order these float32 operations, on 3,000 files of one mean with many ties each.
    """
    x, y = case.inputs[0], case.output
    real = (x.scale[0] / y.scale[0]) * np.float32(1 / np.float32(count))
    zeros = np.float32(x.zero_point[0]), np.float32(y.zero_point[0])
    shift = zeros[1] - (zeros[0] * np.float32(count)) * real
    code = np.rint(total.astype(np.float32) * real + shift).astype(np.int64)
    how = "output zero point - count x input zero point x multiplier, float32"
    yield IntegerStep(quantity="multiplier", value=float(real), how=f"input scale / output scale / {count}, float32")
    yield IntegerStep(quantity="offset", value=float(shift), how=how)
    before = (total - count * int(x.zero_point[0])) * float(real)
    yield IntegerStep(quantity="before rounding", value=before, how="accumulator x multiplier")
    yield IntegerStep(
        quantity="rounded value", value=code - int(y.zero_point[0]),
        how="sum of codes x multiplier + offset, float32, ties to even; - output zero point",
    )  # fmt: skip


def _mean_of_a_map(case: OpCase, total: Array, count: int) -> Iterator[IntegerStep]:
    """The builtin kernel for height and width where both stay as 1: the input's zero point becomes one rounded offset.

    Source: tensorflow/lite/kernels/internal/optimized/integer_ops/mean.h.
    """
    x, y = case.inputs[0], case.output
    real = float(x.scale[0] / (np.float32(count) * y.scale[0]))
    moved = np.float32(x.zero_point[0]) * x.scale[0] / y.scale[0]
    offset = -int(moved + np.copysign(np.float32(0.5), moved))
    rounded = round_together(total, real, AT_ONCE["mean"])
    how = f"input scale / ({count} x output scale)"
    yield IntegerStep(quantity="accumulator", value=total, how="sum of codes")
    yield IntegerStep(
        quantity="input offset", value=offset, how="- input zero point x input scale / output scale, rounded"
    )
    yield IntegerStep(quantity="multiplier", value=real, how=how)
    yield IntegerStep(
        quantity="before rounding", value=total * real + offset, how="accumulator x multiplier + input offset"
    )
    yield IntegerStep(quantity="rounded value", value=rounded.value + offset, how=f"{rounded.how}, + input offset")


def _mean_divided(accumulator: Array, ratio: float, count: int) -> Iterator[IntegerStep]:
    """The plain kernels divide the mantissa by the count, after shifting it up as far as 64 bits allow."""
    mantissa, shift = quantize_multiplier(ratio)
    room = min(count.bit_length() - 1, 32, 31 + int(shift))
    mantissa, shift = (mantissa << room) // count, shift - room
    yield IntegerStep(quantity="multiplier", value=ratio / count, how=f"input scale / output scale / {count}")
    yield IntegerStep(quantity="mantissa", value=mantissa, how=f"of input scale / output scale, x 2^{room} / {count}")
    yield IntegerStep(quantity="shift", value=shift, how="multiplier = mantissa x 2^(shift - 31)")
    yield IntegerStep(quantity="before rounding", value=accumulator * (ratio / count), how="accumulator x multiplier")
    rounded = requantize_with(accumulator, mantissa, shift, TIES_AWAY)
    yield IntegerStep(quantity="rounded value", value=rounded, how=TIES_AWAY)
