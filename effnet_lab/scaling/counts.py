"""Sums over the layers of a specification, and the tables made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.scaling.layers import Layer, Size, layers
from effnet_lab.scaling.specs import NetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What a whole network costs; the counting rules are those of `scaling.layers`."""

    params: int
    madds: Size
    peak_activation_bytes: Size
    flash_bytes: int


def totals(spec: NetSpec, classes: int = 1000, side: Size | None = None) -> Totals:
    """Parameters, MAdds, peak activation bytes and int8 weight bytes of a network."""
    side = spec.resolution if side is None else side
    net = layers(spec, classes, side)
    return Totals(
        params=sum(layer.params for layer in net),
        madds=sum(layer.madds for layer in net),
        peak_activation_bytes=peak_activation_bytes(net, side),
        flash_bytes=sum(layer.weight_bytes for layer in net),
    )


def peak_activation_bytes(net: Iterable[Layer], side: Size) -> Size:
    """Most int8 activation bytes alive at once: every tensor that a later layer still reads, plus the output.

    No planner can need less; a greedy one meets it on this family (lite0 at 224 px: 1,505,280 bytes = 1,470 KiB).
    """
    net = tuple(net)
    last_use = {source: i for i, layer in enumerate(net) for source in layer.inputs}
    sizes: dict[str, Size] = {"input": side * side * 3}
    alive: Size = sizes["input"]
    peak: Size = 0
    several = getattr(side, "ndim", 0) > 0
    for i, layer in enumerate(net):
        sizes[layer.name] = layer.activation_bytes
        alive = alive + sizes[layer.name]
        peak = np.maximum(peak, alive) if several else max(peak, alive)
        for name in {layer.name, *layer.inputs}:
            if last_use.get(name, -1) <= i:
                alive = alive - sizes[name]
    return peak if several else int(peak)


def layer_counts(spec: NetSpec, classes: int = 1000) -> pd.DataFrame:
    """COUNTS frame: one row per layer, in forward order."""
    rows = [
        {
            "model": spec.name,
            "layer_index": i,
            "layer": layer.name,
            "op": layer.op,
            "out_side_px": layer.side,
            "out_channels": layer.channels,
            "params": layer.params,
            "madds": layer.madds,
            "activation_bytes": layer.activation_bytes,
            "weight_bytes": layer.weight_bytes,
        }
        for i, layer in enumerate(layers(spec, classes))
    ]
    return frames.build(frames.COUNTS, rows)
