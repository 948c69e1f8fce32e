"""Bias correction: what the rounding of a kernel adds to a layer's output on average is taken off its bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.repair.moments import Moments, mean_window
from effnet_lab.litert import Graph, Op, Tensor, read_graph
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.options import Options, op_options


def correct_biases(quantized_content: bytes, float_content: bytes, moments: Mapping[str, Moments]) -> bytes:
    """Change the biases of a quantized file so that its kernels err by nothing on average.

    A layer whose rounded kernel is W' instead of W puts out E[W' x] - E[W x] too much, before the activation that is fused
    behind it. That is the kernel error applied to the mean input, and it is subtracted from the stored bias, in its own
    integer steps. The float network is read, not changed: the correction belongs to one quantized file.

    Parameters
    ----------
    quantized_content : bytes
        A .tflite file with quantized kernels, from any tool and per tensor or per channel.
    float_content : bytes
        The float32 file it was made from; layers are matched by tensor name. Where weights have been clipped since, the file
        from before: then clipping is corrected, too.
    moments : mapping of tensor name to Moments
        Of the float file on calibration images, from `measure_moments`.

    References
    ----------
    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; with
    E[x] measured instead of derived from batch norm.
    """
    arrays = {}
    graph = read_graph(quantized_content)
    for name, shift in mean_shifts(quantized_content, float_content, moments).items():
        op = graph.produced[name]
        bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 else None
        if bias is not None and bias.data is not None and bias.name not in arrays:
            arrays[bias.name] = _moved(bias, shift)
    return with_constants(quantized_content, arrays)


def mean_shifts(
    quantized_content: bytes, float_content: bytes, moments: Mapping[str, Moments]
) -> dict[str, NDArray[Any]]:
    """Mean error of every layer with a kernel, E[W' x + b'] - E[W x + b] per output channel, by the output's tensor name.

    x is the input of the layer in the float network: the error is the layer's own.
    """
    graph, reference = read_graph(quantized_content), read_graph(float_content)
    options = dict(zip((op.index for op in reference.ops), op_options(float_content), strict=True))
    shifts = {}
    for name, op in graph.produced.items():
        twin = reference.produced.get(name)
        if twin is None:
            continue
        rounded, exact = graph.weights(op), reference.weights(twin)
        if rounded is None or exact is None or rounded.data is None or exact.data is None:
            continue
        if rounded.shape == exact.shape:
            mean = moments[reference.tensors[twin.inputs[0]].name].mean
            error = rounded.real(rounded.data) - exact.data
            shifts[name] = _mean_output(error, mean, op, options[twin.index])
            shifts[name] += _bias(graph, op) - _bias(reference, twin)
    return shifts


def _mean_output(kernel: NDArray[Any], mean: NDArray[Any], op: Op, options: Options) -> NDArray[Any]:
    """Mean over images and positions of a layer's output without its bias, (channels,)."""
    kernel = kernel.astype(np.float64)
    if op.kind == "dense":
        return np.asarray(kernel @ mean.reshape(-1, kernel.shape[1]).mean(axis=0))
    taps = mean_window(mean, kernel.shape[1:3], options)
    if op.kind == "depthwise":
        taps = np.repeat(taps, kernel.shape[3] // taps.shape[2], axis=2)
        return np.asarray(np.einsum("hwc,hwc->c", kernel[0], taps))
    return np.asarray(np.einsum("ohwc,hwc->o", kernel, taps))


def _bias(graph: Graph, op: Op) -> NDArray[Any] | float:
    if len(op.inputs) < 3:
        return 0.0
    bias = graph.tensors[op.inputs[2]]
    if bias.data is None:
        return 0.0
    return np.asarray(bias.data.astype(np.float64) * (bias.scale.astype(np.float64) if bias.quantized else 1.0))


def _moved(bias: Tensor, shift: NDArray[Any]) -> NDArray[Any]:
    """Stored bias less the shift, in its own steps; saturated."""
    if not bias.quantized:
        return np.asarray(bias.data - shift).astype(bias.dtype)
    steps, limits = np.rint(shift / bias.scale), np.iinfo(bias.dtype)
    return np.asarray(np.clip(bias.data - steps, limits.min, limits.max)).astype(bias.dtype)
