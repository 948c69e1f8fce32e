"""What a file takes on a microcontroller: flash, and the arena of TensorFlow Lite Micro, op by op."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import Graph, ModelInfo, allocate, read_graph, read_info
from effnet_lab.litert.flatbuffer import pack, parse, read_bytes
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.scaling import STYLES, VARIANTS, ArenaEstimate, Buffer, estimate_arena, place

_NAN = float("nan")
_INT8 = ("static_wi8_ai8", "static_wi8_ai8_per_tensor")  # what the estimate is about


def footprint(model: Path | str) -> pd.DataFrame:
    """FOOTPRINT frame with one row.

    Flash is what a board has to store: ``weight_bytes``, and ``graph_bytes`` for all else that the runtime reads; the file
    has its metadata on top. The arena is that of the real allocator on this 64-bit host: its head holds activations, its tail
    structs with pointers, which are smaller on a 32-bit processor. The planned bytes are the estimate from the
    specification alone; NaN where the file names none, or is not int8. ``attrs["tail"]`` has the tail by its parts.

    Raises
    ------
    UserError
        If TensorFlow Lite Micro does not run an op of the file.
    """
    info, graph, arena = read_info(model), read_graph(model), allocate(model)
    size, (flash, weights) = len(read_bytes(model)), _flash(model, graph)
    planned = _planned(info, graph)
    row = info.key | {
        "size_bytes": size, "flash_bytes": flash, "weight_bytes": weights, "graph_bytes": flash - weights,
        "arena_bytes": arena.total_bytes, "arena_head_bytes": arena.head_bytes, "arena_tail_bytes": arena.tail_bytes,
        "peak_activation_bytes": graph.peak_activation_bytes,
        "planned_bytes": planned.total_bytes if planned else _NAN,
        "planned_head_bytes": planned.activation_bytes if planned else _NAN,
    }  # fmt: skip
    table = frames.build(frames.FOOTPRINT, [row])
    table.attrs["tail"] = dict(arena.parts)
    return table


def arena_map(model: Path | str) -> pd.DataFrame:
    """ARENA frame: one row per computed tensor, where it lies and between which ops it has to stay.

    Offsets follow the greedy rule of TensorFlow Lite Micro, recomputed here: the interpreter does not tell its own. The size
    of the head that it does tell, in `footprint`, is the check; kernels that ask for scratch memory take some more.
    """
    graph, key = read_graph(model), read_info(model).key
    names, tensors = layer_names(graph), _buffers(graph)
    offsets = place([buffer for _, buffer in tensors])
    rows = [
        key
        | {"tensor_index": index, "layer": names.get(buffer.name, buffer.name)}
        | {"first_op": buffer.first, "last_op": buffer.last, "offset_bytes": offset, "size_bytes": buffer.size_bytes}
        for (index, buffer), offset in zip(tensors, offsets, strict=True)
    ]
    return frames.build(frames.ARENA, rows)


def high_water(model: Path | str) -> pd.DataFrame:
    """HIGH_WATER frame: one row per op, what is alive while it runs and up to which byte the arena is used."""
    graph, info = read_graph(model), read_info(model)
    names, table = layer_names(graph), arena_map(model)
    rows = []
    for op in graph.computing_ops:
        alive = table[(table["first_op"] <= op.index) & (table["last_op"] >= op.index)]
        output = graph.tensors[op.outputs[0]].name
        rows.append(
            info.key
            | {"layer_index": op.index, "layer": names.get(output, output), "op": op.kind, "n_alive": len(alive)}
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
    spec = (VARIANTS | STYLES).get(info.variant or info.model)
    if spec is None or info.scheme not in _INT8:
        return None
    return estimate_arena(spec, graph.tensors[graph.outputs[0]].shape[-1], graph.tensors[graph.inputs[0]].shape[1])
