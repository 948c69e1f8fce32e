"""Which activations must be scaled together, channel by channel, and which weights take the scale up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from effnet_lab.litert import Graph, Op
from effnet_lab.litert.options import Options

_LAYERS = ("conv", "depthwise", "dense")
_TIES = ("add", "relu", "relu6", "mean", "max_pool_2d", "average_pool_2d", "reshape")  # channel c in is channel c out


@dataclass(kw_only=True)
class Group:
    """Activations with one common scale per channel; indices are those of tensors and ops in the graph."""

    channels: int
    producers: list[Op] = field(default_factory=list)  # layers whose output it is
    consumers: list[Op] = field(default_factory=list)  # layers that read it
    relu6: list[int] = field(default_factory=list)  # members that are cut off at 6

    @property
    def layers(self) -> list[Op]:
        """Layers that change when it is scaled."""
        return [*self.producers, *self.consumers]


def channel_groups(graph: Graph, options: tuple[Options, ...]) -> list[Group]:
    """Every group whose channels may be scaled, in forward order.

    The network's input and output, and whatever an op touches that is not known to commute with a positive factor per
    channel, belong to no group. Nor does a group without a layer on both sides.
    """
    root = list(range(len(graph.tensors)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    fixed = {*graph.inputs, *graph.outputs}
    uses = Counter(i for op in graph.ops for i in op.inputs if graph.tensors[i].data is not None)
    for op, how in zip(graph.ops, options, strict=True):
        if op.kind in _LAYERS and _is_plain_layer(graph, op, uses):
            fixed |= set() if how.fused in ("none", "relu", "relu6") else {op.outputs[0]}
        elif (tied := _tied(graph, op, how)) is not None:
            for i in tied:
                root[find(i)] = find(op.outputs[0])
        else:
            fixed |= {*op.inputs, *op.outputs}
    closed = {find(i) for i in fixed}
    groups: dict[int, Group] = {}
    for op, how in zip(graph.ops, options, strict=True):
        out = find(op.outputs[0])
        if op.kind in _LAYERS and (into := find(op.inputs[0])) not in closed:
            groups.setdefault(into, _group(graph, into)).consumers.append(op)
        if out in closed:
            continue
        group = groups.setdefault(out, _group(graph, out))
        if op.kind in _LAYERS:
            group.producers.append(op)
        if "relu6" in (how.fused, op.kind):
            group.relu6.append(op.outputs[0])
    return [group for group in groups.values() if group.producers and group.consumers]


def _group(graph: Graph, tensor: int) -> Group:
    return Group(channels=graph.tensors[tensor].shape[-1])


def _is_plain_layer(graph: Graph, op: Op, uses: Counter[int]) -> bool:
    """Whether kernel and bias are stored in float32 and belong to this op alone."""
    stored = [graph.tensors[i] for i in op.inputs[1:]]
    plain = all(t.data is not None and t.dtype == np.float32 and uses[t.index] == 1 for t in stored)
    width = graph.tensors[op.inputs[0]].shape[-1:]
    return plain and (op.kind != "dense" or width == stored[0].shape[1:])


def _tied(graph: Graph, op: Op, how: Options) -> list[int] | None:
    """Inputs that share the channel scale of the op's output; None if the op mixes channels or is not known."""
    if op.kind not in _TIES or how.fused not in ("none", "relu", "relu6"):
        return None
    inputs, out = [graph.tensors[i] for i in op.inputs], graph.tensors[op.outputs[0]]
    if op.kind == "add":
        alike = all(tensor.data is None and tensor.shape == out.shape for tensor in inputs)
        return list(op.inputs) if alike else None
    if op.kind == "mean":
        axes = np.asarray(inputs[1].data if inputs[1].data is not None else -1).reshape(-1) % len(inputs[0].shape)
        if len(inputs[0].shape) - 1 in axes:
            return None
    if inputs[0].shape[-1:] != out.shape[-1:]:
        return None
    return [op.inputs[0]]
