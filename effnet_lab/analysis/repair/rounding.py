"""Rounding that looks at the output: which codes a kernel gets is decided by what they do to the layer, not by distance.

A kernel is a stack of matrices here: groups, a row per output channel, a column per weight. Inputs are the rows of a second
stack, one per position of an image that was looked at: (groups, positions, columns). A depthwise kernel has a group with one
row for each channel, an ordinary one a single group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAMPING = 0.01  # of the mean of the diagonal: what makes the inputs' covariance invertible
PULL = 0.03  # the same, for the refit: how strongly the kernel is held to the float one
LEAST = 1e-6  # a row whose largest weight is so much smaller than the kernel's is taken as zeros
CLIPS = np.linspace(1.0, 0.35, 26)  # shares of the largest weight that are tried as the end of the codes

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedKernel:
    """Codes and scales of one kernel."""

    codes: Matrix  # (groups, rows, columns), whole numbers
    scale: Matrix  # (groups, rows), > 0

    @property
    def real(self) -> Matrix:
        """What the codes stand for, (groups, rows, columns)."""
        return self.codes * self.scale[..., np.newaxis]


class InputMoments:
    """What rounding has to know of a layer's inputs, summed image by image: those of both networks, at the same positions."""

    def __init__(self, *, means_only: bool = False) -> None:
        self.means_only = means_only  # too wide a kernel for products of its columns
        self._count = 0
        self._sums: list[Matrix] = [np.zeros(())] * 5

    def add(self, exact: NDArray[Any], given: NDArray[Any]) -> None:
        """Inputs (groups, positions, columns) in the float network, and in the quantized one so far."""
        self._count += given.shape[-2]
        sums = [exact.sum(axis=-2), given.sum(axis=-2)]
        if not self.means_only:
            turned = np.ascontiguousarray(_turned(given))
            sums += [turned @ given, turned @ exact, _turned(exact) @ exact]
        self._sums = [before + new.astype(np.float64) for before, new in zip(self._sums, sums, strict=False)]

    @property
    def means(self) -> tuple[Matrix, Matrix]:
        """Of the float network's inputs and of the given ones, (groups, columns)."""
        return self._sums[0] / self._count, self._sums[1] / self._count

    @property
    def covariance(self) -> Matrix:
        """Of the given inputs, (groups, columns, columns). Their mean is the bias's affair."""
        given = self.means[1]
        return self._sums[2] / self._count - given[..., :, np.newaxis] * given[..., np.newaxis, :]

    @property
    def cross(self) -> Matrix:
        """Covariance of the given inputs with the float network's, (groups, columns, columns)."""
        exact, given = self.means
        return self._sums[3] / self._count - given[..., :, np.newaxis] * exact[..., np.newaxis, :]

    def signal(self, kernel: Matrix) -> float:
        """Variance of the float network's outputs, summed over all of them."""
        exact = self.means[0]
        spread = self._sums[4] / self._count - exact[..., :, np.newaxis] * exact[..., np.newaxis, :]
        return float(output_error(kernel, spread).sum())

    def error(self, kernel: Matrix, other: Matrix) -> float:
        """Variance of what `other` makes of the given inputs less what `kernel` makes of the float network's."""
        crossed = (other @ self.cross * kernel).sum()
        return max(self.signal(kernel) - 2 * float(crossed) + float(output_error(other, self.covariance).sum()), 0.0)


def damped(hessian: Matrix, share: float) -> Matrix:
    """With a share of its mean diagonal added to the diagonal; an input that never varies gets 1."""
    level = share * np.trace(hessian, axis1=-2, axis2=-1) / hessian.shape[-1]
    return hessian + np.where(level > 0, level, 1.0)[..., np.newaxis, np.newaxis] * np.eye(hessian.shape[-1])


def refit(kernel: Matrix, moments: InputMoments, *, pull: float = PULL) -> Matrix:
    """The kernel that gives the float network's outputs from the inputs that arrive, held to what it was (ridge regression).

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    moments : InputMoments

    Returns
    -------
    ndarray (groups, rows, columns)
    """
    missing = (moments.cross - moments.covariance) @ _turned(kernel)
    step: Matrix = np.linalg.solve(damped(moments.covariance, pull), missing)
    fitted: Matrix = kernel + _turned(step)
    return fitted


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
    """Round column by column; the error of each is made good by the columns that are still to be rounded.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
    scale : ndarray (groups, rows)
    bits : int

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2210.17323.
    """
    top = highest_code(bits)
    order = np.argsort(-np.diagonal(hessian, axis1=-2, axis2=-1).mean(axis=0), kind="stable")
    left = kernel[..., order].copy()
    inverse = np.linalg.inv(damped(hessian, DAMPING)[..., order[:, np.newaxis], order])
    upper = _turned(np.linalg.cholesky(inverse))  # rows: what a column's error is worth in the later ones
    codes = np.empty_like(left)
    for column in range(left.shape[-1]):
        codes[..., column] = np.clip(np.rint(left[..., column] / scale), -top, top)
        row = upper[:, np.newaxis, column]  # (groups, 1, columns)
        error = (left[..., column] - codes[..., column] * scale) / row[..., column]
        left[..., column + 1 :] -= error[..., np.newaxis] * row[..., column + 1 :]
    back = np.empty_like(codes)
    back[..., order] = codes
    return RoundedKernel(codes=back, scale=scale)


def nearest_rows(kernel: Matrix, scale: Matrix, bits: int) -> RoundedKernel:
    """Each weight to the nearest code."""
    top = highest_code(bits)
    codes = np.clip(np.rint(kernel / scale[..., np.newaxis]), -top, top)
    return RoundedKernel(codes=codes, scale=scale)


def output_error(difference: Matrix, hessian: Matrix) -> Matrix:
    """Mean square, over the positions, of what a change of the kernel changes in each output, (groups, rows)."""
    return np.asarray(((difference @ hessian) * difference).sum(axis=-1))


def _turned(matrices: NDArray[Any]) -> NDArray[Any]:
    return np.swapaxes(matrices, -1, -2)
