"""A table as a CSV file and back: every column by the kind that `frames.columns` declares."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd
from pandas.api.types import is_float_dtype

from effnet_lab.frames import column
from effnet_lab.paths import write_atomically

_EXACT = 2**53  # the largest float64 that still counts one by one


def read_csv(path: Path) -> pd.DataFrame:
    """Floats to the last bit, counts as integers, what was not measured as NaN, text as text."""
    raw = pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False, encoding="utf-8")
    return pd.DataFrame({name: _KINDS[column(name).kind](raw[name]) for name in raw.columns}, index=raw.index)


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Shortest digits that read back as the same float, NaN empty, counts without a decimal point; in one step."""
    whole = {
        name: table[name].astype("Int64")
        for name in table.columns
        if column(name).kind == "count" and is_float_dtype(table[name]) and _is_whole(table[name].dropna())
    }
    quoting: Literal[0, 1] = csv.QUOTE_ALL if _has_carriage_return(table) else csv.QUOTE_MINIMAL
    write_atomically(path, table.assign(**whole).to_csv(index=False, lineterminator="\n", quoting=quoting).encode())
    return path


def as_read(rows: pd.DataFrame) -> pd.DataFrame:
    """Text columns as `read_csv` gives them, so that keys compare."""
    return rows.assign(**{name: _text(rows[name]) for name in rows.columns if column(name).kind == "text"})


def _text(cells: pd.Series) -> pd.Series:
    return cells.astype("object").fillna("").astype("str")


def _real(cells: pd.Series) -> pd.Series:
    return cells.replace("", "nan").astype("float64")


def _count(cells: pd.Series) -> pd.Series:
    """int64 where all are there; with gaps float64, or Int64 where that could not hold the numbers."""
    known = cells[cells != ""]
    try:
        whole = known.astype("int64")
    except ValueError:  # an infinite number of images, or a share in a column of counts
        return _real(cells)
    if len(known) == len(cells):
        return whole
    exact = bool((whole.abs() <= _EXACT).all())
    return whole.reindex(cells.index) if exact else whole.astype("Int64").reindex(cells.index)


def _flag(cells: pd.Series) -> pd.Series:
    flags = cells.map({"True": True, "False": False})
    return flags.astype("bool") if flags.notna().all() else flags


_KINDS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "text": _text, "count": _count, "number": _real, "fraction": _real, "flag": _flag,
}  # fmt: skip


def _has_carriage_return(table: pd.DataFrame) -> bool:
    """Python's writer leaves a lone one unquoted, and a reader then sees the end of a line."""
    return any("\r" in cell for name in table for cell in table[name] if isinstance(cell, str))


def _is_whole(values: pd.Series) -> bool:
    return bool(((values % 1 == 0) & (values.abs() < _EXACT)).all())
