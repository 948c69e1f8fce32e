"""What a file needs: flash, working memory, arithmetic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import read_graph, read_info
from effnet_lab.scaling import VARIANTS, totals


def measure_memory(model: Path | str) -> pd.DataFrame:
    """MEMORY frame with one row: file size, lower bound of the activation memory, parameters, MAdds.

    Peak activation bytes and MAdds are read off the graph in the file; parameters are those of the named variant, NaN for
    a network that has no name here.
    """
    info, graph = read_info(model), read_graph(model)
    spec = VARIANTS.get(info.model)
    row = info.key | {
        "size_bytes": Path(model).stat().st_size,
        "peak_activation_bytes": graph.peak_activation_bytes,
        "params": totals(spec, graph.tensors[graph.outputs[0]].shape[-1]).params if spec else float("nan"),
        "madds": graph.madds,
    }  # fmt: skip
    return frames.build(frames.MEMORY, [row])
