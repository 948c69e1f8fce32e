"""The integer arithmetic of an addition and of a product of two tensors: each kernel path has its own.

Source: tensorflow/lite/kernels/internal/optimized/integer_ops/add.h and mul.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.integer.fixed_point import TIES_AWAY, quantize_multiplier, requantize, times_mantissa
from effnet_lab.analysis.integer.op_case import IntegerStep, OpCase
from effnet_lab.analysis.integer.rescale import scaled
from effnet_lab.analysis.metrics import Array

_ADD_BITS = 20  # extra bits that an addition gives its inputs
_LANES = 16  # int8 values that the vector instructions of the builtin kernels take together


def add(case: OpCase) -> Iterator[IntegerStep]:
    """Both inputs to one scale, then to that of the output."""
    offsets = []
    for i, (tensor, codes) in enumerate(zip(case.inputs, case.codes, strict=True), start=1):
        zero = int(tensor.zero_point[0])
        offsets.append(codes.astype(np.int64) - zero)
        yield IntegerStep(quantity=f"input {i} code", value=codes.astype(np.int64), how="as the interpreter holds it")
        yield IntegerStep(quantity=f"input {i} offset", value=offsets[-1], how=f"code - zero point {zero}")
    if case.kernels == "xnnpack":
        yield from _add_one_shift(offsets, [tensor.scale[0] for tensor in (*case.inputs, case.output)])
    else:
        yield from _add_common_scale(case, offsets)


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


def _add_common_scale(case: OpCase, offsets: list[Array]) -> Iterator[IntegerStep]:
    """The plain kernels: both inputs to a common scale of twice the larger one, then to the output's."""
    scales = [float(tensor.scale[0]) for tensor in case.inputs]
    common = 2.0 * max(scales)
    run = _run_of(case)
    terms = []
    for i, (offset, scale) in enumerate(zip(offsets, scales, strict=True), start=1):
        one_by_one = requantize(offset << _ADD_BITS, scale / common, TIES_AWAY)
        terms.append(np.where(run.together, _term(offset, scale / common, run), one_by_one))
        yield IntegerStep(
            quantity=f"multiplier {i}", value=scale / common, how="input scale / (2 x larger input scale)"
        )
        yield IntegerStep(
            quantity=f"term {i}", value=terms[-1], how=f"offset {i} x 2^{_ADD_BITS} x multiplier {i}, rounded"
        )
    total = terms[0] + terms[1]
    yield IntegerStep(quantity="accumulator", value=total, how="term 1 + term 2")
    real = common / (2.0**_ADD_BITS * float(case.output.scale[0]))
    yield from scaled(total, real, TIES_AWAY, f"2 x larger input scale / (2^{_ADD_BITS} x output scale)")
    yield from _in_16_bits(case, requantize(total, real, TIES_AWAY), run)


def mul(case: OpCase) -> Iterator[IntegerStep]:
    """One product for each pair of values."""
    offsets = [
        codes.astype(np.int64) - int(tensor.zero_point[0])
        for tensor, codes in zip(case.inputs, case.codes, strict=True)
    ]
    total = offsets[0] * offsets[1]
    yield IntegerStep(quantity="accumulator", value=total, how="product of the two (code - zero point)")
    first, second, out = (tensor.scale[0] for tensor in (*case.inputs, case.output))
    real = (first * second) / out  # in float32, on every kernel path
    yield from scaled(total, real, case.rounding, "input scale 1 x input scale 2 / output scale")
    if case.kernels == "builtin":
        yield from _in_16_bits(case, requantize(total, real, case.rounding), _run_of(case))


# ---- what the vector instructions of the builtin kernels do otherwise


@dataclass(frozen=True, kw_only=True)
class _Lanes:
    """How the values of an op are gone through."""

    width: int  # values that are computed together
    together: NDArray[np.bool_]  # the output values to which that happens; the rest of a run is computed one by one
    floors: bool  # a term's shift is done last and rounds down
    saturates: bool  # what does not fit into 16 bits becomes the nearest that does, before the zero point is added


def _run_of(case: OpCase) -> _Lanes:
    shape, (length, repeats) = case.output.shape, _run_length(*(tensor.shape for tensor in case.inputs))
    unsigned = case.output.dtype == np.uint8
    floors = unsigned or repeats
    lanes = 8 if unsigned or (repeats and case.op.kind == "add") else _LANES
    full = length // lanes * lanes if case.kernels == "builtin" else 0
    places = np.arange(np.prod(shape, dtype=np.int64)) % max(length, 1)
    saturates = case.op.kind == "mul" and not (unsigned and repeats)
    return _Lanes(width=lanes, together=(places < full).reshape(shape), floors=floors, saturates=saturates)


def _run_length(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, bool]:
    """How many values are computed in one go, 0 where there is no such thing; and whether one input is a single value there."""
    if first == second:
        return int(np.prod(first, dtype=np.int64)), False
    rank = max(len(first), len(second))
    sides = [list((1,) * (rank - len(shape)) + shape) for shape in (first, second)]
    same, which = _take(sides, lambda a, b: a == b), 0
    if sides[0] and sides[0][-1] != 1:
        which = 1  # the input that is repeated in the innermost loop
    repeated = _take(sides, lambda *ends: ends[which] == 1)
    _take(sides, lambda a, b: a == b)
    _take(sides, lambda *ends: ends[1 - which] == 1)
    _take(sides, lambda a, b: a == b)
    if sides[0]:
        return 0, False  # more loops than the kernel has
    return (same, False) if same > 1 else (repeated, True)


def _take(sides: list[list[int]], fits: Callable[[int, int], bool]) -> int:
    """Remove the last axes of both shapes as long as their lengths fit; how many values they hold."""
    count = 1
    while sides[0] and fits(sides[0][-1], sides[1][-1]):
        count *= max(sides[0].pop(), sides[1].pop())
    return count


def _term(offset: Array, real: float, run: _Lanes) -> Array:
    """An input of an addition: the shift is not rounded, only the product is."""
    mantissa, shift = quantize_multiplier(real)
    down = -int(shift)
    if run.floors:
        return times_mantissa(offset << _ADD_BITS, mantissa) >> down
    bits = _ADD_BITS - down
    return times_mantissa(offset << bits if bits >= 0 else offset >> -bits, mantissa)


def _in_16_bits(case: OpCase, rounded: Array, run: _Lanes) -> Iterator[IntegerStep]:
    """The output's zero point is added in 16 bits, which do not hold every sum."""
    limits, zero = np.iinfo(np.int16), int(case.output.zero_point[0])
    saturated = np.clip(rounded, limits.min, limits.max) if run.saturates else rounded
    value = np.where(run.together, (saturated + zero).astype(np.int16).astype(np.int64) - zero, rounded)
    if not np.array_equal(value, rounded):
        how = f"{run.width} at a time, + output zero point in 16 bits, which wraps around"
        yield IntegerStep(quantity="rounded value in 16 bits", value=value, how=how)
