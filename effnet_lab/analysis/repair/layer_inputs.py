"""What stands under a kernel: the inputs of a convolution or dense layer as rows, at chosen positions of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert import Op
from effnet_lab.litert.options import Options

Array = NDArray[Any]
Matrix = NDArray[np.float64]


def kernel_matrix(kernel: Array, op: Op) -> Matrix:
    """A kernel as (rows, columns): a row per output channel; the columns in the order of `patches`."""
    if op.kind == "depthwise":  # stored (1, h, w, channels)
        return kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
    return kernel.reshape(kernel.shape[0], -1).astype(np.float64)


def kernel_tensor(matrix: Array, shape: tuple[int, ...], op: Op) -> Array:
    """The inverse of `kernel_matrix`."""
    return matrix.T.reshape(shape) if op.kind == "depthwise" else matrix.reshape(shape)


def patches(values: Array, kernel_shape: tuple[int, ...], op: Op, options: Options, at: Array) -> Array:
    """Inputs under the kernel at positions of the output.

    Parameters
    ----------
    values : ndarray (1, height, width, channels), or (1, columns) of a dense layer
        Input of the op for one image.
    kernel_shape : tuple
        As stored.
    op, options
        Of the convolution.
    at : ndarray of int (positions,)
        Of the output map, row by row; a dense layer has the position 0 only.

    Returns
    -------
    ndarray
        (positions, columns); of a depthwise kernel (channels, positions, columns).
    """
    if op.kind == "dense":
        return values.reshape(-1, kernel_shape[-1])
    window = kernel_shape[1:3]
    if window == (1, 1) and options.stride == (1, 1):
        rows = values[0].reshape(-1, values.shape[-1])[at]
        return np.ascontiguousarray(rows.T)[:, :, np.newaxis] if op.kind == "depthwise" else rows
    tops, lefts = (axis[at] for axis in _corners(values.shape[1:3], window, options))
    padded = _padded(values[0], window, options)
    ys = tops[:, np.newaxis, np.newaxis] + options.dilation[0] * np.arange(window[0])[np.newaxis, :, np.newaxis]
    xs = lefts[:, np.newaxis, np.newaxis] + options.dilation[1] * np.arange(window[1])[np.newaxis, np.newaxis, :]
    found = padded[ys, xs]  # (positions, h, w, channels)
    if op.kind == "depthwise":
        if kernel_shape[3] != found.shape[3]:
            found = np.repeat(found, kernel_shape[3] // found.shape[3], axis=3)
        return np.ascontiguousarray(found.reshape(len(at), -1, kernel_shape[3]).transpose(2, 0, 1))
    return found.reshape(len(at), -1)


def out_size(size: int, window: int, axis: int, options: Options) -> int:
    """Side of the output map."""
    reach = (window - 1) * options.dilation[axis] + 1
    stride = options.stride[axis]
    return -(-size // stride) if options.same else (size - reach) // stride + 1


def _before(size: int, window: int, axis: int, options: Options) -> tuple[int, int]:
    """Zeros before and behind, as TensorFlow's SAME pads: the odd one behind."""
    if not options.same:
        return 0, 0
    reach = (window - 1) * options.dilation[axis] + 1
    missing = max((out_size(size, window, axis, options) - 1) * options.stride[axis] + reach - size, 0)
    return missing // 2, missing - missing // 2


def _padded(image: Array, window: tuple[int, ...], options: Options) -> Array:
    return np.pad(image, [*(_before(image.shape[axis], window[axis], axis, options) for axis in (0, 1)), (0, 0)])


def _corners(sides: tuple[int, ...], window: tuple[int, ...], options: Options) -> tuple[Array, Array]:
    """Top and left of every position, in the padded map."""
    down, across = (out_size(sides[axis], window[axis], axis, options) for axis in (0, 1))
    ys, xs = np.divmod(np.arange(down * across), across)
    return ys * options.stride[0], xs * options.stride[1]
