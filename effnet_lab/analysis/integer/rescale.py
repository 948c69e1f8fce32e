"""From the accumulator to the output's scale, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from effnet_lab.analysis.integer.fixed_point import FLOAT32, TIES_AWAY, TIES_UP, quantize_multiplier, requantize
from effnet_lab.analysis.integer.op_case import IntegerStep, Value
from effnet_lab.analysis.metrics import Array

AT_ONCE = {  # channels that the builtin kernels take together; the rest has ties away from 0
    "depthwise": 8,
    "mean": 16,
}


def scaled(
    accumulator: Array, real: Value, rounding: str, how: str, *, together: int = 1
) -> Iterator[IntegerStep]:  # fmt: skip
    """Times the multiplier, rounded; `together`: see `round_together`."""
    yield IntegerStep(quantity="multiplier", value=np.asarray(real, np.float64), how=how)
    if rounding != FLOAT32:
        mantissa, shift = quantize_multiplier(real)
        yield IntegerStep(quantity="mantissa", value=mantissa, how="int32 in [2^30, 2^31)")
        yield IntegerStep(quantity="shift", value=shift, how="multiplier = mantissa x 2^(shift - 31)")
    yield IntegerStep(
        quantity="before rounding", value=accumulator * np.asarray(real, np.float64), how="accumulator x multiplier"
    )
    if together > 1:
        yield round_together(accumulator, real, together)
    else:
        yield IntegerStep(quantity="rounded value", value=requantize(accumulator, real, rounding), how=rounding)


def round_together(accumulator: Array, real: Value, together: int) -> IntegerStep:
    """Groups of channels are rounded by vector instructions, with ties upward; channels that fill no group one by one."""
    n = accumulator.shape[-1]
    full = n // together * together
    value = np.where(
        np.arange(n) < full, requantize(accumulator, real, TIES_UP), requantize(accumulator, real, TIES_AWAY)
    )
    how = TIES_UP if full == n else f"{TIES_UP}; from channel {full} on {TIES_AWAY.split(', ')[1]}"
    return IntegerStep(quantity="rounded value", value=value, how=how)
