"""Numbers and notebook prose as the report prints them."""

from __future__ import annotations

import math
import numbers
import re

import pandas as pd

NOT_MEASURED = "–"
_THIN_SPACE = "\u202f"
NUMBER = rf"-?[\d.{_THIN_SPACE}]+(e[-+]\d+)?( %)?( \(.*\))?|-?∞|{NOT_MEASURED}"


def cell_text(value: object) -> str:
    """A count with its thousands apart, a float with four digits, a dash for what was not measured."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOT_MEASURED
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value) or NOT_MEASURED
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", _THIN_SPACE)
    return f"{value:,.0f}".replace(",", _THIN_SPACE) if abs(value) >= 1e4 else f"{value:.4g}"


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
