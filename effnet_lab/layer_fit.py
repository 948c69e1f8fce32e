"""A layer's kernel, fitted to what its outputs should be on the inputs that arrive; summed over positions, image by image.

A kernel is a stack of matrices here: groups, a row per output channel, a column per weight. Inputs are the rows of a second
stack, one per position of an image that was looked at: (groups, positions, columns). A depthwise kernel has a group with one
row for each channel, an ordinary one a single group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 40  # of choosing zeros
PULL = 0.03  # of the mean of the diagonal: how strongly a refitted kernel is held to what it was
PULLS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)  # that are tried where there are images to try them on

Matrix = NDArray[np.float64]


class InputMoments:
    """What a fit has to know of a layer, summed image by image: inputs that arrive, and the outputs that they should give."""

    def __init__(self, *, means_only: bool = False) -> None:
        self.means_only = means_only  # too wide a kernel for products of its columns
        self._count = 0
        self._sums: list[Matrix] = [np.zeros(())] * (3 if means_only else 5)

    def add(self, wanted: NDArray[Any], given: NDArray[Any]) -> None:
        """Outputs (groups, positions, rows) as they should be without a bias, and inputs (groups, positions, columns)."""
        self._count += given.shape[-2]
        sums = [wanted.sum(axis=-2), given.sum(axis=-2), np.square(wanted).sum(axis=-2)]
        if not self.means_only:
            turned = np.ascontiguousarray(_turned(given))
            sums += [turned @ given, turned @ wanted]
        self._sums = [before + new.astype(np.float64) for before, new in zip(self._sums, sums, strict=True)]

    def __add__(self, other: InputMoments) -> InputMoments:
        """Of the images of both."""
        found = InputMoments(means_only=self.means_only)
        found._count = self._count + other._count
        found._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        return found

    @property
    def seen(self) -> bool:
        """Whether there is anything."""
        return self._count > 0

    @property
    def means(self) -> tuple[Matrix, Matrix]:
        """Of the wanted outputs, (groups, rows), and of the given inputs, (groups, columns)."""
        return self._sums[0] / self._count, self._sums[1] / self._count

    @property
    def covariance(self) -> Matrix:
        """Of the given inputs, (groups, columns, columns). Their mean is the bias's affair."""
        given = self.means[1]
        return self._sums[3] / self._count - given[..., :, np.newaxis] * given[..., np.newaxis, :]

    @property
    def cross(self) -> Matrix:
        """Covariance of the given inputs with the wanted outputs, (groups, columns, rows)."""
        wanted, given = self.means
        return self._sums[4] / self._count - given[..., :, np.newaxis] * wanted[..., np.newaxis, :]

    @property
    def signal(self) -> float:
        """Variance of the wanted outputs, summed over all of them."""
        return float((self._sums[2] / self._count - np.square(self.means[0])).sum())

    def error(self, kernel: Matrix) -> float:
        """Variance of what a kernel makes of the given inputs less what is wanted, summed over all outputs."""
        crossed = float((_turned(kernel) * self.cross).sum())
        return max(self.signal - 2 * crossed + float(output_error(kernel, self.covariance).sum()), 0.0)


def damped(hessian: Matrix, share: float) -> Matrix:
    """With a share of its mean diagonal added to the diagonal; an input that never varies gets 1."""
    level = share * np.trace(hessian, axis1=-2, axis2=-1) / hessian.shape[-1]
    return hessian + np.where(level > 0, level, 1.0)[..., np.newaxis, np.newaxis] * np.eye(hessian.shape[-1])


def refit(kernel: Matrix, moments: InputMoments, *, pull: float = PULL) -> Matrix:
    """The kernel that gives the wanted outputs from the inputs that arrive, held to what it was (ridge regression).

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    moments : InputMoments

    Returns
    -------
    ndarray (groups, rows, columns)
    """
    missing = moments.cross - moments.covariance @ _turned(kernel)
    step: Matrix = np.linalg.solve(damped(moments.covariance, pull), missing)
    fitted: Matrix = kernel + _turned(step)
    return fitted


def best_pull(kernel: Matrix, halves: tuple[InputMoments, InputMoments]) -> float:
    """The pull of `PULLS` that is best for the half of the images that the refit has not seen."""
    if not all(half.seen for half in halves):
        return PULL
    lost = [
        sum(seen.error(refit(kernel, fitting, pull=pull)) for fitting, seen in (halves, halves[::-1])) for pull in PULLS
    ]
    return PULLS[int(np.argmin(lost))]


def lost_mean(kernel: Matrix, moments: InputMoments) -> Matrix:
    """What the bias has to make good, (groups, rows): means of the wanted outputs less those of this kernel."""
    wanted, given = moments.means
    gone: Matrix = wanted - (kernel * given[:, np.newaxis]).sum(axis=2)
    return gone


