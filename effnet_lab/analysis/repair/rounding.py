"""Rounding that looks at the output: which codes a kernel gets is decided by what they do to the layer, not by distance.

Kernels are stacks of matrices, as in `layer_fit`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from effnet_lab.layer_fit import Matrix, damped, in_turn

DAMPING = 0.01  # of the mean of the diagonal: what makes the inputs' covariance invertible
SWEEPS = 4  # over all codes of a kernel, each followed by its scales
LEAST = 1e-6  # a row whose largest weight is so much smaller than the kernel's is taken as zeros
CLIPS = np.linspace(1.0, 0.35, 26)  # shares of the largest weight that are tried as the end of the codes


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedKernel:
    """Codes and scales of one kernel."""

    codes: Matrix  # (groups, rows, columns), whole numbers
    scale: Matrix  # (groups, rows), > 0

    @property
    def real(self) -> Matrix:
        """What the codes stand for, (groups, rows, columns)."""
        return self.codes * self.scale[..., np.newaxis]


def best_scales(kernel: Matrix, importance: Matrix, bits: int, *, per_tensor: bool = False) -> Matrix:
    """Scale of each row with the smallest weighted squared error after clipping and rounding to nearest, (groups, rows).

    Values are those that a file can hold, float32. A row of zeros gets the largest scale of the others, because one of next
    to nothing makes multipliers that kernels refuse.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    importance : ndarray that broadcasts to it
        Mean square of the input that each weight multiplies.
    bits : int
        Of symmetric codes: 4 bits have -7 to 7.
    per_tensor : bool
        One scale for all rows.
    """
    top = highest_code(bits)
    most = np.abs(kernel).max(axis=2)
    most = np.where(most > LEAST * most.max(), most, most.max() or 1.0)
    most = np.full_like(most, most.max()) if per_tensor else most
    tried: Matrix = (CLIPS[:, np.newaxis, np.newaxis] * most / top).astype(np.float32).astype(np.float64)
    errors = []
    for scale in tried:
        rounded = np.clip(np.rint(kernel / scale[..., np.newaxis]), -top, top) * scale[..., np.newaxis]
        errors.append((importance * np.square(kernel - rounded)).sum(axis=2))
    lost = np.asarray(errors)  # (clips, groups, rows)
    best = np.full(most.shape, lost.sum(axis=(1, 2)).argmin()) if per_tensor else lost.argmin(axis=0)
    found: Matrix = np.take_along_axis(tried, best[np.newaxis], axis=0)[0]
    return found


def highest_code(bits: int) -> int:
    """Largest code of symmetric weights."""
    return int(2 ** (bits - 1) - 1)


def round_rows(kernel: Matrix, hessian: Matrix, scale: Matrix, bits: int) -> RoundedKernel:
    """Round column by column; the error of each is made good by the columns that are still to be rounded, see `in_turn`.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
    scale : ndarray (groups, rows)
    bits : int
    """
    top = highest_code(bits)
    real = in_turn(kernel, damped(hessian, DAMPING), lambda column: np.clip(np.rint(column / scale), -top, top) * scale)
    return RoundedKernel(codes=np.rint(real / scale[..., np.newaxis]), scale=scale)


def settle(
    kernel: Matrix, hessian: Matrix, rounded: RoundedKernel, bits: int, *, per_tensor: bool = False
) -> RoundedKernel:
    """Codes and scales in turn, each the best for the others: no step makes the output worse.

    References
    ----------
    Behdin et al., "QuantEase: Optimization-based Quantization for Language Models", 2309.01885, of the codes.
    """
    top, hessian = highest_code(bits), damped(hessian, DAMPING)
    codes, scale = rounded.codes.copy(), rounded.scale
    for _ in range(SWEEPS):
        slope = (codes * scale[..., np.newaxis] - kernel) @ hessian
        for column in range(codes.shape[-1]):
            own = hessian[:, column, column, np.newaxis] * scale
            step = np.clip(np.rint(codes[..., column] - slope[..., column] / own), -top, top) - codes[..., column]
            group, row = np.nonzero(step)
            codes[group, row, column] += step[group, row]
            slope[group, row] += (step * scale)[group, row, np.newaxis] * hessian[group, column]
        scale = _best_for(codes, kernel, hessian, scale, per_tensor)
    return RoundedKernel(codes=codes, scale=scale)


def round_kernel(kernel: Matrix, hessian: Matrix, bits: int, *, per_tensor: bool = False) -> RoundedKernel:
    """Codes and scales with which a kernel puts out what it did, as nearly as is found.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
        Covariance of the inputs.
    bits : int
    per_tensor : bool
        One scale for all rows.
    """
    importance = np.diagonal(hessian, axis1=-2, axis2=-1)[:, np.newaxis]
    scale = best_scales(kernel, importance, bits, per_tensor=per_tensor)
    return settle(kernel, hessian, round_rows(kernel, hessian, scale, bits), bits, per_tensor=per_tensor)


def _best_for(codes: Matrix, kernel: Matrix, hessian: Matrix, scale: Matrix, per_tensor: bool) -> Matrix:
    """Scales by least squares; a row without codes keeps its own."""
    worth = codes @ hessian
    fits, size = (worth * kernel).sum(axis=-1), (worth * codes).sum(axis=-1)
    if per_tensor:
        fits, size = np.full_like(fits, fits.sum()), np.full_like(size, size.sum())
    found = np.where((size > 0) & (fits > 0), fits / np.where(size > 0, size, 1.0), scale)
    return found.astype(np.float32).astype(np.float64)


def nearest_rows(kernel: Matrix, scale: Matrix, bits: int) -> RoundedKernel:
    """Each weight to the nearest code."""
    top = highest_code(bits)
    codes = np.clip(np.rint(kernel / scale[..., np.newaxis]), -top, top)
    return RoundedKernel(codes=codes, scale=scale)
