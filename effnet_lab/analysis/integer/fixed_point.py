"""A real multiplier as integers, and the four ways in which kernels multiply an int32 accumulator by it.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, section 2.2, and appendix B for the rounding; gemmlowp/fixedpoint names the operations.
"""

from __future__ import annotations

import numpy as np

from effnet_lab.analysis.metrics import Array

FLOAT32 = "float32, ties to even"
TIES_AWAY = "31-bit mantissa, ties away from 0"
TIES_UP = "31-bit mantissa, ties upward"
ONCE = "31-bit mantissa, rounded once, ties away from 0"


def quantize_multiplier(real: Array | float) -> tuple[Array, Array]:
    """Mantissa and shift, int64 like `real`: ``real`` is about ``mantissa * 2**(shift - 31)``.

    The mantissa lies in [2**30, 2**31), or is 0 where the multiplier is below 2**-32.
    """
    fraction, shift = np.frexp(np.asarray(real, np.float64))
    mantissa = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    shift = shift.astype(np.int64)
    full = mantissa == 2**31
    mantissa, shift = np.where(full, 2**30, mantissa), np.where(full, shift + 1, shift)
    tiny = shift < -31
    return np.where(tiny, 0, mantissa), np.where(tiny, 0, shift)


def times_mantissa(values: Array, mantissa: Array) -> Array:
    """``values * mantissa / 2**31`` to the nearest integer, ties upward, int64."""
    return np.asarray((values * mantissa + 2**30) >> 31)


def shift_right(values: Array, bits: Array, rounding: str) -> Array:
    """``values / 2**bits`` to the nearest integer; what happens to ties, `rounding` says."""
    one = np.int64(1)
    if rounding == TIES_UP:
        return np.where(bits > 0, (values + ((one << bits) >> 1)) >> bits, values)
    mask = (one << bits) - 1
    return np.asarray((values >> bits) + ((values & mask) > (mask >> 1) + (values < 0)))


def requantize(accumulator: Array, real: Array | float, rounding: str) -> Array:
    """Accumulator times a real multiplier, int64, as kernels do it.

    Parameters
    ----------
    accumulator : ndarray, int64 holding int32 values
    real : ndarray or float, broadcast over the last axis
        The multiplier: float32 for `FLOAT32`, float64 for the others.
    rounding : `FLOAT32`, `ONCE`, `TIES_AWAY` or `TIES_UP`
        `FLOAT32` is one float32 product rounded once; the last two round twice, first the product with the mantissa (ties
        upward), then the shift, and are named after the second.
    """
    if rounding == FLOAT32:
        return np.rint(accumulator.astype(np.float32) * np.asarray(real, np.float32)).astype(np.int64)
    mantissa, shift = quantize_multiplier(real)
    if rounding == ONCE:
        whole = accumulator * mantissa
        return np.asarray(np.sign(whole) * shift_right(np.abs(whole), 31 - shift, TIES_UP))
    return requantize_with(accumulator, mantissa, shift, rounding)


def requantize_with(accumulator: Array, mantissa: Array, shift: Array, rounding: str) -> Array:
    """The same with the multiplier's mantissa and shift given."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = (accumulator << left).astype(np.int32).astype(np.int64)  # in 32 bits, which a large multiplier leaves
    return shift_right(times_mantissa(shifted, mantissa), right, rounding)
