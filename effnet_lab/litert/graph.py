"""What stands in a .tflite file: its tensors, their quantization, and the ops in the order they run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from effnet_lab.litert.flatbuffer import decode, parse
from effnet_lab.litert.soundness import DTYPES, INTEGERS, OPAQUE, shape_of
from effnet_lab.litert.sparse import dense
from effnet_lab.names import UserError

_OP_NAMES = {value: name.lower() for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_KINDS = {"conv_2d": "conv", "depthwise_conv_2d": "depthwise", "fully_connected": "dense"}
_WITH_STATE = ("var_handle", "svdf", "lstm", "rnn", "unidirectional_sequence_lstm", "unidirectional_sequence_rnn")
_WITH_GRAPHS = ("while", "if", "call", "call_once", "stablehlo_while", "stablehlo_composite")
CHANGES_OF_TYPE = ("quantize", "dequantize", "cast")  # ops that move a value between types and compute nothing


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor; `data` is None for what is computed at run time."""

    index: int
    name: str  # unique in its graph: "#12" where the file gives none, or one that several tensors bear
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: np.ndarray  # (1,) per tensor, (channels,) per channel, (0,) not quantized
    zero_point: np.ndarray
    axis: int  # of the channels, when quantized per channel
    data: np.ndarray | None
    open_size: bool = False  # the file leaves a side open, other than the batch, and states a stand-in

    @property
    def quantized(self) -> bool:
        """Whether the codes stand for real values."""
        return self.scale.size > 0

    @property
    def values(self) -> NDArray[Any]:
        """What is stored, of a tensor that is.

        Raises
        ------
        ValueError
            If it is computed.
        """
        if self.data is None:
            raise ValueError(f"The tensor {self.name!r} is computed, not stored.")
        return self.data

    @property
    def size_bytes(self) -> int:
        """Bytes at run time."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def real(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Codes to real values, float32: ``scale * (code - zero_point)``, per channel where the tensor is."""
        if not self.quantized:
            return codes.astype(np.float32)
        shape = [1] * codes.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        zero_point = self.zero_point.reshape(shape).astype(np.float32)
        values: NDArray[np.float32] = (codes.astype(np.float32) - zero_point) * self.scale.reshape(shape)
        return values


@dataclass(frozen=True, kw_only=True)
class Op:
    """One op; `kind` is conv, depthwise, dense, add, mul, mean, softmax, or the schema's name in lower case."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The main graph of a file."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    n_graphs: int = 1  # of the file: those of loops, branches and further signatures count

    @cached_property
    def produced(self) -> dict[str, Op]:
        """The op that computes each tensor, by the tensor's name."""
        return {self.tensors[op.outputs[0]].name: op for op in self.computing_ops}

    @cached_property
    def producer(self) -> dict[int, Op]:
        """The op that a tensor comes out of, by the tensor's index."""
        return {index: op for op in self.ops for index in op.outputs}

    @cached_property
    def computing_ops(self) -> tuple[Op, ...]:
        """The ops that have an output: not those that only store a state."""
        return tuple(op for op in self.ops if op.outputs)

    @cached_property
    def read(self) -> frozenset[int]:
        """Tensors that an op reads, or that are outputs; the interpreter need not keep the others."""
        return frozenset((*self.outputs, *(index for op in self.ops for index in op.inputs)))

    @cached_property
    def keeps_state(self) -> bool:
        """Whether an answer depends on what was asked before."""
        return any(op.kind in _WITH_STATE for op in self.ops)

    @cached_property
    def calls_graphs(self) -> bool:
        """Whether an op runs another graph of the file: a loop, a branch."""
        return any(op.kind in _WITH_GRAPHS for op in self.ops)

    def weights(self, op: Op) -> Tensor | None:
        """The kernel of a convolution or dense layer; None for other ops."""
        return self.tensors[op.inputs[1]] if op.kind in ("conv", "depthwise", "dense") else None

    def kernel(self, op: Op) -> np.ndarray:
        """The weights of a layer as they lie in the file; a `UserError` where it has none."""
        weights = self.weights(op)
        if weights is None or weights.data is None:
            raise UserError(f"The {op.kind} at place {op.index} has no stored weights. Give a file that holds them.")
        return weights.data

    def stored_weights(self, op: Op) -> Tensor | None:
        """The kernel as the file holds it, before an op that unpacks it at run time (float16, weight-only)."""
        kernel = self.weights(op)
        while kernel is not None and kernel.data is None and kernel.name in self.produced:
            kernel = self.tensors[self.produced[kernel.name].inputs[0]]
        return kernel

    @cached_property
    def scheme(self) -> str:
        """Scheme that the types of the activations and weights amount to."""
        activations = {
            self.tensors[op.outputs[0]].dtype.name for op in self.computing_ops if op.kind not in CHANGES_OF_TYPE
        }
        kernels = [(kernel, self.weights(op)) for op in self.ops if (kernel := self.stored_weights(op)) is not None]
        stored = {kernel.dtype.name for kernel, _ in kernels}
        weighted = {self.tensors[op.outputs[0]].dtype.name for op in self.ops if self.stored_weights(op) is not None}
        if "int16" in (weighted or activations):  # a softmax alone may have finer steps
            return "static_wi8_ai16"
        if activations & {"int8", "uint8"}:
            if "int4" in stored:
                return "static_wi4_ai8"
            channels = max((kernel.scale.size for kernel, _ in kernels), default=0)
            return "static_wi8_ai8_per_tensor" if channels == 1 else "static_wi8_ai8"
        if integer := [(kernel, used) for kernel, used in kernels if kernel.dtype.name in ("int8", "int4")]:
            bits = 4 if "int4" in stored else 8
            unpacked = any(kernel is not used for kernel, used in integer)
            return f"weight_only_wi{bits}_afp32" if unpacked else f"dynamic_wi{bits}_afp32"
        return "float16" if any(t.dtype == np.float16 for t in self.tensors) else "float32"

    @cached_property
    def logits(self) -> int:
        """What the last softmax or sigmoid takes; the first output itself where there is none."""
        index = self.outputs[0]
        while (op := self.producer.get(index)) is not None and op.kind in (*CHANGES_OF_TYPE, "softmax", "logistic"):
            index = op.inputs[0]
        return index

    @cached_property
    def madds(self) -> int:
        """One multiply and its add, in convolutions and dense layers, batch 1."""
        return sum(map(self.op_madds, self.ops))

    def op_madds(self, op: Op) -> int:
        """The same of one op; 0 where it has no kernel."""
        if (kernel := self.weights(op)) is None:
            return 0
        pixels = int(np.prod(self.tensors[op.outputs[0]].shape[1:-1], dtype=np.int64))
        return pixels * int(np.prod(kernel.shape, dtype=np.int64))

    @cached_property
    def peak_activation_bytes(self) -> int:
        """Most bytes of computed tensors alive at once, in the order of the ops: what no planner can go below."""
        last_use = {index: i for i, op in enumerate(self.ops) for index in op.inputs}
        last_use |= dict.fromkeys(self.outputs, len(self.ops))
        alive, peak = {index: self.tensors[index].size_bytes for index in self.inputs}, 0
        for i, op in enumerate(self.ops):
            if any(self.tensors[index].data is None for index in op.inputs):  # else it unpacks a stored weight
                alive |= {index: self.tensors[index].size_bytes for index in op.outputs}
            peak = max(peak, sum(alive.values()))
            alive = {index: size for index, size in alive.items() if last_use.get(index, -1) > i}
        return peak


