"""What rounding did to each layer, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.repair.round_walk import RoundedLayer
from effnet_lab.analysis.repair.rounding import highest_code
from effnet_lab.litert import Graph
from effnet_lab.litert.layer_names import layer_names

LEVELS = 7  # on each side of 0: the codes of 4 bits, and shares of those of 8


def rounding_table(layers: Iterable[RoundedLayer], graph: Graph, key: Mapping[str, str]) -> pd.DataFrame:
    """ROUNDING frame: one row per rounded layer.

    Parameters
    ----------
    layers : iterable of RoundedLayer
    graph : Graph
        Of the float network that was rounded.
    key : mapping
        The columns `frames.MODEL_FILE`.
    """
    rows = []
    for row, layer in _named(layers, graph, key):
        moves = np.abs(layer.codes.astype(int) - layer.nearest)
        rows.append(
            row
            | {"op": layer.op.kind, "bits": layer.precision.bits}
            | {"granularity": "tensor" if layer.precision.per_tensor else "channel"}
            | {"sqnr_nearest_db": layer.sqnr_nearest_db, "sqnr_rounded_db": layer.sqnr_rounded_db}
            | {"n_weights": moves.size, "n_moved": int((moves > 0).sum()), "moved_share": float((moves > 0).mean())}
            | {"most_moved": int(moves.max(initial=0))}
        )
    return frames.build(frames.ROUNDING, rows)


def moved_codes(layers: Iterable[RoundedLayer], graph: Graph, key: Mapping[str, str]) -> pd.DataFrame:
    """MOVED_CODES frame: which codes weights were moved away from; of 8 bits, in 15 levels."""
    rows = []
    for row, layer in _named(layers, graph, key):
        level = np.rint(layer.nearest.reshape(-1) * (LEVELS / highest_code(layer.precision.bits))).astype(int)
        moved = layer.codes.reshape(-1) != layer.nearest.reshape(-1)
        all_of, moved_of = (np.bincount(level + LEVELS, which, 2 * LEVELS + 1) for which in (None, moved))
        for place, (n, n_moved) in enumerate(zip(all_of.tolist(), moved_of.tolist(), strict=True)):
            share = n_moved / n if n else float("nan")
            rows.append(
                row | {"code_level": (place - LEVELS) / LEVELS, "n_weights": int(n), "n_moved": int(n_moved)}
                | {"moved_share": share}
            )  # fmt: skip
    return frames.build(frames.MOVED_CODES, rows)


def _named(
    layers: Iterable[RoundedLayer], graph: Graph, key: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], RoundedLayer]]:
    names = layer_names(graph)
    places = {name: i for i, name in enumerate(names)}
    for layer in layers:
        yield {**key, "layer_index": places[layer.name], "layer": names[layer.name]}, layer
