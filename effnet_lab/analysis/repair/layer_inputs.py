"""What stands under a kernel: the inputs of a convolution or dense layer as rows, at chosen positions of the output.

A kernel is split into groups whose rows share their inputs: one group in most layers, one for each channel of a depthwise
convolution. Kernels are (groups, rows, columns), inputs (groups, positions, columns).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.windows import windows
from effnet_lab.litert import Op
from effnet_lab.litert.options import Options

Array = NDArray[Any]
Matrix = NDArray[np.float64]


def n_groups(op: Op, kernel_shape: tuple[int, ...], channels: int) -> int:
    """Groups of a layer whose input has so many channels."""
    if op.kind == "depthwise":
        return kernel_shape[3]
    return channels // kernel_shape[3] if op.kind == "conv" else 1


def kernel_matrix(kernel: Array, op: Op, groups: int) -> Matrix:
    """A kernel as (groups, rows, columns): a row per output channel; the columns in the order of `patches`."""
    if op.kind == "depthwise":  # stored (1, h, w, channels)
        return kernel.reshape(-1, kernel.shape[-1]).T[:, np.newaxis].astype(np.float64)
    return kernel.reshape(groups, kernel.shape[0] // groups, -1).astype(np.float64)


def kernel_tensor(matrix: Array, shape: tuple[int, ...], op: Op) -> Array:
    """The inverse of `kernel_matrix`."""
    return matrix[:, 0].T.reshape(shape) if op.kind == "depthwise" else matrix.reshape(shape)


def patches(values: Array, kernel_shape: tuple[int, ...], op: Op, options: Options, at: Array) -> Array:
    """Inputs under the kernel at positions of the output.

    Parameters
    ----------
    values : ndarray (1, height, width, channels), or (1, columns) of a dense layer
        Input of the op for one image.
    kernel_shape : tuple
        As stored.
    op, options
        Of the layer.
    at : ndarray of int (positions,)
        Of the output map, row by row; of a dense layer all are taken.

    Returns
    -------
    ndarray (groups, positions, columns)
    """
    if op.kind == "dense":
        return values.reshape(1, -1, kernel_shape[-1])
    window, groups = (kernel_shape[1], kernel_shape[2]), n_groups(op, kernel_shape, values.shape[-1])
    if window == (1, 1) and options.stride == (1, 1):
        found = values[0].reshape(-1, 1, values.shape[-1])[at]
    else:
        found = _windows(values[0], window, options, at)
    if op.kind == "depthwise" and groups != values.shape[-1]:
        found = np.repeat(found, groups // values.shape[-1], axis=-1)
    split = found.reshape(*found.shape[:2], groups, -1)  # (positions, taps, groups, channels of a group)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3)).reshape(groups, len(at), -1)


def _windows(image: Array, window: tuple[int, int], options: Options, at: Array) -> Array:
    """(positions, taps, channels)."""
    every = windows(image, window, options)
    found = every[np.divmod(at, every.shape[1])]  # (positions, h, w, channels)
    return found.reshape(len(at), -1, image.shape[-1])
