"""Where the time of one inference goes: a row per operator that was run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.litert import read_graph, read_info
from effnet_lab.litert.delegation import XNNPACK
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.profiler import ProfiledOp, profile

_RUNS_AS = {  # words in the name of an operator -> kinds of op that it may stand for; XNNPACK runs 1x1 convolutions as dense
    "dwconv": ("depthwise",), "depthwise": ("depthwise",), "convolution": ("conv", "depthwise"), "conv_2d": ("conv",),
    "fully": ("conv", "dense"), "add": ("add",), "mean": ("mean",), "softmax": ("softmax",), "multiply": ("mul",),
    "mul": ("mul",), "sigmoid": ("logistic",), "logistic": ("logistic",), "pool": ("average_pool_2d", "max_pool_2d"),
    "dequantize": ("dequantize",), "quantize": ("quantize",),
}  # fmt: skip


def profile_ops(model: Path | str, n_runs: int = 30) -> pd.DataFrame:
    """PROFILE frame: one row per operator in the order they ran, batch 1, one thread, XNNPACK where it applies.

    An operator is given to the next layer of its kind; what XNNPACK adds of its own (a change of shape, of type) has no
    layer. ``uninterrupted_ms`` is the mean of the faster half of the runs: the profiler counts whole microseconds, so a median
    would say nothing of short operators, and another program's turn falls on one operator as a whole. ``share`` is of the
    sum. They are wall times with the profiler on: good for comparing operators of one file, not files.
    """
    nodes, key = profile(model, n_runs), read_info(model).key
    layers = _layers(model, nodes)
    times = [float(np.sort(node.ms)[: (len(node.ms) + 1) // 2].mean()) for node in nodes]
    total = sum(times)
    rows = [
        key
        | {"run_index": i, "layer": layer, "op": op, "operator": node.name, "n_runs": n_runs}
        | {
            "delegate": XNNPACK if node.delegated else "",
            "uninterrupted_ms": ms,
            "share": ms / total if total else float("nan"),
        }
        for i, (node, (layer, op), ms) in enumerate(zip(nodes, layers, times, strict=True))
    ]
    return frames.build(frames.PROFILE, rows)


def _layers(model: Path | str, nodes: list[ProfiledOp]) -> list[tuple[str, str]]:
    """(layer, kind) of every operator, ("", "") where it stands for none: both lists are in forward order."""
    graph = read_graph(model)
    names = layer_names(graph)
    waiting = [(names.get(graph.tensors[op.outputs[0]].name, ""), op.kind) for op in graph.computing_ops]
    found = []
    for node in nodes:
        words = node.name.lower()
        kinds = next((kinds for word, kinds in _RUNS_AS.items() if word in words), ())
        place = next((i for i, (_, kind) in enumerate(waiting) if kind in kinds), None)
        found.append(waiting[place] if place is not None else ("", ""))
        if place is not None:
            waiting = waiting[place + 1 :]
    return found
