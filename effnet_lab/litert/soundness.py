"""Whether a parsed .tflite file can be: every index, length, type and size in it, checked once for everybody.

A flatbuffer reader believes what it reads. Here each statement of a file is held against the others, so that the code behind
needs no second look and the user gets one line that says what is wrong and where.
"""

from __future__ import annotations

import os
from collections.abc import Sized
from typing import NoReturn

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.names import UserError

_TYPES = schema.TensorType
OPAQUE = np.dtype("V4")  # handles of state and texts: nothing to compute with
DTYPES: dict[int, np.dtype] = {
    getattr(_TYPES, name): np.dtype(dtype)
    for name, dtype in (
        ("FLOAT32", "float32"), ("FLOAT16", "float16"), ("FLOAT64", "float64"), ("BFLOAT16", ml_dtypes.bfloat16),
        ("INT8", "int8"), ("UINT8", "uint8"), ("INT16", "int16"), ("UINT16", "uint16"), ("INT32", "int32"),
        ("UINT32", "uint32"), ("INT64", "int64"), ("UINT64", "uint64"), ("BOOL", "bool"), ("INT4", ml_dtypes.int4),
        ("COMPLEX64", "complex64"), ("STRING", OPAQUE), ("RESOURCE", OPAQUE), ("VARIANT", OPAQUE),
    )
}  # fmt: skip
INTEGERS = frozenset(
    code for code, dtype in DTYPES.items() if dtype == np.dtype(ml_dtypes.int4) or dtype.kind in "iu"
)  # the types whose codes may stand for real values
_LAYERS = {  # kind: rank of input, kernel and output; axes of input and kernel that must agree; axis of the output's channels
    schema.BuiltinOperator.CONV_2D: (4, 0),
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: (4, 3),
    schema.BuiltinOperator.FULLY_CONNECTED: (2, 0),
}
_LEAST_INPUTS = {
    getattr(schema.BuiltinOperator, name): n
    for n, names in {
        1: "ABS AVERAGE_POOL_2D MAX_POOL_2D SOFTMAX QUANTIZE DEQUANTIZE CAST RELU RELU6 LOGISTIC TANH LEAKY_RELU RESHAPE "
        "HARD_SWISH CONCATENATION SQUEEZE EXP",
        2: "CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED ADD SUB MUL DIV MEAN SUM REDUCE_MAX REDUCE_MIN PAD TRANSPOSE SPLIT "
        "EXPAND_DIMS GATHER MINIMUM MAXIMUM BATCH_MATMUL ARG_MAX RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR PRELU",
        3: "SLICE TRANSPOSE_CONV PADV2 SPLIT_V",
        4: "STRIDED_SLICE",
    }.items()
    for name in names.split()
}
_AT_LEAST_ONE = ("strideH", "strideW", "dilationHFactor", "dilationWFactor", "filterHeight", "filterWidth")
_LONGEST_NAME = 60
_MOST_AXES = 8


def check(tree: schema.ModelT, name: str) -> None:
    """Raise `UserError` for the first statement of a file that cannot be true; lists that it leaves out become empty."""
    _Check(tree, name).run()


def shape_of(tensor: schema.TensorT) -> tuple[int, ...]:
    """Shape as the file states it; () for a scalar, and where it states none."""
    return () if tensor.shape is None else tuple(np.asarray(tensor.shape).tolist())


