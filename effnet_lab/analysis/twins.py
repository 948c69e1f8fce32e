"""Two files of one network side by side: which tensor is which, and what to call a layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from effnet_lab.analysis.match import match_ops
from effnet_lab.litert import Op, Runner, Tensor
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.litert.runner import DelegateError
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One layer in both graphs: the op, its output tensor, and its kernel where it has one."""

    index: int  # position in forward order
    layer: str
    op: Op  # in the quantized graph
    reference_op: Op
    reference: Tensor
    quantized: Tensor
    reference_kernel: Tensor | None
    quantized_kernel: Tensor | None

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels of a kernel."""
        return len(self.quantized_kernel.shape) - 1 if self.op.kind == "depthwise" else 0


class TwinRunner:
    """A float and a quantized file of the same network, run on the same image.

    Parameters
    ----------
    float_model, quantized_model : path or bytes
        .tflite files. Ops are matched by `match_ops`.
    kernels : str
        See `litert.KERNELS`. Where XNNPACK refuses one of the files, both run on the plain kernels, and `kernels` says so.
    """

    def __init__(
        self, float_model: Path | str | bytes, quantized_model: Path | str | bytes, *, kernels: str = "xnnpack"
    ) -> None:
        self.sources = Source(float_model), Source(quantized_model)
        self._open(kernels)
        if not self.pairs:
            raise UserError(
                "The two models share no activation by name or by structure. Give a float model of the same network."
            )
        self._require_one_input()

    def _open(self, kernels: str) -> None:
        try:
            self.reference, self.quantized = (
                Runner(source.content, kernels=kernels, keep_all=True, graph=source.graph) for source in self.sources
            )
            self.kernels = kernels
        except DelegateError:
            if kernels != "xnnpack":
                raise
            self._open("builtin")

    def _require_one_input(self) -> None:
        ours, theirs = self.quantized.input.shape, self.reference.input.shape
        if ours != theirs:
            raise UserError(
                f"The models take images of unlike shape: {theirs} in float, {ours} quantized. Export both at one size."
            )

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every layer of the quantized graph that the float graph has too, in forward order."""
        float_graph, quantized_graph = self.reference.graph, self.quantized.graph
        names, matched = layer_names(quantized_graph), match_ops(quantized_graph, float_graph)
        return tuple(
            Pair(
                index=i,
                layer=names[tensor_name],
                op=op,
                reference_op=matched[op.index],
                reference=float_graph.tensors[matched[op.index].outputs[0]],
                quantized=quantized_graph.tensors[op.outputs[0]],
                reference_kernel=float_graph.stored_weights(matched[op.index]),
                quantized_kernel=quantized_graph.stored_weights(op),
            )
            for i, (tensor_name, op) in enumerate(computing(quantized_graph))
            if op.index in matched
        )

    @cached_property
    def unmatched(self) -> tuple[str, ...]:
        """Layers of the quantized graph that the float graph does not have."""
        names, matched = layer_names(self.quantized.graph), {pair.layer for pair in self.pairs}
        return tuple(name for name in names.values() if name not in matched)

    @cached_property
    def unmatched_reference(self) -> tuple[str, ...]:
        """Layers of the float graph that the quantized graph does not have."""
        graph, matched = self.reference.graph, {pair.reference_op.index for pair in self.pairs}
        names = layer_names(graph)
        return tuple(names[name] for name, op in computing(graph) if op.index not in matched)

    def run(self, image) -> None:
        """Both models on one normalised image, float32 (h, w, 3)."""
        try:
            for runner in (self.reference, self.quantized):
                runner.feed(image)
                runner.invoke()
        except DelegateError:
            if self.kernels != "xnnpack":
                raise
            self._open("builtin")  # the graphs, and so the pairs, are the same
            self.run(image)

    def settle_shapes(self) -> None:
        """Give the sources the shapes that tensors have at run time, so that their ops can be run alone."""
        self.run(np.zeros(self.reference.input.shape[1:], np.float32))
        for source, runner in zip(self.sources, (self.reference, self.quantized), strict=True):
            shapes = runner.shapes()
            for index, tensor in enumerate(source.main.tensors):
                tensor.shape = list(shapes.get(index, tensor.shape))

    def values(self, pair: Pair):
        """(reference, quantized) real values of one layer after `run`, two arrays of one shape."""
        return self.reference.activation(pair.reference), self.quantized.activation(pair.quantized)
