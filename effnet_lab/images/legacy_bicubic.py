"""TensorFlow 1's bicubic resize, which the official weights were trained and evaluated with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 1024  # the original rounds a pixel's fractional position to the entries of a table
_A = -0.75  # of the cubic kernel; later TensorFlow and Pillow use -0.5


def resize_legacy_bicubic(
    image: NDArray[Any], height: int, width: int, window: tuple[int, int, int, int] | None = None
) -> NDArray[Any]:
    """Resize (h, w, c) as ``tf.compat.v1.image.resize_bicubic`` does; float32, neither clipped nor rounded.

    Four taps per axis whatever the scale (no antialiasing), output pixel i samples at ``i * in / out`` (no half-pixel
    centres), the border is repeated.

    Parameters
    ----------
    image : array (h, w, c)
        Any type with grey levels.
    height, width : int
        Of the whole resized image, px.
    window : (top, left, height, width), optional
        Part of the resized image that is computed; all of it by default.

    Source: tensorflow, core/kernels/image/resize_bicubic_op.cc.
    """
    top, left, rows, columns = window or (0, 0, height, width)
    at, weights = _taps(image.shape[0], height)
    mixed = _mix(image, at[top : top + rows], weights[top : top + rows])
    at, weights = _taps(image.shape[1], width)
    mixed = _mix(mixed.transpose(1, 0, 2), at[left : left + columns], weights[left : left + columns])
    return np.ascontiguousarray(mixed.transpose(1, 0, 2))


def _mix(image: NDArray[Any], at: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Weighted sums of rows: a product with a sparse matrix of four entries per row."""
    total = image[at[:, 0]] * weights[:, 0, None, None]
    for tap in range(1, 4):
        total += image[at[:, tap]] * weights[:, tap, None, None]
    return np.asarray(total)


@lru_cache(maxsize=256)
def _taps(size_in: int, size_out: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Input indices int64 (size_out, 4) and weights float32 (size_out, 4) of every output pixel."""
    scale = np.float32(size_in) / np.float32(size_out)
    position = np.arange(size_out, dtype=np.float32) * scale
    first = np.floor(position)
    entry = np.rint((position - first) * np.float32(_STEPS)).astype(np.int64)
    near, far = _table()
    weights = np.stack([far[entry], near[entry], near[_STEPS - entry], far[_STEPS - entry]], axis=1)
    at = first.astype(np.int64)[:, None] + np.arange(-1, 3)
    return np.clip(at, 0, size_in - 1), weights


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[Any], NDArray[Any]]:
    """Kernel at distances 0 to 1 and 1 to 2, float32 (1025,) each."""
    near = np.arange(_STEPS + 1) / _STEPS
    far = near + 1.0
    return (
        (((_A + 2) * near - (_A + 3)) * near * near + 1).astype(np.float32),
        (((_A * far - 5 * _A) * far + 8 * _A) * far - 4 * _A).astype(np.float32),
    )
