"""How far a quantized tensor is from its reference. Always ``(reference, quantized)``, always real values, not codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.sum_places import (
    COUNT,
    EMPTY,
    ERROR,
    ERROR2,
    HIGH,
    LOW,
    MAX_ERROR,
    OUTSIDE,
    PRODUCT,
    QUANTIZED2,
    REFERENCE2,
)
from effnet_lab.decibels import decibels
from effnet_lab.litert import Tensor
from effnet_lab.names import UserError

IDEAL_RMSE_OVER_SCALE = 1 / np.sqrt(12)  # of rounding alone: an error spread evenly over one step; Bennett 1948


Array = NDArray[Any]


def _sum(place: int, meaning: str) -> Any:
    """A property of `ErrorSums`: one of its sums."""
    return property(lambda sums: float(sums.values[place]), doc=meaning)


class ErrorSums:
    """Sums over the elements of one tensor; adding two of them joins their samples, so that images can be streamed."""

    count = _sum(COUNT, "Elements.")
    reference2 = _sum(REFERENCE2, "Sum of squares of the reference.")
    quantized2 = _sum(QUANTIZED2, "Sum of squares of the quantized values.")
    product = _sum(PRODUCT, "Sum of the products of the two.")
    error2 = _sum(ERROR2, "Sum of squares of the error.")
    error = _sum(ERROR, "Sum of the error, quantized less reference.")
    outside = _sum(OUTSIDE, "Elements of the reference that the codes cannot express.")
    max_error = _sum(MAX_ERROR, "Largest absolute error.")
    low = _sum(LOW, "Smallest value of the reference; infinite of nothing.")
    high = _sum(HIGH, "Largest value of the reference; minus infinity of nothing.")

    def __init__(self, values: NDArray[np.float64] | None = None) -> None:
        self.values = np.array(EMPTY) if values is None else values

    @classmethod
    def of(cls, reference: Array, quantized: Array) -> ErrorSums:
        """Sums of one pair of tensors of the same shape, real values.

        Raises
        ------
        ValueError
            If the shapes differ, or a value is not finite.
        """
        sums = cls()
        sums.see(reference, quantized)
        return sums

    def see(self, reference: Array, codes: Array, tensor: Tensor | None = None) -> None:
        """Take in one more pair: the codes of `tensor`, or real values without one."""
        if reference.shape != codes.shape:
            raise ValueError(f"The tensors must have one shape. Got {reference.shape} and {codes.shape}.")
        adder(tensor)(reference, codes, self.values)
        require_finite(self.values)

    def __add__(self, other: ErrorSums) -> ErrorSums:
        return ErrorSums(joined(self.values, other.values))

    @property
    def sqnr_db(self) -> float:
        """Signal-to-quantization-noise ratio, dB; ``inf`` if equal, ``-inf`` if only the reference is zero."""
        return decibels(self.reference2, self.error2)

    @property
    def mse(self) -> float:
        """Mean squared error, in the square of the tensor's unit; NaN of nothing."""
        return self.error2 / self.count if self.count else float("nan")

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, in the tensor's unit."""
        return float(np.sqrt(self.mse))

    @property
    def bias(self) -> float:
        """Mean error, quantized less reference, in the tensor's unit. Rounding alone leaves it near zero."""
        return self.error / self.count if self.count else float("nan")

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two; NaN if either is zero throughout."""
        norm = np.sqrt(self.reference2 * self.quantized2)
        return float(self.product / norm) if norm > 0 else float("nan")

    @property
    def effective_bits(self) -> float:
        """Bits of the ideal quantizer that would make this error: ``(sqnr_db - 1.76) / 6.02``.

        The convention is that of converters, for a sine of full scale: Kester, "Taking the Mystery out of the Infamous
        Formula SNR = 6.02N + 1.76dB", Analog Devices MT-001; IEEE Std 1241. An activation that is mostly zero has less power
        than a sine of its range, so its ideal 8-bit quantizer shows less than 8 here: compare layers, not with 8.
        """
        return (self.sqnr_db - 1.76) / 6.02

    @property
    def saturation_share(self) -> float:
        """Share of the reference's values that the codes cannot express, beyond the ends by more than half a step.

        A ReLU6 that ends at 0 and 6 by itself is not saturated. NaN of nothing.
        """
        return self.outside / self.count if self.count else float("nan")


def no_sums(n: int) -> Array:
    """The sums of n tensors before anything was seen, (n, sums)."""
    return np.tile(EMPTY, (n, 1))


def joined(a: Array, b: Array) -> Array:
    """Sums over what both were taken of, along the last axis."""
    out = np.asarray(a + b)
    for place in (MAX_ERROR, HIGH):
        out[..., place] = np.maximum(a[..., place], b[..., place])
    out[..., LOW] = np.minimum(a[..., LOW], b[..., LOW])
    return out


def adder(tensor: Tensor | None) -> Callable[[Array, Array, Array], None]:
    """A function (reference, codes of the tensor, sums) that adds one pair to the sums; what can be known before is."""
    from effnet_lab.analysis.error_kernels import add_sums

    if tensor is None or not tensor.quantized or tensor.scale.size > 1:  # real values, or a scale for each channel
        real = np.asarray if tensor is None or not tensor.quantized else tensor.real
        one, zero, low, high = (np.float32(value) for value in (1.0, 0.0, -np.inf, np.inf))
        return lambda reference, codes, sums: add_sums(_flat(reference), _flat(real(codes)), one, zero, low, high, sums)
    scale, zero, low, high = (
        np.float32(value) for value in (tensor.scale[0], tensor.zero_point[0], *expressible(tensor))
    )
    return lambda reference, codes, sums: add_sums(_flat(reference), codes.reshape(-1), scale, zero, low, high, sums)


def _flat(values: Array) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32).reshape(-1)


def require_finite(sums: Array) -> None:
    """Sums of any number of pairs, along the last axis."""
    if not np.isfinite(sums[..., [REFERENCE2, QUANTIZED2, ERROR2]]).all():
        raise UserError(
            "The tensors must be finite. Got NaN or infinite values: mend the network's weights and scales."
        )


def expressible(tensor: Tensor) -> tuple[float, float]:
    """Real values that round to a code of the tensor, without any clipping: half a step beyond the end codes."""
    limits, scale, zero = np.iinfo(tensor.dtype), float(tensor.scale[0]), int(tensor.zero_point[0])
    return (limits.min - zero - 0.5) * scale, (limits.max - zero + 0.5) * scale


def sqnr_db(reference: Array, quantized: Array) -> float:
    """Signal-to-quantization-noise ratio of one tensor, in decibels.

    ``10 log10(sum(reference**2) / sum((reference - quantized)**2))``, summed in float64, over all axes.

    Parameters
    ----------
    reference : ndarray of any shape, float
        Output of the float32 model.
    quantized : ndarray, same shape
        The same tensor, dequantized: real values, not codes.

    Returns
    -------
    float
        dB, higher is better. ``inf`` if the tensors are equal, ``-inf`` if only the reference is zero.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is not finite.

    Examples
    --------
    >>> round(sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 4.5])), 6)
    20.0

    References
    ----------
    Bennett, "Spectra of Quantized Signals", Bell System Technical Journal, 1948.
    """
    return ErrorSums.of(reference, quantized).sqnr_db


def channel_sqnr_db(reference: Array, quantized: Array, axis: int) -> NDArray[np.float64]:
    """SQNR of every slice along `axis`, dB, shape (channels,)."""
    sums = KernelSums.of(reference, quantized, axis)
    return np.array([decibels(*pair) for pair in zip(sums.reference2, sums.error2, strict=True)])


class KernelSums(NamedTuple):
    """Sums over every slice of a kernel and of its quantized counterpart, each of shape (channels,)."""

    reference2: Array  # of squares
    quantized2: Array
    product: Array
    error2: Array

    @classmethod
    def of(cls, reference: Array, codes: Array, axis: int, scale: Any = 1.0, zero_point: Any = 0) -> KernelSums:
        """Of two arrays of one shape, the slices along `axis`; scale and zero point are those of the codes."""
        from effnet_lab.analysis.error_kernels import add_channels

        if reference.shape != codes.shape:
            raise ValueError(f"The tensors must have one shape. Got {reference.shape} and {codes.shape}.")
        n = codes.shape[axis]
        shape = (int(np.prod(codes.shape[:axis])), n, int(np.prod(codes.shape[axis + 1 :])))
        codes = codes if codes.dtype.kind in "iu" else np.asarray(codes, np.float32)
        a, b = (np.ascontiguousarray(array).reshape(shape) for array in (np.asarray(reference, np.float32), codes))
        step, zero = (np.ascontiguousarray(np.broadcast_to(values, n), np.float32) for values in (scale, zero_point))
        sums = np.zeros((4, n))
        add_channels(a, b, step, zero, sums)
        return cls(*sums)

    @classmethod
    def of_kernels(cls, reference: Tensor, quantized: Tensor, axis: int) -> KernelSums:
        """Of two stored kernels of one shape; `axis` is that of their output channels."""
        if reference.data is None or quantized.data is None:
            raise ValueError("Both kernels must be stored.")
        floats = reference.real(reference.data) if reference.quantized else reference.data
        if not quantized.quantized or (quantized.scale.size > 1 and quantized.axis != axis):
            return cls.of(floats, quantized.real(quantized.data), axis)
        codes = quantized.data.astype(np.int8) if quantized.dtype.name == "int4" else quantized.data
        return cls.of(floats, codes, axis, quantized.scale, quantized.zero_point)

    @property
    def sqnr_db(self) -> tuple[float, float]:
        """SQNR over all channels, and of the worst one, dB."""
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = int(np.where(self.error2 == 0, np.inf, self.reference2 / self.error2).argmin())
        whole = decibels(float(self.reference2.sum()), float(self.error2.sum()))
        return whole, decibels(self.reference2[worst], self.error2[worst])

    @property
    def correlation(self) -> float:
        """Cosine of the angle between the two as a whole; NaN where one is zero throughout."""
        norm = float(np.sqrt(self.reference2.sum()) * np.sqrt(self.quantized2.sum()))
        return float(self.product.sum()) / norm if norm > 0 else float("nan")