def read_graph(model: Path | str | bytes) -> Graph:
    """Read a .tflite file, given as a path or as its content; of content that is asked for again and again, once."""
    return _graph_of_content(model) if isinstance(model, bytes) else graph_of(parse(model), str(model))


@lru_cache(maxsize=4)  # a float file is quantized many times in a row
def _graph_of_content(content: bytes) -> Graph:
    return graph_of(parse(content))


def graph_of(tree: schema.ModelT, name: str = "model") -> Graph:
    """Main graph of a file that `parse` has read; its stored tensors are views into the tree's buffers."""
    main = tree.subgraphs[0]
    names = [decode(tensor.name) for tensor in main.tensors]
    times = Counter(names)
    names = [name if name and times[name] == 1 else f"#{i}" for i, name in enumerate(names)]
    return Graph(
        tensors=tuple(_tensor(i, names[i], tensor, tree) for i, tensor in enumerate(main.tensors)),
        ops=tuple(_op(i, op, tree) for i, op in enumerate(main.operators)),
        inputs=tuple(int(i) for i in main.inputs),
        outputs=tuple(int(i) for i in main.outputs),
        n_graphs=len(tree.subgraphs),
    )


def _tensor(index: int, name: str, tensor: schema.TensorT, tree: schema.ModelT) -> Tensor:
    dtype, shape = DTYPES[tensor.type], shape_of(tensor)
    q = tensor.quantization if tensor.type in INTEGERS else None  # a float's would mean nothing
    raw = tree.buffers[tensor.buffer].data
    scale, zero_point = _array(q and q.scale, np.float32), _array(q and q.zeroPoint, np.int64)
    if zero_point.size != scale.size:  # one for all channels, or none, which is 0
        zero_point = np.full(scale.size, zero_point[0] if zero_point.size else 0, np.int64)
    return Tensor(
        index=index,
        name=name,
        shape=shape,
        dtype=dtype,
        scale=scale,
        zero_point=zero_point,
        axis=q.quantizedDimension if q and 0 <= q.quantizedDimension < len(shape) else 0,
        data=_stored(np.asarray(raw), tensor, dtype, shape) if raw is not None and (len(raw) or 0 in shape) else None,
        open_size=tensor.shapeSignature is not None and any(int(n) < 0 for n in tensor.shapeSignature[1:]),
    )


def _stored(raw: np.ndarray, tensor: schema.TensorT, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of a buffer to the tensor's values; two 4-bit values share a byte, the first in its lower half."""
    if dtype == OPAQUE:
        return raw
    if tensor.sparsity is not None:
        return dense(raw[: len(raw) // dtype.itemsize * dtype.itemsize].view(dtype), shape, tensor.sparsity)
    if dtype != ml_dtypes.int4:
        return raw.view(dtype).reshape(shape)
    halves = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    return ((halves ^ 8).astype(np.int8) - 8).astype(dtype).reshape(shape)


def _array(values: object, dtype: type) -> np.ndarray:
    return np.asarray([] if values is None else values, dtype)


def _op(index: int, op: schema.OperatorT, tree: schema.ModelT) -> Op:
    code = tree.operatorCodes[op.opcodeIndex]
    name = _OP_NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "custom")
    return Op(
        index=index,
        kind=_KINDS.get(name, name),
        inputs=tuple(int(i) for i in op.inputs if i >= 0),
        outputs=tuple(int(i) for i in op.outputs),
    )
