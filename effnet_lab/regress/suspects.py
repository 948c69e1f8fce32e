"""From many layers that moved to the one to look at."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

ROW = "row"  # stands under `what` when whole rows came or went
SEPARATOR = " | "  # between the parts of a key


def layer_summary(moved: pd.DataFrame) -> list[str]:
    """One sentence per quantized file whose layers moved, naming the layer to look at.

    A layer whose own weights moved is the cause, and every layer behind it only inherits the error; of several, the
    one that moved most. Without any, it is the first layer in forward order.

    Parameters
    ----------
    moved : DataFrame
        The table of `baselines.check`.

    Returns
    -------
    list of str
    """
    rows = moved[(moved["frame"] == "layer_error") & (moved["what"] != ROW)]
    if rows.empty:
        return []
    parts = rows["key"].str.rsplit(SEPARATOR, n=2, expand=True)  # file (and point of a sweep), number, layer
    rows = rows.assign(file=parts[0].str.replace(SEPARATOR, " "), layer_index=parts[1].astype(int))
    rows = rows.assign(layer=parts[2], change=[_change(*pair) for pair in zip(rows["was"], rows["is"], strict=True)])
    return [_sentence(str(file), mine) for file, mine in rows.groupby("file", sort=False)]


def _sentence(file: str, rows: pd.DataFrame) -> str:
    """Name the suspect among the rows of one file."""
    weights = rows[rows["what"].str.startswith("weight_")]
    if len(weights):
        suspect, why = weights.sort_values("change", ascending=False, kind="stable").iloc[0], "its own weights moved"
    else:
        suspect, why = (
            rows.sort_values("layer_index", kind="stable").iloc[0],
            "first in forward order, no weights moved",
        )
    others = rows["layer_index"].nunique() - 1
    return (
        f"{file}: look at layer {suspect['layer_index']} {suspect['layer']!r} ({why}): {suspect['what']} was "
        f"{_text(suspect['was'])}, is {_text(suspect['is'])}. {others} other layer{'s' * (others != 1)} moved."
    )


def _change(was: Any, now: Any) -> float:
    """Size of a change; text and a NaN that appeared count as the largest."""
    if isinstance(was, str) or pd.isna(was) or pd.isna(now):
        return math.inf
    return float(abs(now - was))


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
