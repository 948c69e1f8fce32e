"""A quantized file whose kernels hold the codes that rounding chose: written by the back end, then checked code by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from effnet_lab.analysis.repair.round_walk import RoundedLayer
from effnet_lab.analysis.repair.rounding import highest_code
from effnet_lab.litert import read_graph
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.kernel_codes import KernelCodes, stored_codes, with_kernel_codes


def with_rounded_kernels(float_content: bytes, layers: Mapping[int, RoundedLayer]) -> bytes:
    """The float file with what the codes stand for: what the quantized file computes, but for its activations."""
    graph, arrays = read_graph(float_content), {}
    for layer in layers.values():
        arrays[graph.tensors[layer.op.inputs[1]].name] = layer.real
        if layer.bias is not None:
            arrays[graph.tensors[layer.op.inputs[2]].name] = layer.bias.astype(np.float32)
    return with_constants(float_content, arrays)


def write_rounded(
    rounded_float: bytes, layers: Mapping[int, RoundedLayer], quantize: Callable[[bytes], bytes]
) -> bytes:
    """The quantized file with exactly these codes and scales.

    The back end writes the file of the rounded float network. It gives every row of a kernel the scale that fits its largest
    weight, which is another one wherever no weight got the largest code: so codes, scales and biases are then put in.

    Parameters
    ----------
    rounded_float : bytes
        From `with_rounded_kernels`.
    layers : mapping of op to RoundedLayer
    quantize : callable
        Float file to quantized file.

    Raises
    ------
    ValueError
        If what is read back is not what was put in.
    """
    content = with_kernel_codes(quantize(rounded_float), {layer.name: layer.stored for layer in layers.values()})
    graph = read_graph(content)
    for layer in layers.values():
        kernel = graph.weights(graph.produced[layer.name])
        if (
            kernel is None
            or not np.array_equal(stored_codes(kernel), layer.codes)
            or not np.array_equal(kernel.scale, layer.stored.scale)
        ):
            raise ValueError(f"The codes of {layer.name!r} in the file are not those that rounding chose.")
    return content


def narrow_depthwise(quantized: bytes, float_content: bytes, bits: int = 4) -> bytes:
    """The quantized file with depthwise kernels of so few bits, rounded to nearest: what no tool writes, and LiteRT runs."""
    graph, source, layers = read_graph(quantized), read_graph(float_content), {}
    for name, op in graph.produced.items():
        kernel = graph.weights(op)
        if op.kind != "depthwise" or kernel is None or kernel.dtype != np.int8 or name not in source.produced:
            continue
        exact = source.kernel(source.produced[name])
        most = np.abs(exact).reshape(-1, exact.shape[-1]).max(axis=0)
        scale = (np.where(most > 0, most, 1.0) / highest_code(bits)).astype(np.float32)
        bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 else None
        real = None if bias is None else (bias.values.astype(np.float64) * bias.scale.astype(np.float64))
        codes = np.rint(exact / scale).astype(np.int8)
        layers[name] = KernelCodes(codes=codes, scale=scale, bits=bits, bias=real)
    return with_kernel_codes(quantized, layers)
