"""The element type of a file's input and output: one op more on either side, the network between them as it was."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.conversion import conversion
from effnet_lab.litert.flatbuffer import decode, pack, parse
from effnet_lab.names import UserError

IO_TYPES = {  # what a quantized file may take and give, by the type that its own activations have
    "int8": ("int8", "uint8", "float32"),
    "int16": ("int16", "float32"),
    "float32": ("float32",),
}
_CODES = {name: getattr(schema.TensorType, name.upper()) for name in ("int8", "uint8", "int16", "float32")}
_UINT8_SHIFT = 128  # a uint8 code is the int8 code of the same value plus this


def require_io(native: str, io: str) -> None:
    """Say before any work starts that a file of these activations cannot have this input and output."""
    if io not in IO_TYPES[native]:
        raise UserError(
            f"A file with {native} activations takes and gives {' or '.join(IO_TYPES[native])}. Got --io {io}."
        )


def with_io(content: bytes, io: str) -> bytes:
    """The same file with this type of input and output; values and names of the layers stay.

    Parameters
    ----------
    content : bytes
        A .tflite file, each input and output of which is quantized to int8 or int16, or has the wanted type.
    io : "int8", "uint8", "int16" or "float32"
    """
    tree = parse(content)
    main = tree.subgraphs[0]
    for side in ("inputs", "outputs"):
        ends = [int(index) for index in getattr(main, side)]
        for position, index in enumerate(ends):
            inner = main.tensors[index]
            if inner.type == _CODES[io]:
                continue
            require_io(next(name for name, code in _CODES.items() if code == inner.type), io)
            main.tensors.append(_outer(inner, io))
            outer = len(main.tensors) - 1
            ends[position] = outer
            _rename(tree, side, index, outer)
            source, target = (outer, index) if side == "inputs" else (index, outer)
            op = conversion(tree, (main.tensors[source].type, main.tensors[target].type), source, target)
            main.operators.insert(0 if side == "inputs" else len(main.operators), op)
        setattr(main, side, ends)
    return pack(tree)


def _outer(inner: schema.TensorT, io: str) -> schema.TensorT:
    outer = schema.TensorT(name=f"{decode(inner.name)}_{io}", shape=inner.shape, type=_CODES[io], buffer=0)
    if io == "uint8":
        zero_point = np.asarray(inner.quantization.zeroPoint) + _UINT8_SHIFT
        outer.quantization = schema.QuantizationParametersT(scale=inner.quantization.scale, zeroPoint=zero_point)
    return outer


def _rename(tree: schema.ModelT, side: str, old: int, new: int) -> None:
    """Signatures name the inputs and outputs a second time."""
    for signature in tree.signatureDefs or []:
        for entry in getattr(signature, side):
            if entry.tensorIndex == old:
                entry.tensorIndex = new
