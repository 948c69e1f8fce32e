"""Clipping of outlying weights, so that one scale per tensor resolves the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.repair.moments import Moments
from effnet_lab.litert import Graph, Op, read_graph
from effnet_lab.litert.edit import with_constants

THRESHOLDS = 2.0 ** -np.arange(0, 8, 1 / 16)  # tried, as shares of the largest absolute weight


def clip_outliers(float_content: bytes, moments: Mapping[str, Moments], *, bits: int = 8) -> bytes:
    """Clip every kernel where that makes the output of the layer more exact with one scale per tensor.

    Of the thresholds 1, 2**(-1/16), ... of the largest weight, the one with the smallest squared error that rounding and
    clipping together make in the output; a weight counts by the mean square of what it multiplies. Weights below the
    threshold do not move: where none lies above it, the network is the same, bit for bit.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    moments : mapping of tensor name to Moments
        From `measure_moments`.
    bits : int
        Of the symmetric weights it will be quantized to.

    Returns
    -------
    bytes
        A file with the same graph and names.
    """
    graph = read_graph(float_content)
    arrays = {}
    for op in graph.ops:
        kernel = graph.weights(op)
        if kernel is None or kernel.data is None or kernel.dtype != np.float32:
            continue
        threshold = best_threshold(kernel.data, _importance(graph, op, moments), bits=bits)
        if threshold < np.abs(kernel.data).max():
            arrays[kernel.name] = np.clip(kernel.data, -threshold, threshold)
    return with_constants(float_content, arrays)


def best_threshold(weights: NDArray[Any], importance: NDArray[Any] | float = 1.0, *, bits: int = 8) -> np.float32:
    """Threshold with the smallest weighted squared error after clipping and symmetric rounding to one scale.

    Parameters
    ----------
    weights : ndarray of any shape, float
    importance : ndarray that broadcasts to it, >= 0
        Weight of each squared error.
    """
    most = np.abs(weights).max()
    codes = 2 ** (bits - 1) - 1
    errors = []
    for threshold in most * THRESHOLDS:
        scale = max(threshold / codes, np.finfo(np.float32).tiny)
        rounded = scale * np.clip(np.rint(weights / scale), -codes, codes)
        errors.append(np.sum(importance * np.square(weights - rounded), dtype=np.float64))
    return np.float32(most * THRESHOLDS[int(np.argmin(errors))])


def _importance(graph: Graph, op: Op, moments: Mapping[str, Moments]) -> NDArray[Any]:
    """Mean square of the input channel that each weight multiplies, broadcast along the kernel's last axis."""
    mean_square = moments[graph.tensors[op.inputs[0]].name].mean_square
    return np.repeat(mean_square, graph.kernel(op).shape[-1] // len(mean_square))
