"""A file as the rules see it: parsed once, nothing run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.integer.steps import code_range
from effnet_lab.litert import Graph, Op, Tensor
from effnet_lab.litert.flatbuffer import Tree, parse
from effnet_lab.litert.graph import graph_of
from effnet_lab.litert.options import Options, options_of
from effnet_lab.litert.soundness import OPAQUE

LAYERS = ("conv", "depthwise", "dense")
SUMS = ("add", "sub")
_WITH_PARAMETERS = (*LAYERS, "transpose_conv", "prelu", "dequantize", "quantize")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One op with its tensors at hand."""

    op: Op
    options: Options
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    fixed: tuple[bool, ...]  # which inputs are stored, or unpacked from what is stored
    madds: int

    @property
    def output(self) -> Tensor:
        """The first output; every op that the rules look at has one."""
        return self.outputs[0]

    @property
    def kind(self) -> str:
        """See `litert.Op`."""
        return self.op.kind

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """What flows: without weights, biases and axes."""
        into = self.inputs[:1] if self.kind in (*LAYERS, "mean", "softmax") else self.inputs
        return (*into, self.output)

    @property
    def flowing(self) -> tuple[Tensor, ...]:
        """Inputs that are computed, and not stored."""
        return tuple(tensor for tensor in self.inputs if tensor.data is None)

    @property
    def values(self) -> tuple[Tensor, ...]:
        """What flows in, and stored operands of elementwise ops; not weights, shapes and axes."""
        return tuple(
            tensor
            for tensor, fixed in zip(self.inputs, self.fixed, strict=True)
            if not (fixed and (self.kind in _WITH_PARAMETERS or tensor.dtype.name in ("int32", "int64")))
        )

    @property
    def kernel(self) -> Tensor | None:
        """Weights of a conv, depthwise or dense op."""
        return self.inputs[1] if self.kind in LAYERS else None

    @property
    def bias(self) -> Tensor | None:
        """Bias of a conv, depthwise or dense op, if it has one."""
        return self.inputs[2] if self.kind in LAYERS and len(self.inputs) > 2 else None

    @cached_property
    def multipliers(self) -> NDArray[np.float32]:
        """Requantization multiplier per channel of a layer, float32 as XNNPACK forms it; NaN or infinite where a scale is 0."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found: NDArray[np.float32] = self.inputs[0].scale[0] * self.inputs[1].scale / self.output.scale[0]
        return found

    @cached_property
    def integer_layer(self) -> bool:
        """Whether this is a conv, depthwise or dense op with int8 weights and int8 activations."""
        return (
            self.kernel is not None
            and {t.dtype.name for t in (*self.activations, self.kernel)} == {"int8"}
            and self.kernel.data is not None
            and all(t.quantized for t in (*self.activations, self.kernel))
        )

    @property
    def channel_axes(self) -> tuple[int, ...]:
        """Axes of a layer's kernel that one output channel sums over."""
        return (0, 1, 2) if self.kind == "depthwise" else tuple(range(1, len(self.inputs[1].shape)))


@dataclass(frozen=True, kw_only=True)
class Network:
    """Every op of a file, in forward order."""

    graph: Graph
    nodes: tuple[Node, ...]

    @classmethod
    def open(cls, model: Path | str) -> Network:
        """Parse a file."""
        return cls.of(parse(model))

    @classmethod
    def of(cls, tree: Tree) -> Network:
        """The same for a file that has been parsed."""
        graph = graph_of(tree)
        tensors, nodes = graph.tensors, []
        fixed = {tensor.index for tensor in tensors if tensor.data is not None}
        for op, options in zip(graph.ops, options_of(tree), strict=True):
            known = tuple(i in fixed for i in op.inputs)
            if op.kind == "dequantize" and all(known):
                fixed.update(op.outputs)
            inputs, outputs = (tuple(tensors[i] for i in ends) for ends in (op.inputs, op.outputs))
            nodes.append(
                Node(op=op, options=options, inputs=inputs, outputs=outputs, fixed=known, madds=_madds(graph, op))
            )
        return cls(graph=graph, nodes=tuple(nodes))

    @cached_property
    def computing(self) -> tuple[Node, ...]:
        """The nodes that make values of values: not those that only keep a state."""
        return tuple(node for node in self.nodes if node.inputs and node.outputs and node.output.dtype != OPAQUE)

    @cached_property
    def codes(self) -> dict[int, tuple[int, int]]:
        """Lowest and highest code that each int8 activation can take, by the tensor's index."""
        written = {}
        for node in self.computing:
            out = node.output
            if out.dtype.name == "int8" and out.quantized and np.isfinite(out.scale[0]) and out.scale[0] > 0:
                written[out.index] = code_range(out, node.options.fused)
        return written


def _madds(graph: Graph, op: Op) -> int:
    kernel = graph.weights(op)
    if kernel is None:
        return 0
    out = graph.tensors[op.outputs[0]].shape
    return int(np.prod(out[1:-1], dtype=np.int64) * np.prod(kernel.shape, dtype=np.int64))


def normal(scale: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether float32 scales are positive, finite and not subnormal: what XNNPACK asks of every scale."""
    found: NDArray[np.bool_] = np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)
    return found
