"""Numbers and notebook prose as the report prints them."""

from __future__ import annotations

import re

import pandas as pd

from effnet_lab.frames import column

NOT_MEASURED = "–"
_THIN_SPACE = "\u202f"
NUMBER = rf"-?[\d.{_THIN_SPACE}]+(e[-+]\d+)?( ?%)?( \(.*\))?|-?∞|{NOT_MEASURED}"


def cell_text(value: object, name: str = "") -> str:
    """The cell of a column as `frames.columns` has its numbers written; a dash for what was not measured."""
    return column(name).write(value, missing=NOT_MEASURED, thousands=_THIN_SPACE) or NOT_MEASURED


def cells_text(table: pd.DataFrame) -> pd.DataFrame:
    """Every cell of a table, each by its column."""
    return pd.DataFrame({name: [cell_text(value, name) for value in table[name]] for name in table.columns})


def interval_text(table: pd.DataFrame, name: str, *, unit: str = "", percent: bool = False) -> pd.Series:
    """Point and interval of a quantity, such as ``94.2 % (92.0 – 95.8)``."""
    columns = [f"{name}{part}{unit}" for part in ("", "_lo", "_hi")]
    return pd.Series(
        [_interval(*row, percent=percent) for row in table[columns].itertuples(index=False)],
        index=table.index,
        dtype="str",
    )


def plain(markdown: str) -> str:
    """Markdown prose without its marks: links keep their text, emphasis and code their words."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"[*`]+|__", "", text).strip()


def _interval(point: float, low: float, high: float, *, percent: bool) -> str:
    if pd.isna(point):
        return NOT_MEASURED
    scale, digits = (100, ".1f") if percent else (1, ".3g")
    text = f"{point * scale:{digits}}" + (" %" if percent else "")
    return text if pd.isna(low) or pd.isna(high) else f"{text} ({low * scale:{digits}} – {high * scale:{digits}})"
