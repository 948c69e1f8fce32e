"""A file as the rules see it: parsed once, nothing run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.integer.steps import code_range
from effnet_lab.litert import Graph, Op, Tensor
from effnet_lab.litert.flatbuffer import parse
from effnet_lab.litert.graph import graph_of
from effnet_lab.litert.options import Options, options_of

LAYERS = ("conv", "depthwise", "dense")
SUMS = ("add", "sub")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One op with its tensors at hand."""

    op: Op
    options: Options
    inputs: tuple[Tensor, ...]
    output: Tensor
    madds: int

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
    def kernel(self) -> Tensor | None:
        """Weights of a conv, depthwise or dense op."""
        return self.inputs[1] if self.kind in LAYERS else None

    @property
    def bias(self) -> Tensor | None:
        """Bias of a conv, depthwise or dense op, if it has one."""
        return self.inputs[2] if self.kind in LAYERS and len(self.inputs) > 2 else None

    @cached_property
    def multipliers(self) -> NDArray:
        """Requantization multiplier per channel, in float32 as XNNPACK forms it; NaN or infinite where a scale is 0."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self.inputs[0].scale[0] * self.kernel.scale / self.output.scale[0]

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
        """Axes of the kernel that one output channel sums over."""
        return (0, 1, 2) if self.kind == "depthwise" else tuple(range(1, self.kernel.data.ndim))


@dataclass(frozen=True, kw_only=True)
class Network:
    """Every op of a file, in forward order."""

    graph: Graph
    nodes: tuple[Node, ...]

    @classmethod
    def open(cls, model: Path | str) -> Network:
        """Parse a file."""
        tree = parse(model)
        graph = graph_of(tree, str(model))
        tensors = graph.tensors
        nodes = tuple(
            Node(
                op=op,
                options=options,
                inputs=tuple(tensors[i] for i in op.inputs),
                output=tensors[op.outputs[0]],
                madds=_madds(graph, op),
            )
            for op, options in zip(graph.ops, options_of(tree), strict=True)
        )
        return cls(graph=graph, nodes=nodes)

    @cached_property
    def codes(self) -> dict[int, tuple[int, int]]:
        """Lowest and highest code that each int8 activation can take, by the tensor's index."""
        written = {}
        for node in self.nodes:
            out = node.output
            if out.dtype.name == "int8" and out.quantized and np.isfinite(out.scale[0]) and out.scale[0] > 0:
                written[out.index] = code_range(out, node.options.fused)
        return written


def _madds(graph: Graph, op: Op) -> int:
    kernel, out = graph.weights(op), graph.tensors[op.outputs[0]].shape
    if kernel is None:
        return 0
    return int(np.prod(out[1:-1], dtype=np.int64) * np.prod(kernel.shape, dtype=np.int64))


def normal(scale: NDArray) -> NDArray:
    """Whether float32 scales are positive, finite and not subnormal: what XNNPACK asks of every scale."""
    return np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)
