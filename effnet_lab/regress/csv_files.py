"""A table as a CSV file and back: every column by the kind that `frames.columns` declares."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pandas.api.types import is_float_dtype

from effnet_lab.frames import column
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically

_EXACT = 2**53  # the largest float64 that still counts one by one


def read_csv(path: Path, keys: Sequence[str] = (), also: Sequence[str] = ()) -> pd.DataFrame:
    """Floats to the last bit, counts as integers, what was not measured as NaN, text as text.

    Parameters
    ----------
    path : Path
    keys : sequence of str
        Columns that must be there and tell every two rows apart.
    also : sequence of str
        Columns that must be there.

    Raises
    ------
    UserError
        If the file is no such table: it can have been edited, cut short or saved by another program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row that is longer than the header
            raw = pd.read_csv(
                path, dtype="str", keep_default_na=False, na_filter=False, encoding="utf-8", index_col=False
            )
    except (
        ValueError,
        pd.errors.ParserWarning,
    ) as error:  # pandas' own errors and those of the encoding are ValueErrors
        raise _no_table(path, str(error).splitlines()[0][:120]) from None
    names = [str(name) for name in raw.columns]
    if missing := [name for name in (*keys, *also) if name not in names]:
        raise _no_table(path, f"it has no column {missing[0]!r}")
    table = pd.DataFrame({name: _read_column(raw[name], path) for name in names}, index=raw.index)
    if keys and (twice := table.duplicated(list(keys))).any():
        first = int(twice.to_numpy().argmax()) + 2  # the header is line 1
        raise _no_table(path, f"line {first} has the key of an earlier one")
    return table


def _read_column(cells: pd.Series, path: Path) -> pd.Series:
    kind = column(str(cells.name)).kind
    try:
        return _KINDS[kind](cells)
    except (ValueError, OverflowError, TypeError) as error:
        raise _no_table(path, f"column {cells.name!r} holds no {kind}: {str(error)[:80]}") from None


def _no_table(path: Path, why: str) -> UserError:
    return UserError(f"Cannot read {path}: {why}. Restore the file, or remove it and run again.")


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
