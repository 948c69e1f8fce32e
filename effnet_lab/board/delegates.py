"""Which ops of a file the delegate takes on this machine, and which are left to the interpreter's own kernels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import Runner, delegation, read_info
from effnet_lab.litert.layer_names import layer_names


def delegates(model: Path | str, *, kernels: str = "xnnpack") -> pd.DataFrame:
    """DELEGATION frame: one row per op of the graph in forward order, ``delegate`` "" for the interpreter's own kernel.

    Parameters
    ----------
    model : path
        A .tflite file; it is loaded, not run.
    kernels : str
        Kernel path, see `litert.KERNELS`; only "xnnpack" has a delegate.
    """
    runner, key = Runner(model, kernels=kernels), read_info(model).key
    graph, taken = runner.graph, delegation(runner)
    names = layer_names(graph)
    rows = []
    for op in graph.computing_ops:
        output = graph.tensors[op.outputs[0]]
        row = {"layer_index": op.index, "layer": names.get(output.name, output.name), "op": op.kind}
        rows.append(key | row | {"type": output.dtype.name, "delegate": taken[op.index]})
    return frames.build(frames.DELEGATION, rows)
