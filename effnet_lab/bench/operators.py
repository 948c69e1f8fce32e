"""Where the time of one inference goes: a row per operator that was run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.bench.alone import alone
from effnet_lab.litert import read_graph, read_info
from effnet_lab.litert.delegation import XNNPACK
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.profiler import ProfiledOp, profile_nodes

OUTSIDE = "outside the operators"  # the name of the row of what no operator took
MISSING = 0.10  # share of an inference from which it is said
_RUNS_AS = {  # words in the name of an operator -> kinds of op that it may stand for; XNNPACK runs 1x1 convolutions as dense
    "dwconv": ("depthwise",), "depthwise": ("depthwise",), "convolution": ("conv", "depthwise"), "conv_2d": ("conv",),
    "fully": ("conv", "dense"), "add": ("add",), "mean": ("mean",), "softmax": ("softmax",), "multiply": ("mul",),
    "mul": ("mul",), "sigmoid": ("logistic",), "logistic": ("logistic",), "pool": ("average_pool_2d", "max_pool_2d"),
    "dequantize": ("dequantize",), "quantize": ("quantize",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class OpProfile:
    """Time by operator."""

    table: pd.DataFrame  # PROFILE frame
    p50_ms: float  # of whole inferences without the profiler
    uninterrupted_ms: float  # of whole inferences, the mean of the faster half
    warning: str  # "" where the operators add up to an inference


@alone()
def profile(model: Path | str, n_runs: int = 30) -> OpProfile:
    """Time of every operator in the order they ran, batch 1, one thread, XNNPACK where it applies.

    An operator is given to the next layer of its kind; what XNNPACK adds of its own (a change of shape, of type) has no
    layer. ``uninterrupted_ms`` is the mean of the faster half of the runs: the profiler counts whole microseconds, so a median
    would say nothing of short operators, and another program's turn falls on one operator as a whole.

    The sum is held against whole inferences, run in between without the profiler: what is missing stands in a last row of its
    own, and ``share`` is of all rows. They are wall times: good for comparing operators of one file, not
    files. `effnet_lab.profile` takes any network: what is no .tflite file runs as float32.
    """
    measured, key = profile_nodes(model, n_runs), read_info(model).key
    layers = _layers(model, measured.nodes)
    times = [_faster_half(node.ms) for node in measured.nodes]
    whole, total = _faster_half(measured.whole_ms), sum(times)
    missing = max(0.0, whole - total)
    rows: list[dict[str, Any]] = [
        {"layer": layer, "op": op, "operator": node.name, "delegate": XNNPACK if node.delegated else ""}
        | {"uninterrupted_ms": ms}
        for node, (layer, op), ms in zip(measured.nodes, layers, times, strict=True)
    ]
    rows.append({"layer": "", "op": "", "operator": OUTSIDE, "delegate": "", "uninterrupted_ms": missing})
    for i, row in enumerate(rows):
        row |= key | {"run_index": i, "n_runs": n_runs, "share": row["uninterrupted_ms"] / (total + missing or 1.0)}
    warning = ""
    if missing > MISSING * whole:
        warning = (
            f"The operators took {total:.3g} ms of the {whole:.3g} ms of an inference without the profiler; "
            f"{missing / whole:.0%} is in none of them: the row {OUTSIDE!r} (the runtime, and what the profiler rounds down)."
        )
    p50 = float(np.median(measured.whole_ms))
    return OpProfile(table=frames.build(frames.PROFILE, rows), p50_ms=p50, uninterrupted_ms=whole, warning=warning)


def _faster_half(ms: NDArray[np.float64]) -> float:
    return float(np.sort(ms)[: (len(ms) + 1) // 2].mean())


def _layers(model: Path | str, nodes: tuple[ProfiledOp, ...]) -> list[tuple[str, str]]:
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