def stored_bytes(elements: int, code: int) -> int:
    """Bytes that so many values take in a file; two of 4 bits share one."""
    return -(-elements // 2) if code == _TYPES.INT4 else elements * DTYPES[code].itemsize


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 36  # a system that does not say


class _Check:
    def __init__(self, tree: schema.ModelT, name: str) -> None:
        self.tree, self.name, self.most = tree, name, _machine_bytes()

    def fail(self, where: str, what: str) -> NoReturn:
        raise UserError(f"{self.name!r} is damaged: {where} {what}. Export or download it again.")

    def index(self, where: str, what: str, index: int, of: list[object]) -> None:
        if not 0 <= index < len(of):
            self.fail(where, f"names {what} {index}, and there are {len(of)}")

    def run(self) -> None:
        tree = self.tree
        for field in ("subgraphs", "buffers", "operatorCodes", "metadata", "signatureDefs"):
            setattr(tree, field, getattr(tree, field) or [])
        if not tree.subgraphs:
            self.fail("it", "holds no graph")
        for entry in tree.metadata:
            self.index("a metadata entry", "buffer", entry.buffer, tree.buffers)
        for number, code in enumerate(tree.operatorCodes):
            self.text(f"operator code {number}", code.customCode)
        for number, graph in enumerate(tree.subgraphs):
            for field in ("tensors", "operators", "inputs", "outputs"):
                values = getattr(graph, field)
                setattr(graph, field, [] if values is None else values)
            self.graph(graph, "" if number == 0 else f" of graph {number}")
        main = tree.subgraphs[0]
        for field, ends in (("input", main.inputs), ("output", main.outputs)):
            if len(ends) == 0:
                self.fail("its graph", f"has no {field}")
        if len(main.operators) == 0:
            raise UserError(f"{self.name!r} has no operator: it computes nothing, so there is nothing to measure.")

    def graph(self, graph: schema.SubGraphT, suffix: str) -> None:
        for i, tensor in enumerate(graph.tensors):
            self.tensor(tensor, f"tensor {i}{_called(tensor)}{suffix}")
        given = [int(i) for i in graph.inputs]
        for field, ends in (("input", given), ("output", [int(i) for i in graph.outputs])):
            for i in ends:
                self.index(f"an {field}{suffix}", "tensor", i, graph.tensors)
        known = {i for i, tensor in enumerate(graph.tensors) if tensor.isVariable or self.stores(tensor)}
        if stored := [i for i in given if self.stores(graph.tensors[i])]:
            self.fail(f"input tensor {stored[0]}{suffix}", "is stored in the file")
        known.update(given)
        computed: set[int] = set()
        for i, op in enumerate(graph.operators):
            where = f"operator {i}{suffix}"
            self.operator(op, where, graph)
            for j in op.inputs:
                if j >= 0 and j not in known and shape_size(graph.tensors[j]):
                    self.fail(where, f"reads tensor {j}{_called(graph.tensors[j])}, which nothing computes before it")
            for j in op.outputs:
                if j in computed or self.stores(graph.tensors[j]):
                    self.fail(where, f"writes tensor {j}{_called(graph.tensors[j])}, which has its value already")
                computed.add(j)
            known |= computed
        if missing := [int(i) for i in graph.outputs if int(i) not in known]:
            self.fail(f"output tensor {missing[0]}{suffix}", "is computed by nothing")

    def stores(self, tensor: schema.TensorT) -> bool:
        data = self.tree.buffers[tensor.buffer].data
        return data is not None and len(data) > 0

    def text(self, where: str, name: bytes | str | None) -> None:
        """LiteRT's own Python interface fails on a name that is no text."""
        try:
            _ = name.decode("utf-8") if isinstance(name, bytes) else name
        except UnicodeDecodeError:
            self.fail(where, "has a name that is not UTF-8 text")

    def tensor(self, tensor: schema.TensorT, where: str) -> None:
        self.text(where, tensor.name)
        if tensor.type not in DTYPES:
            raise UserError(f"{self.name!r}: {where} has element type {tensor.type}, which is not supported yet.")
        self.index(where, "buffer", tensor.buffer, self.tree.buffers)
        shape = shape_of(tensor)
        if any(n < 0 for n in shape) or len(shape) > _MOST_AXES:
            self.fail(where, f"has the shape {str(shape)[:80]}")
        elements = shape_size(tensor)
        if (size := elements * DTYPES[tensor.type].itemsize) > self.most:
            self.fail(where, f"of shape {shape} takes {size:,} bytes, and this machine has {self.most:,}")
        if self.stores(tensor) and DTYPES[tensor.type] != OPAQUE and tensor.sparsity is None:
            have, need = len(self.tree.buffers[tensor.buffer].data), stored_bytes(elements, tensor.type)
            if have != need:
                self.fail(where, f"of shape {shape} needs {need:,} bytes, and its buffer holds {have:,}")
        if tensor.quantization is not None and tensor.type in INTEGERS:
            self.quantization(tensor.quantization, shape, where)

    def quantization(self, stated: schema.QuantizationParametersT, shape: tuple[int, ...], where: str) -> None:
        scales, zeros = _length(stated.scale), _length(stated.zeroPoint)
        if scales and zeros not in (0, 1, scales):
            self.fail(where, f"has {scales} scales and {zeros} zero points")
        if scales <= 1:
            return
        axis = 0 if len(shape) == 1 else int(stated.quantizedDimension)  # one axis is no choice
        if not 0 <= axis < len(shape):
            self.fail(where, f"of shape {shape} is quantized along axis {axis}")
        if shape[axis] != scales:
            self.fail(where, f"has {scales} scales for the {shape[axis]} channels of axis {axis}")

    def operator(self, op: schema.OperatorT, where: str, graph: schema.SubGraphT) -> None:
        self.index(where, "operator code", op.opcodeIndex, self.tree.operatorCodes)
        for field, lowest in (("inputs", -1), ("outputs", 0)):  # -1: an input that is left out
            ends = getattr(op, field)
            ends = [] if ends is None else ends
            setattr(op, field, ends)
            for i in (int(i) for i in ends):
                if i != -1 or lowest == 0:
                    self.index(where, "tensor", i, graph.tensors)
        code = self.tree.operatorCodes[op.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        least = _LEAST_INPUTS.get(kind, 0)
        if sum(int(i) >= 0 for i in op.inputs[:least]) < least or (least and len(op.outputs) == 0):
            self.fail(where, f"has {len(op.inputs)} inputs and {len(op.outputs)} outputs, needs {least} and 1")
        for field in _AT_LEAST_ONE:
            if getattr(op.builtinOptions, field, 1) < 1:
                self.fail(where, f"has {field} {getattr(op.builtinOptions, field)}")
        if kind in _LAYERS:
            self.layer(op, where, graph, *_LAYERS[kind])

    def layer(self, op: schema.OperatorT, where: str, graph: schema.SubGraphT, rank: int, axis: int) -> None:
        """Kernel, bias and output of a convolution or dense layer have the same channels."""
        x, kernel, y = (shape_of(graph.tensors[i]) for i in (*op.inputs[:2], op.outputs[0]))
        if len(kernel) != rank or (rank == 4 and not len(x) == len(y) == 4) or not y:
            self.fail(where, f"is a layer from {x} to {y} with the kernel {kernel}")
        bias = shape_of(graph.tensors[op.inputs[2]]) if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
        into = kernel[-1] if axis == 0 else 1
        parts = [graph.tensors[i] for i in op.inputs[:3] if i >= 0]
        if any(DTYPES[part.type] == OPAQUE for part in parts):
            self.fail(where, "is a layer whose kernel or bias holds no numbers")
        if (q := parts[1].quantization) is not None and 1 < _length(q.scale) != kernel[axis]:
            self.fail(where, f"is a layer of {kernel[axis]} channels with {_length(q.scale)} scales")
        fits = y[-1] == kernel[axis] and (bias is None or np.prod(bias, dtype=np.int64) == y[-1])
        if not fits or 0 in kernel or (rank == 4 and (x[-1] % into if into else x[-1])):
            self.fail(where, f"is a layer from {x} to {y} with the kernel {kernel} and the bias {bias}")


def shape_size(tensor: schema.TensorT) -> int:
    """Number of elements."""
    size = 1
    for n in shape_of(tensor):
        size *= n
    return size


def _called(tensor: schema.TensorT) -> str:
    name = tensor.name.decode("utf-8", "replace") if isinstance(tensor.name, bytes) else tensor.name
    return f" ({name[:_LONGEST_NAME]!r})" if name else ""


def _length(values: object) -> int:
    return len(values) if isinstance(values, Sized) else 0
