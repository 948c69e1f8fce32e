"""Which layer of one file is which layer of another, and what the two files alone say of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from effnet_lab.analysis.match import match_ops
from effnet_lab.analysis.metrics import KernelSums
from effnet_lab.litert import Graph, Op, Tensor
from effnet_lab.litert.layer_names import computing, layer_names

_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
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
        return 3 if self.op.kind == "depthwise" else 0

    @property
    def kernels(self) -> tuple[Tensor, Tensor] | None:
        """The stored kernels, float first; None where there is none, or one is computed, or their shapes differ."""
        a, b = self.reference_kernel, self.quantized_kernel
        if a is None or b is None or a.data is None or b.data is None or a.shape != b.shape:
            return None
        return a, b

    @cached_property
    def kernel_sums(self) -> KernelSums | None:
        """Sums over the two stored kernels; None where there are not two."""
        return None if self.kernels is None else KernelSums.of_kernels(*self.kernels, self.channel_axis)

    def describe(self) -> dict[str, Any]:
        """Columns of the LAYER_ERROR frame that need no image."""
        tensor, kernel = self.quantized, self.quantized_kernel
        row: dict[str, Any] = {
            "layer_index": self.index,
            "layer": self.layer,
            "op": self.op.kind,
            "scale": float(tensor.scale[0]) if tensor.quantized else _NAN,
            "zero_point": int(tensor.zero_point[0]) if tensor.quantized else _NAN,
            "n_channels": tensor.shape[-1] if tensor.shape else 1,
        }
        if kernel is not None and kernel.quantized:
            row["granularity"] = "channel" if kernel.scale.size > 1 else "tensor"
        if self.kernel_sums is not None:
            whole, worst = self.kernel_sums.sqnr_db
            row |= {"weight_sqnr_db": whole, "weight_worst_channel_sqnr_db": worst}
        return row


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The layers of two graphs that belong together, and those that are left over."""

    pairs: tuple[Pair, ...]  # in forward order
    unmatched: tuple[str, ...]  # layers of the quantized graph that the float graph does not have
    unmatched_reference: tuple[str, ...]  # and the other way round


def match_layers(quantized: Graph, reference: Graph) -> Matching:
    """Every layer of the quantized graph with its counterpart in the float graph, see `match_ops`."""
    names, matched = layer_names(quantized), match_ops(quantized, reference)
    pairs = tuple(
        Pair(
            index=i,
            layer=names[tensor_name],
            op=op,
            reference_op=matched[op.index],
            reference=reference.tensors[matched[op.index].outputs[0]],
            quantized=quantized.tensors[op.outputs[0]],
            reference_kernel=_kernel(reference, matched[op.index]),
            quantized_kernel=_kernel(quantized, op),
        )
        for i, (tensor_name, op) in enumerate(computing(quantized))
        if op.index in matched and op.outputs[0] in quantized.read and matched[op.index].outputs[0] in reference.read
    )
    taken, their_names = {op.index for op in matched.values()}, layer_names(reference)
    return Matching(
        pairs=pairs,
        unmatched=tuple(names[name] for name, op in computing(quantized) if op.index not in matched),
        unmatched_reference=tuple(their_names[name] for name, op in computing(reference) if op.index not in taken),
    )


def _kernel(graph: Graph, op: Op) -> Tensor | None:
    """What the file stores for a layer; for a transposed convolution, too, whose first input is the shape of its output."""
    return graph.tensors[op.inputs[1]] if op.kind == "transpose_conv" else graph.stored_weights(op)
