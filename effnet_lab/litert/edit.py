"""A .tflite file with other values in some of its stored tensors, or with other names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.graph import graph_of

_CALL = "StatefulPartitionedCall_1"  # what computes the outputs of a SavedModel


def with_constants(model: Path | str | bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same file with these stored tensors replaced; metadata, names and quantization stay.

    Parameters
    ----------
    model : path or bytes
    arrays : mapping of tensor name to ndarray
        Of the stored shape and element type: codes, not real values, where the tensor is quantized.

    Raises
    ------
    ValueError
        If no stored tensor, or more than one, has the name, or shape or type differ.
    """
    tree = parse(model)
    graph, main = graph_of(tree), tree.subgraphs[0]
    stored = [tensor for tensor in graph.tensors if tensor.data is not None]
    for name, array in arrays.items():
        found = [tensor for tensor in stored if tensor.name == name]
        if len(found) != 1:
            raise ValueError(f"{len(found)} stored tensors are called {name!r}; need one.")
        (tensor,) = found
        if array.shape != tensor.shape or array.dtype != tensor.dtype:
            raise ValueError(f"{name!r} is {tensor.dtype} {tensor.shape}. Got {array.dtype} {array.shape}.")
        if sum(other.buffer == main.tensors[tensor.index].buffer for other in main.tensors) > 1:
            tree.buffers.append(type(tree.buffers[0])())  # equal values are often stored once for several tensors
            main.tensors[tensor.index].buffer = len(tree.buffers) - 1
        tree.buffers[main.tensors[tensor.index].buffer].data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return pack(tree)


def with_unique_names(model: Path | str | bytes) -> bytes:
    """The same file as other tools can read it: its tensors called as `Graph` calls them, and operator codes of today.

    Files from before 2020 have their operator codes in another field; a tool that reads the present one alone takes every
    op for an addition, which is number 0. A buffer with no bytes in it is no stored value, which not every tool knows. The
    content itself comes back where nothing is to be done.
    """
    content = read_bytes(model)
    tree = parse(content)
    main, named = tree.subgraphs[0], graph_of(tree).tensors
    old = [code for code in tree.operatorCodes if code.builtinCode < code.deprecatedBuiltinCode]
    empty = [buffer for buffer in tree.buffers if buffer.data is not None and not len(buffer.data)]
    if not old and not empty and all(decode(main.tensors[tensor.index].name) == tensor.name for tensor in named):
        return content
    for buffer in empty:
        buffer.data = None
    for code in old:
        code.builtinCode = code.deprecatedBuiltinCode
    for tensor in named:
        main.tensors[tensor.index].name = tensor.name.encode()
    return pack(tree)


def with_signature(content: bytes, name: str = "images") -> bytes:
    """The same file with the signature, and the names of its ends, that the converter gives a SavedModel of one input.

    Parameters
    ----------
    content : bytes
        With one input.
    name : str
        Of the input in the signature; the outputs are output_0, output_1 and so on.
    """
    tree = parse(content)
    main = tree.subgraphs[0]
    signature = schema.SignatureDefT(signatureKey="serving_default", inputs=[], outputs=[])
    (given,) = main.inputs
    ends = [(signature.inputs, name, given, f"serving_default_{name}:0")]
    ends += [(signature.outputs, f"output_{n}", index, f"{_CALL}:{n}") for n, index in enumerate(main.outputs)]
    for side, called, index, tensor in ends:
        side.append(schema.TensorMapT(name=called, tensorIndex=int(index)))
        main.tensors[index].name = tensor.encode()
    tree.signatureDefs = [signature]
    return pack(tree)
