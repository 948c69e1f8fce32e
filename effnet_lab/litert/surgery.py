"""Put ops of one or more .tflite files together into a small graph of its own."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.conversion import conversion
from effnet_lab.litert.flatbuffer import pack, parse, read_file
from effnet_lab.litert.graph import CHANGES_OF_TYPE, Graph, Op, graph_of

_FLOAT = schema.TensorType.FLOAT32


class Source:
    """A file that ops are taken from."""

    def __init__(self, model: Path | str | bytes) -> None:
        name = "model" if isinstance(model, bytes) else str(model)
        self.content, self.file = read_file(model)
        self.tree = parse(self.content, name)  # its arrays are views into the content
        self.graph: Graph = graph_of(self.tree, name)
        self.main = self.tree.subgraphs[0]
        self._constant = {tensor.index for tensor in self.graph.tensors if tensor.data is not None}
        for op in self.graph.ops:  # they stand in the order in which they run
            if op.inputs and self._constant.issuperset(op.inputs):
                self._constant.update(op.outputs)

    @property
    def leaves_shapes_open(self) -> bool:
        """Whether the file leaves more than the batch to be settled at run time."""
        stored = [self.main.tensors[i] for op in self.graph.ops for i in op.outputs]
        signatures = [tensor.shapeSignature for tensor in stored if tensor.shapeSignature is not None]
        return any(-1 in signature[1:] for signature in signatures) or any(
            tensor.shape is None or not len(tensor.shape) for tensor in stored
        )

    def constant(self, index: int) -> bool:
        """Whether a tensor is stored, or computed from stored tensors only."""
        return index in self._constant

    def root(self, index: int) -> int:
        """The tensor that a value was before ops changed its type."""
        while (op := self.graph.producer.get(index)) is not None and op.kind in CHANGES_OF_TYPE:
            index = op.inputs[0]
        return index

    def activations(self, op: Op) -> tuple[int, ...]:
        """The inputs of an op that depend on the image, in the op's order."""
        return tuple(index for index in op.inputs if not self.constant(index))

    def replace(self, index: int, values: np.ndarray) -> None:
        """Store other values, float32, in a tensor; ops that are taken from now on get them."""
        self.tree.buffers.append(schema.BufferT(data=_bytes_of(values)))
        self.main.tensors[index].buffer = len(self.tree.buffers) - 1

    def stored(self, op: Op) -> schema.OperatorT:
        """The op as the file holds it."""
        return self.main.operators[op.index]


class Assembly:
    """A graph under construction; tensors are numbered in the order in which they are added."""

    def __init__(self) -> None:
        self._main = schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])
        self._tree = schema.ModelT(version=3, subgraphs=[self._main], buffers=[schema.BufferT()], operatorCodes=[])

    @property
    def tensors(self) -> list[schema.TensorT]:
        """What has been added so far, by number."""
        return list(self._main.tensors)

    def value(self, like: schema.TensorT, *, as_float: bool = False) -> int:
        """A tensor to be computed, of the shape and type of another."""
        tensor = copy.copy(like)
        tensor.buffer, tensor.name, tensor.shapeSignature = 0, f"t{len(self._main.tensors)}".encode(), None
        tensor.isVariable = False
        if as_float:
            tensor.type, tensor.quantization = _FLOAT, None
        return self._add(tensor)

    def constant(self, source: Source, index: int, *, real: bool = False) -> int:
        """A stored tensor of a source, and the ops that unpack it; as float32 values where `real`."""
        tensor = source.graph.tensors[index]
        if tensor.data is None:
            op = source.graph.producer[index]
            if real and op.kind == "dequantize" and source.graph.tensors[op.inputs[0]].quantized:
                return self.constant(source, op.inputs[0], real=True)  # else it would unpack float values
            inputs = [self.constant(source, i, real=real) for i in op.inputs]
            out = self.value(source.main.tensors[index], as_float=real)
            self.op(source, op, inputs, [out])
            return out
        stored = copy.copy(source.main.tensors[index])
        data = source.tree.buffers[stored.buffer].data
        if real and tensor.quantized:
            data = _bytes_of(tensor.real(tensor.data))
            stored.type, stored.quantization = _FLOAT, None
        self._tree.buffers.append(schema.BufferT(data=data))
        stored.buffer = len(self._tree.buffers) - 1
        return self._add(stored)

    def op(self, source: Source, op: Op, inputs: list[int], outputs: list[int]) -> None:
        """An op of a source on other tensors."""
        stored = copy.copy(source.stored(op))
        self._tree.operatorCodes.append(source.tree.operatorCodes[stored.opcodeIndex])
        stored.opcodeIndex = len(self._tree.operatorCodes) - 1
        stored.inputs, stored.outputs = inputs, outputs
        self._main.operators.append(stored)

    def convert(self, index: int, like: schema.TensorT | None) -> int:
        """QUANTIZE to the type and scale of a tensor, or DEQUANTIZE where `like` is None; nothing if it is that already."""
        have = self._main.tensors[index]
        want = _FLOAT if like is None else like.type
        if have.type == want == _FLOAT:
            return index
        out = self.value(have if like is None else like, as_float=like is None)
        self._main.operators.append(conversion(self._tree, (have.type, want), index, out))
        return out

    def content(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        self._main.inputs, self._main.outputs = inputs, outputs
        return pack(self._tree)

    def _add(self, tensor: schema.TensorT) -> int:
        self._main.tensors.append(tensor)
        return len(self._main.tensors) - 1


def _bytes_of(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint8)
