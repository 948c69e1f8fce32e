"""Two files of one network side by side: which tensor is which, and what to call a layer."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from effnet_lab.litert import Graph, Op, Runner, Tensor
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.names import UserError

_SUFFIXES = ("_act", "_bn")  # of the Keras layers that a converter fuses into the convolution before them


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One layer in both graphs: the op, its output tensor, and its kernel where it has one."""

    index: int  # position in forward order
    layer: str
    op: Op  # in the quantized graph
    reference: Tensor
    quantized: Tensor
    reference_kernel: Tensor | None
    quantized_kernel: Tensor | None


class TwinRunner:
    """A float and a quantized file of the same network, run on the same image.

    Parameters
    ----------
    float_model, quantized_model : path or bytes
        .tflite files. Activations are matched by exact tensor name.
    kernels : str
        See `litert.KERNELS`.
    """

    def __init__(
        self, float_model: Path | str | bytes, quantized_model: Path | str | bytes, *, kernels: str = "xnnpack"
    ) -> None:
        self.reference = Runner(float_model, kernels=kernels, keep_all=True)
        self.quantized = Runner(quantized_model, kernels=kernels, keep_all=True)
        if not self.pairs:
            raise UserError("The two models share no activation by name. Give a float model of the same network.")

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every activation of the quantized graph that the float graph has too, in forward order."""
        float_graph, quantized_graph = self.reference.graph, self.quantized.graph
        names = layer_names(quantized_graph)
        return tuple(
            Pair(
                index=i,
                layer=names[tensor_name],
                op=op,
                reference=float_graph.tensors[float_graph.produced[tensor_name].outputs[0]],
                quantized=quantized_graph.tensors[op.outputs[0]],
                reference_kernel=float_graph.weights(float_graph.produced[tensor_name]),
                quantized_kernel=quantized_graph.weights(op),
            )
            for i, (tensor_name, op) in enumerate(_computing(quantized_graph))
            if tensor_name in float_graph.produced
        )

    @cached_property
    def unmatched(self) -> tuple[str, ...]:
        """Layers of the quantized graph that the float graph does not have."""
        names, matched = layer_names(self.quantized.graph), {pair.layer for pair in self.pairs}
        return tuple(name for name in names.values() if name not in matched)

    def run(self, image) -> None:
        """Both models on one normalised image, float32 (h, w, 3)."""
        for runner in (self.reference, self.quantized):
            runner.feed(image)
            runner.invoke()

    def values(self, pair: Pair):
        """(reference, quantized) real values of one layer after `run`, two arrays of one shape."""
        return self.reference.activation(pair.reference), self.quantized.activation(pair.quantized)


def layer_names(graph: Graph) -> dict[str, str]:
    """Readable, unique names of the computed tensors, by tensor name, in forward order.

    A fused tensor lists everything that went into it (``net/a/Relu6;net/a_bn/...;net/a/Conv2D``): the first entry counts,
    without the path that most share. ``blocks_1_expand_act/Relu6`` is the layer ``blocks_1_expand`` that `scaling` counts;
    where that shortening would make two layers one, the longer name stays.
    """
    # an output without a name of its own is called StatefulPartitionedCall:N by the converter
    paths = {
        name: op.kind if name.startswith("StatefulPartitionedCall") else name.split(";")[0]
        for name, op in _computing(graph)
    }
    folders = [path.rsplit("/", 1)[0] for path in paths.values() if "/" in path]
    roots = [folder.split("/")[0] for folder in folders]
    root = max(roots, key=roots.count, default="")
    shared = posixpath.commonpath([folder for folder in folders if folder.split("/")[0] == root] or [""]) + "/"
    whole = {name: path.removeprefix(shared) for name, path in paths.items()}
    short = {name: _shorten(path) for name, path in whole.items()}
    count = list(short.values()).count
    return {name: short[name] if count(short[name]) == 1 else whole[name] for name in paths}


def _shorten(path: str) -> str:
    layer = path.rsplit("/", 1)[0] if "/" in path else path
    for suffix in _SUFFIXES:
        layer = layer.removesuffix(suffix)
    return layer


def _computing(graph: Graph) -> list[tuple[str, Op]]:
    return [(name, op) for name, op in graph.produced.items() if op.kind not in CHANGES_OF_TYPE]
