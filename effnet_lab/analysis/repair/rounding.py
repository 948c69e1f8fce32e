"""Rounding that looks at the output: which codes a kernel gets is decided by what they do to the layer, not by distance.

A kernel is a matrix here: a row per output channel, a column per weight, and the inputs are rows of a second matrix, one per
position of an image that was looked at. A depthwise kernel is one such matrix with one row for each channel, so the inputs
of several kernels are stacked: (groups, positions, columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAMPING = 0.01  # of the mean of the diagonal: what makes the inputs' covariance invertible
PULL = 0.03  # the same, for the refit: how strongly the kernel is held to the float one
CLIPS = np.linspace(1.0, 0.35, 26)  # shares of the largest weight that are tried as the end of the codes

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedKernel:
    """Codes and scales of one kernel."""

    codes: Matrix  # (rows, columns), whole numbers
    scale: Matrix  # (rows,), > 0

    @property
    def real(self) -> Matrix:
        """What the codes stand for, (rows, columns)."""
        return self.codes * self.scale[:, np.newaxis]


class InputMoments:
    """What rounding has to know of a layer's inputs, summed image by image: those of both networks, at the same positions."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Matrix] = [np.zeros(())] * 4

    def add(self, exact: NDArray[Any], given: NDArray[Any]) -> None:
        """Inputs (..., positions, columns) in the float network, and in the quantized one so far."""
        self._count += given.shape[-2]
        turned = np.ascontiguousarray(_turned(given))
        sums = exact.sum(axis=-2), given.sum(axis=-2), turned @ given, turned @ exact
        self._sums = [before + new.astype(np.float64) for before, new in zip(self._sums, sums, strict=True)]

    @property
    def means(self) -> tuple[Matrix, Matrix]:
        """Of the float network's inputs and of the given ones, (..., columns)."""
        return self._sums[0] / self._count, self._sums[1] / self._count

    @property
    def covariance(self) -> Matrix:
        """Of the given inputs, (..., columns, columns). Their mean is the bias's affair."""
        given = self.means[1]
        return self._sums[2] / self._count - given[..., :, np.newaxis] * given[..., np.newaxis, :]

    @property
    def cross(self) -> Matrix:
        """Covariance of the given inputs with the float network's, (..., columns, columns)."""
        exact, given = self.means
        return self._sums[3] / self._count - given[..., :, np.newaxis] * exact[..., np.newaxis, :]


def damped(hessian: Matrix, share: float) -> Matrix:
    """With a share of its mean diagonal added to the diagonal; an input that never varies gets 1."""
    level = share * np.trace(hessian, axis1=-2, axis2=-1) / hessian.shape[-1]
    return hessian + np.where(level > 0, level, 1.0)[..., np.newaxis, np.newaxis] * np.eye(hessian.shape[-1])


def refit(kernel: Matrix, moments: InputMoments, *, pull: float = PULL) -> Matrix:
    """The kernel that gives the float network's outputs from the inputs that arrive, held to what it was (ridge regression).

    Parameters
    ----------
    kernel : ndarray (..., rows, columns)
    moments : InputMoments

    Returns
    -------
    ndarray (..., rows, columns)
    """
    missing = (moments.cross - moments.covariance) @ _turned(kernel)
    step: Matrix = np.linalg.solve(damped(moments.covariance, pull), missing)
    fitted: Matrix = kernel + _turned(step)
    return fitted


def best_scales(kernel: Matrix, importance: Matrix, bits: int, *, per_tensor: bool = False) -> Matrix:
    """Scale of each row with the smallest weighted squared error after clipping and rounding to nearest, (rows,).

    Parameters
    ----------
    kernel : ndarray (rows, columns)
    importance : ndarray that broadcasts to it
        Mean square of the input that each weight multiplies.
    bits : int
        Of symmetric codes: 4 bits have -7 to 7.
    per_tensor : bool
        One scale for all rows.
    """
    top = 2 ** (bits - 1) - 1
    most = np.abs(kernel).max(axis=1)
    most = np.maximum(most.max() if per_tensor else most, np.finfo(np.float32).tiny * top)
    tried: Matrix = np.stack([clip * most * np.ones(len(kernel)) / top for clip in CLIPS])  # (clips, rows)
    errors = []
    for scale in tried:
        rounded = np.clip(np.rint(kernel / scale[:, np.newaxis]), -top, top) * scale[:, np.newaxis]
        errors.append((importance * np.square(kernel - rounded)).sum(axis=1))
    lost = np.asarray(errors)
    best: Matrix = (
        tried[int(lost.sum(axis=1).argmin())] if per_tensor else tried[lost.argmin(0), np.arange(len(kernel))]
    )
    return best


def round_rows(kernel: Matrix, hessian: Matrix, scale: Matrix, bits: int) -> RoundedKernel:
    """Round column by column; the error of each is made good by the columns that are still to be rounded.

    Parameters
    ----------
    kernel : ndarray (rows, columns)
    hessian : ndarray (columns, columns), or (rows, columns, columns) where each row has inputs of its own
    scale : ndarray (rows,)
    bits : int

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2210.17323.
    """
    top = 2 ** (bits - 1) - 1
    diagonal = np.diagonal(hessian, axis1=-2, axis2=-1)
    order = np.argsort(-diagonal.reshape(-1, kernel.shape[1]).mean(axis=0), kind="stable")
    left = kernel[:, order].copy()
    inverse = np.linalg.inv(damped(hessian, DAMPING)[..., order[:, np.newaxis], order])
    upper = _turned(np.linalg.cholesky(inverse))  # rows: what a column's error is worth in the later ones
    codes = np.empty_like(left)
    for column in range(left.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column] / scale), -top, top)
        row = upper[..., column, :]  # (columns,) or (rows, columns)
        error = (left[:, column] - codes[:, column] * scale) / row[..., column]
        left[:, column + 1 :] -= error[:, np.newaxis] * row[..., column + 1 :]
    back = np.empty_like(codes)
    back[:, order] = codes
    return RoundedKernel(codes=back, scale=scale)


def _turned(matrices: NDArray[Any]) -> NDArray[Any]:
    return np.swapaxes(matrices, -1, -2)
