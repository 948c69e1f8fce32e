"""How much of its tensor's range each channel of a kernel fills: what one scale per tensor leaves it."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.repair.equalize import channel_range
from effnet_lab.litert import read_graph
from effnet_lab.litert.layer_names import layer_names


def channel_ranges(float_content: bytes, *, model: str, steps: str) -> pd.DataFrame:
    """CHANNEL_RANGES frame: one row per output channel of every convolution and dense layer.

    ``share`` is the channel's largest absolute weight over the tensor's; ``bits_left`` how many of 8 bits the channel gets
    when the tensor has one scale, ``8 + log2(share)``, not below 0.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    model, steps : str
        For the columns of these names: which network, of a path its last part, after which repairs.
    """
    graph = read_graph(float_content)
    rows = []
    for index, (name, layer) in enumerate(layer_names(graph).items()):
        op = graph.produced[name]
        if (kernel := graph.weights(op)) is None:
            continue
        ranges = channel_range(graph.kernel(op), op.kind, "out", kernel.shape[-1 if op.kind == "depthwise" else 0])
        for channel, value in enumerate(ranges.tolist()):
            share = value / float(ranges.max()) if value else 0.0
            rows.append(
                {
                    "model": Path(model).name,
                    "steps": steps,
                    "layer_index": index,
                    "layer": layer,
                    "channel": channel,
                    "op": op.kind,
                }
                | {"range": value, "share": share, "bits_left": max(8 + math.log2(share), 0.0) if share else 0.0}
            )
    return frames.build(frames.CHANNEL_RANGES, rows)
