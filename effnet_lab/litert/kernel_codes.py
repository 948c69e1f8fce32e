"""Put chosen codes and scales into the kernels of a quantized file: what a tool rounded to nearest is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.graph import Graph, Op, Tensor, graph_of

_TYPES = {4: schema.TensorType.INT4, 8: schema.TensorType.INT8}  # of kernels, by bits


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelCodes:
    """What one layer stores."""

    codes: NDArray[Any]  # int8, in the shape in which the file stores the kernel
    scale: NDArray[np.float32]  # (channels,), or (1,) of a kernel with one scale
    bits: int  # 4 or 8
    bias: NDArray[np.float64] | None  # (channels,), real; None where the layer has none


def with_kernel_codes(content: bytes, layers: Mapping[str, KernelCodes]) -> bytes:
    """The same file with other codes, scales and biases in some layers; nothing else changes.

    The bias gets the scale that a kernel asks for: that of the input times that of the kernel.

    Parameters
    ----------
    content : bytes
        A .tflite file whose activations are integers.
    layers : mapping of the name of a layer's output to KernelCodes

    Raises
    ------
    ValueError
        If a layer is missing, or its kernel has another shape.
    """
    tree = parse(content)
    graph = graph_of(tree)
    for name, wanted in layers.items():
        op = graph.produced.get(name)
        kernel = graph.weights(op) if op is not None else None
        if op is None or kernel is None or kernel.shape != wanted.codes.shape:
            raise ValueError(f"There is no layer {name!r} with a kernel of shape {wanted.codes.shape}.")
        stored = tree.subgraphs[0].tensors[kernel.index]
        stored.type = _TYPES[wanted.bits]
        stored.quantization.scale = wanted.scale.astype(np.float32)
        stored.quantization.zeroPoint = np.zeros(len(wanted.scale), np.int64)
        stored.quantization.quantizedDimension = len(kernel.shape) - 1 if op.kind == "depthwise" else 0
        _store(tree, kernel.index, packed(wanted.codes) if wanted.bits == 4 else wanted.codes.astype(np.int8))
        if wanted.bias is not None and len(op.inputs) > 2:
            _store_bias(tree, graph, op, wanted)
    return pack(tree)


def packed(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """4-bit codes two to a byte, the first in its lower half."""
    flat = codes.reshape(-1).astype(np.int8)
    flat = np.append(flat, np.zeros(len(flat) % 2, np.int8)).view(np.uint8) & 15
    return np.asarray(flat[0::2] | (flat[1::2] << 4), dtype=np.uint8)


def stored_codes(tensor: Tensor) -> NDArray[np.int8]:
    """What a quantized kernel holds, one code per int8."""
    return np.asarray(tensor.values, dtype=np.int8)


def _store_bias(tree: schema.ModelT, graph: Graph, op: Op, wanted: KernelCodes) -> None:
    taken, bias = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[2]]
    assert wanted.bias is not None
    if not taken.quantized:
        _store(tree, bias.index, wanted.bias.astype(np.float32))
        return
    scale = taken.scale[0].astype(np.float64) * wanted.scale
    limits = np.iinfo(bias.dtype)
    codes = np.clip(np.rint(wanted.bias / scale), limits.min, limits.max).astype(bias.dtype)
    quantization = tree.subgraphs[0].tensors[bias.index].quantization
    quantization.scale, quantization.zeroPoint = scale.astype(np.float32), np.zeros(len(scale), np.int64)
    quantization.quantizedDimension = 0
    _store(tree, bias.index, codes)


def _store(tree: schema.ModelT, index: int, values: NDArray[Any]) -> None:
    """Into a buffer of its own: equal values are often stored once for several tensors."""
    main, buffers = tree.subgraphs[0], tree.buffers
    if sum(other.buffer == main.tensors[index].buffer for other in main.tensors) > 1:
        buffers.append(type(buffers[0])())
        main.tensors[index].buffer = len(buffers) - 1
    buffers[main.tensors[index].buffer].data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
