"""What a file takes on a microcontroller: flash, and the arena of TensorFlow Lite Micro, op by op."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import Graph, ModelInfo, read_graph, read_info
from effnet_lab.litert.flatbuffer import pack, parse, read_bytes
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.micro import MISSING, Allocation, allocate, installed
from effnet_lab.scaling import ArenaEstimate, Buffer, estimate_arena, estimate_of, known_spec, place

_NAN = float("nan")
_INT8 = ("static_wi8_ai8", "static_wi8_ai8_per_tensor")  # what the estimate is about
MEASURED, ESTIMATED = "TensorFlow Lite Micro", "estimate of the planner"


@dataclass(frozen=True, kw_only=True, eq=False)
class Footprint:
    """What a file takes on a microcontroller."""

    table: pd.DataFrame  # FOOTPRINT, one row
    high_water: pd.DataFrame  # HIGH_WATER, one row per op
    arena: pd.DataFrame  # ARENA, one row per computed tensor
    tail: Mapping[str, int]  # bytes of the arena's tail by the allocator's own names; empty where it was estimated
    note: str  # why the arena is an estimate; "" where it was measured


def footprint(model: Path | str) -> Footprint:
    """Flash and RAM of a file on a microcontroller.

    Flash is what a board has to store: ``weight_bytes``, and ``graph_bytes`` for all else that the runtime reads; the file
    has its metadata on top. The arena is that of the real allocator on this 64-bit host: its head holds activations, its tail
    structs with pointers, which are smaller on a 32-bit processor. ``arena_source`` says where its numbers come from: where
    tflite-micro is not installed they are the planner's own estimate, and `note` says so. The planned bytes are the estimate
    from the specification alone; NaN where the file names none, or is not int8.

    Parameters
    ----------
    model : path
        A .tflite file. `effnet_lab.footprint` takes any network: what is no such file is measured as float32.

    Raises
    ------
    UserError
        If TensorFlow Lite Micro does not run an op of the file.
    """
    info, graph, names = read_info(model), read_graph(model), layer_names(read_graph(model))
    buffers = _buffers(graph)
    arena = allocate(model) if installed() else estimated_arena(graph)
    size, (flash, weights) = len(read_bytes(model)), _flash(model, graph)
    planned = _planned(info, graph)
    row = info.key | {
        "size_bytes": size, "flash_bytes": flash, "weight_bytes": weights, "graph_bytes": flash - weights,
        "arena_bytes": arena.total_bytes, "arena_head_bytes": arena.head_bytes, "arena_tail_bytes": arena.tail_bytes,
        "arena_source": MEASURED if installed() else ESTIMATED,
        "peak_activation_bytes": graph.peak_activation_bytes,
        "planned_bytes": planned.total_bytes if planned else _NAN,
        "planned_head_bytes": planned.activation_bytes if planned else _NAN,
    }  # fmt: skip
    places = _places(buffers, names, info.key)
    return Footprint(
        table=frames.build(frames.FOOTPRINT, [row]),
        high_water=_high_water(graph, places, names, info.key),
        arena=places,
        tail=dict(arena.parts),
        note="" if installed() else f"{MISSING} ({platform.system()}, {platform.machine()}): the arena is an estimate.",
    )


def estimated_arena(graph: Graph) -> Allocation:
    """What the planner expects the allocator to take for a graph, without asking it."""
    buffers = [buffer for _, buffer in _buffers(graph)]
    weighted = [graph.tensors[op.outputs[0]].shape[-1] for op in graph.ops if graph.weights(op) is not None]
    found = estimate_of(buffers, len(graph.tensors), len(graph.ops), weighted)
    return Allocation(
        total_bytes=found.total_bytes, head_bytes=found.activation_bytes, tail_bytes=found.persistent_bytes, parts={}
    )


def _places(buffers: list[tuple[int, Buffer]], names: Mapping[str, str], key: Mapping[str, str]) -> pd.DataFrame:
    """Where each computed tensor lies, and between which ops it has to stay.

    Offsets follow the greedy rule of TensorFlow Lite Micro, recomputed here: the interpreter does not tell its own. The size
    of the head that it does tell is the check; kernels that ask for scratch memory take some more.
    """
    offsets = place([buffer for _, buffer in buffers])
    rows = [
        {**key, "tensor_index": index, "layer": names.get(buffer.name, buffer.name)}
        | {"first_op": buffer.first, "last_op": buffer.last, "offset_bytes": offset, "size_bytes": buffer.size_bytes}
        for (index, buffer), offset in zip(buffers, offsets, strict=True)
    ]
    return frames.build(frames.ARENA, rows)


def _high_water(graph: Graph, arena: pd.DataFrame, names: Mapping[str, str], key: Mapping[str, str]) -> pd.DataFrame:
    """What is alive while each op runs, and up to which byte the arena is used."""
    rows = []
    for op in graph.computing_ops:
        alive = arena[(arena["first_op"] <= op.index) & (arena["last_op"] >= op.index)]
        output = graph.tensors[op.outputs[0]].name
        rows.append(
            {**key, "layer_index": op.index, "layer": names.get(output, output), "op": op.kind, "n_alive": len(alive)}
            | {"alive_bytes": int(alive["size_bytes"].sum())}
            | {"high_water_bytes": int((alive["offset_bytes"] + alive["size_bytes"]).max())}
        )
    return frames.build(frames.HIGH_WATER, rows)


def _buffers(graph: Graph) -> list[tuple[int, Buffer]]:
    """Index and lifetime of every tensor that is computed."""
    last = {index: op.index for op in graph.ops for index in op.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.ops) - 1)
    first = dict.fromkeys(graph.inputs, 0) | {index: op.index for op in graph.ops for index in op.outputs}
    return [
        (index, Buffer(name=tensor.name, size_bytes=tensor.size_bytes, first=start, last=last.get(index, start)))
        for index, start in sorted(first.items())
        for tensor in [graph.tensors[index]]
    ]


def _flash(model: Path | str, graph: Graph) -> tuple[int, int]:
    """Bytes of the file without its metadata, and those of its stored tensors."""
    tree = parse(model)
    used = {tree.subgraphs[0].tensors[index].buffer for op in graph.ops for index in op.inputs}
    weights = sum(len(tree.buffers[i].data) for i in used if tree.buffers[i].data is not None)
    for entry in tree.metadata or []:
        tree.buffers[entry.buffer].data = None
    tree.metadata = []
    return len(pack(tree)), weights


def _planned(info: ModelInfo, graph: Graph) -> ArenaEstimate | None:
    spec = known_spec(info.variant or info.model)
    taken, given = graph.tensors[graph.inputs[0]].shape, graph.tensors[graph.outputs[0]].shape
    if spec is None or info.scheme not in _INT8 or len(taken) != 4 or not given:
        return None
    return estimate_arena(spec, given[-1], taken[1])
