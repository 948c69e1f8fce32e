"""Words in figures: hover boxes, and names of layers short enough to stand beside a point."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, cast

import pandas as pd

from effnet_lab.view.axes import axis, interval

MOST_NAMED, EVERY = 32, 5  # layers with their names on an axis; of more, each fifth has its number


def short_layer(name: str, limit: int = 34) -> str:
    """Last two parts of the first of the fused names: ``net/blocks_0/Relu6;net/...`` -> ``blocks_0/Relu6``."""
    short = "/".join(name.split(";")[0].split("/")[-2:])
    return short if len(short) <= limit else "…" + short[1 - limit :]


def layer_axis(table: pd.DataFrame) -> tuple[pd.Series, dict[str, object]]:
    """Where the rows of a table stand on an axis of layers, and the arguments of that axis.

    Each layer has a place of its own, in forward order: different layers may have the same short name. The names of many would
    take the height of the figure, so they have numbers, and the box says the name.
    """
    order = table.drop_duplicates("layer_index").sort_values("layer_index")
    places = table["layer_index"].map(dict(zip(order["layer_index"], range(len(order)), strict=True)))
    named = len(order) <= MOST_NAMED
    labels = [short_layer(layer) for layer in order["layer"]] if named else order["layer_index"].astype(str).tolist()
    step = 1 if named else EVERY
    ticks = {"tickvals": list(range(0, len(order), step)), "ticktext": labels[::step]}
    return places, {"title_text": "layer, forward order", **ticks} | (
        {"tickangle": -60, "tickfont_size": 10} if named else {}
    )


def wrapped_layer(name: str, lines: int = 3, limit: int = 72) -> str:
    """HTML: the fused names below each other, each cut at the left; how many are left out."""
    parts = name.split(";")
    shown = [escape(part if len(part) <= limit else "…" + part[1 - limit :]) for part in parts[:lines]]
    left_out = len(parts) - len(shown)
    return "<br>".join([*shown, f"… and {left_out} more fused ops"] if left_out else shown)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, each as a mapping from column to value."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def capital(words: str) -> str:
    """The words with a capital first letter, for a title."""
    return words[:1].upper() + words[1:]


def file_label(model: object, scheme: object, backend: object) -> str:
    """One .tflite file in words."""
    return f"{model} {scheme} ({backend})" if backend else f"{model} {scheme}"


def describe(row: pd.Series, columns: Iterable[str]) -> list[str]:
    """``title: value`` of each column that the row has, with its interval where there is one."""
    out = []
    for column in columns:
        if column not in row.index:
            continue
        value, (lo, hi) = row[column], interval(column)
        if isinstance(value, str):
            out.append(f"{column}: {escape(value)}")
            continue
        words = f"{axis(column).title}: {axis(column).write(value)}"
        if lo in row.index and pd.notna(row[lo]) and pd.notna(row[hi]):
            words += f" [{axis(column).write(row[lo])} … {axis(column).write(row[hi])}]"
        out.append(words)
    return out


def hover(table: pd.DataFrame, titles: Iterable[str], columns: Iterable[str]) -> list[str]:
    """Hover box of every row: its title (HTML) in bold, then one line per column."""
    columns = list(columns)
    rows = (row for _, row in table.iterrows())
    return ["<br>".join([f"<b>{title}</b>", *describe(row, columns)]) for title, row in zip(titles, rows, strict=True)]
