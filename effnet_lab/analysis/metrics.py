"""How far a quantized tensor is from its reference. Always ``(reference, quantized)``, always real values, not codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorSums:
    """Sums over the elements of one tensor; adding two of them joins their samples, so that images can be streamed."""

    count: int = 0
    reference2: float = 0.0  # sum of squares of the reference
    quantized2: float = 0.0
    product: float = 0.0  # sum of reference * quantized
    error2: float = 0.0  # sum of squares of the difference

    @classmethod
    def of(cls, reference: NDArray, quantized: NDArray) -> ErrorSums:
        """Sums of one pair of tensors of the same shape, in float64.

        Raises
        ------
        ValueError
            If the shapes differ, or a value is not finite.
        """
        if reference.shape != quantized.shape:
            raise ValueError(f"The tensors must have one shape. Got {reference.shape} and {quantized.shape}.")
        a, b = reference.astype(np.float64).ravel(), quantized.astype(np.float64).ravel()
        error = a - b
        sums = cls(
            count=a.size,
            reference2=float(a @ a),
            quantized2=float(b @ b),
            product=float(a @ b),
            error2=float(error @ error),
        )
        if not np.isfinite(sums.reference2 + sums.quantized2):
            raise ValueError("The tensors must be finite. Got NaN or infinite values.")
        return sums

    def __add__(self, other: ErrorSums) -> ErrorSums:
        return ErrorSums(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def sqnr_db(self) -> float:
        """Signal-to-quantization-noise ratio, dB; ``inf`` if equal, ``-inf`` if only the reference is zero."""
        if self.error2 == 0.0:
            return float("inf")
        if self.reference2 == 0.0:
            return float("-inf")
        return float(10.0 * np.log10(self.reference2 / self.error2))

    @property
    def mse(self) -> float:
        """Mean squared error, in the square of the tensor's unit."""
        return self.error2 / self.count

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two; NaN if either is zero throughout."""
        norm = np.sqrt(self.reference2 * self.quantized2)
        return float(self.product / norm) if norm > 0 else float("nan")


def sqnr_db(reference: NDArray, quantized: NDArray) -> float:
    """Signal-to-quantization-noise ratio of one tensor, in decibels.

    ``10 log10(sum(reference**2) / sum((reference - quantized)**2))``, in float64, over all axes.

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
    >>> float(sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 4.5])))
    20.0

    References
    ----------
    Bennett, "Spectra of Quantized Signals", Bell System Technical Journal, 1948.
    """
    return ErrorSums.of(reference, quantized).sqnr_db


def channel_sqnr_db(reference: NDArray, quantized: NDArray, axis: int) -> NDArray[np.float64]:
    """SQNR of every slice along `axis`, dB, shape (channels,)."""
    pairs = zip(np.moveaxis(reference, axis, 0), np.moveaxis(quantized, axis, 0), strict=True)
    return np.array([sqnr_db(a, b) for a, b in pairs])
