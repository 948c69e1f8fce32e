"""Sums of products of codes: what a convolution, a depthwise convolution or a dense layer adds up."""

from __future__ import annotations

import numpy as np

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.windows import windows
from effnet_lab.litert.options import Options
from effnet_lab.names import UserError


def products(kind: str, codes: Array, kernel: Array, options: Options, zero_point: int) -> Array:
    """Sum over the window of input code times weight code, int64, shape of the output.

    Parameters
    ----------
    kind : "conv", "depthwise" or "dense"
    codes : ndarray, int8 (1, h, w, c), or (n, c) for a dense layer
    kernel : ndarray, int8, as the file stores it: (out, kh, kw, in), (1, kh, kw, out), (out, in)
    options : Options
    zero_point : int
        Of the input: the code that stands for 0, and so what lies outside of the image.

    The products are added in float64, which is exact below 2**53.
    """
    if kind == "dense":
        return _exact(codes.reshape(-1, kernel.shape[1]), kernel.T)
    if codes.shape[0] != 1:
        raise UserError(f"The arithmetic is shown for one image at a time. Got a batch of {codes.shape[0]}.")
    if kind == "conv" and kernel.shape[3] != codes.shape[3]:
        raise UserError(
            f"Grouped convolutions are not explained: the kernel takes {kernel.shape[3]} of {codes.shape[3]} channels."
        )
    under = windows(codes[0], kernel.shape[1:3], options, fill=zero_point)
    if kind == "depthwise":
        under = np.repeat(under, options.depth_multiplier, axis=-1).astype(np.float64)
        summed: Array = np.einsum("hwijc,ijc->hwc", under, kernel[0].astype(np.float64))
        return summed.astype(np.int64)[np.newaxis]
    height, width = under.shape[:2]
    rows = under.reshape(height * width, -1)
    return _exact(rows, kernel.reshape(kernel.shape[0], -1).T).reshape(1, height, width, -1)


def _exact(left: Array, right: Array) -> Array:
    exact: Array = left.astype(np.float64) @ right.astype(np.float64)
    return exact.astype(np.int64)
