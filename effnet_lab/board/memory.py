"""What a file needs: flash, working memory, arithmetic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import allocate, read_graph, read_info
from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.names import UserError
from effnet_lab.scaling import known_spec, totals


def measure_memory(model: Path | str, *, arena: bool = False) -> pd.DataFrame:
    """MEMORY frame with one row: file size, lower bound of the activation memory, parameters, MAdds.

    Peak activation bytes and MAdds are read off the graph in the file; parameters are those of the named variant, NaN for
    a network that has no name here.

    Parameters
    ----------
    model : path
        A .tflite file.
    arena : bool
        Also ask the allocator of TensorFlow Lite Micro, see `footprint`; NaN where it does not run the file.
    """
    info, graph = read_info(model), read_graph(model)
    given = graph.tensors[graph.outputs[0]].shape
    spec = known_spec(info.variant or info.model)
    row = info.key | {
        "size_bytes": len(read_bytes(model)),
        "peak_activation_bytes": graph.peak_activation_bytes,
        "params": totals(spec, given[-1]).params if spec and given else float("nan"),
        "madds": graph.madds,
        "arena_bytes": _arena_bytes(model) if arena else float("nan"),
    }  # fmt: skip
    return frames.build(frames.MEMORY, [row])


def _arena_bytes(model: Path | str) -> float:
    try:
        return allocate(model).total_bytes
    except UserError:
        return float("nan")
