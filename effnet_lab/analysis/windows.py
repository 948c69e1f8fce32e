"""What stands under a kernel that slides over a map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert.options import Options

Array = NDArray[Any]


def windows(values: Array, window: tuple[int, int], options: Options, fill: int = 0) -> Array:
    """Every window of a map (height, width, channels), as a view: (out height, out width, rows, columns, channels).

    Parameters
    ----------
    values : ndarray (height, width, channels)
    window : (rows, columns) of the kernel
    options : Options
        Of the op: stride, dilation, padding. What SAME padding adds is `fill`, more of it behind than before.
    fill : int
        Zero; of codes, their zero point.
    """
    around = [options.padding(values.shape[axis], window[axis], axis) for axis in (0, 1)]
    padded = np.pad(values, [*around, (0, 0)], constant_values=fill)
    reach = [options.reach(window[axis], axis) for axis in (0, 1)]
    found = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(0, 1))
    (down, across), (step_down, step_across) = options.stride, options.dilation
    return found[::down, ::across, :, ::step_down, ::step_across].transpose(0, 1, 3, 4, 2)