def sparse(kernel: Matrix, hessian: Matrix, share: float) -> Matrix:
    """The kernel with so many zeros whose outputs are nearest to its own: which weights go and what the others become.

    Alternating directions (ADMM) on inputs of equal size: the share of zeros grows over the first half of the rounds, then
    the choice stays and the other weights settle.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
        Covariance of the inputs, invertible, see `damped`.
    share : float
        Of all weights of a group, 0 to 1.

    References
    ----------
    Boza, "Fast and Effective Weight Update for Pruned Large Language Models", 2401.02938.
    """
    size = np.sqrt(np.diagonal(hessian, axis1=-2, axis2=-1))[:, np.newaxis]  # (groups, 1, columns)
    wanted, normal = kernel * size, hessian / (_turned(size) * size)
    inverse = np.linalg.inv(normal + np.eye(normal.shape[-1]))
    free, pushed, kept, still = wanted, np.zeros_like(wanted), np.ones(wanted.shape, bool), wanted @ normal
    for done in (np.arange(ROUNDS) + 1) / ROUNDS:
        if done <= 0.5:
            kept = _largest(np.abs(free + pushed), 1 - share * (1 - (1 - 2 * done) ** 3))
        held = (free + pushed) * kept
        pushed = pushed + free - held
        free = (still + held - pushed) @ inverse
    sparsened: Matrix = (free + pushed) * kept / size
    return sparsened


def few_values(kernel: Matrix, hessian: Matrix, n_values: int) -> Matrix:
    """The kernel with at most so many different values, chosen for the outputs: see `in_turn`.

    The values are those with the least squared error, weighted by how much each input varies (Lloyd's algorithm).

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
    n_values : int
        For the whole kernel, 2 or more.
    """
    weight = np.broadcast_to(np.diagonal(hessian, axis1=-2, axis2=-1)[:, np.newaxis], kernel.shape).ravel()
    order = np.argsort(kernel, axis=None)
    found = kernel.ravel()[order]
    sums = [np.concatenate([[0.0], np.cumsum(each[order])]) for each in (weight, weight * kernel.ravel())]
    values = np.linspace(found[0], found[-1], n_values)
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(found, (values[1:] + values[:-1]) / 2), [len(found)]])
        mass, total = (np.diff(each[ends]) for each in sums)
        values = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), values)
    middles = (values[1:] + values[:-1]) / 2
    return in_turn(kernel, hessian, lambda column: values[np.searchsorted(middles, column)])


def in_turn(kernel: Matrix, hessian: Matrix, stored: Callable[[Matrix], Matrix]) -> Matrix:
    """Column by column what can be stored of it; the error of each is made good by the columns that are still to come.

    Parameters
    ----------
    kernel : ndarray (groups, rows, columns)
    hessian : ndarray (groups, columns, columns)
        Covariance of the inputs, invertible, see `damped`.
    stored : callable
        A column, (groups, rows), to what is stored of it.

    References
    ----------
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2210.17323.
    """
    order = np.argsort(-np.diagonal(hessian, axis1=-2, axis2=-1).mean(axis=0), kind="stable")
    left = kernel[..., order].copy()
    inverse = np.linalg.inv(hessian[..., order[:, np.newaxis], order])
    upper = _turned(np.linalg.cholesky(inverse))  # rows: what a column's error is worth in the later ones
    found = np.empty_like(left)
    for column in range(left.shape[-1]):
        found[..., column] = stored(left[..., column])
        row = upper[:, np.newaxis, column]  # (groups, 1, columns)
        error = (left[..., column] - found[..., column]) / row[..., column]
        left[..., column + 1 :] -= error[..., np.newaxis] * row[..., column + 1 :]
    back: Matrix = np.empty_like(found)
    back[..., order] = found
    return back


def _largest(sizes: Matrix, share: float) -> NDArray[np.bool_]:
    """Of each group, this share of the weights: the largest ones."""
    flat = sizes.reshape(len(sizes), -1)
    gone = np.argsort(flat, axis=1, kind="stable")[:, : round((1 - share) * flat.shape[1])]
    kept = np.ones(flat.shape, bool)
    np.put_along_axis(kept, gone, False, axis=1)
    return kept.reshape(sizes.shape)


def output_error(difference: Matrix, hessian: Matrix) -> Matrix:
    """Mean square, over the positions, of what a change of the kernel changes in each output, (groups, rows)."""
    return np.asarray(((difference @ hessian) * difference).sum(axis=-1))


def _turned(matrices: NDArray[Any]) -> NDArray[Any]:
    return np.swapaxes(matrices, -1, -2)
