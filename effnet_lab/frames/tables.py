"""A kind of table: its key columns, its value columns, and how one is made and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pandas takes half a second to load; the names of columns do not need it
    import pandas as pd

MODEL_FILE = ("model", "scheme", "backend")  # which network, quantized how, by which back end: one .tflite file


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Name, column order and key columns of one kind of table."""

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    first: tuple[str, ...] = ()  # what a person needs first, where a line has no room for all

    @property
    def columns(self) -> tuple[str, ...]:
        """Key columns, then value columns, in the order of every file."""
        return self.keys + self.values

    @property
    def by_importance(self) -> tuple[str, ...]:
        """All columns, those of `first` before the others."""
        return tuple(dict.fromkeys((*self.first, *self.columns)))


def build(frame: Frame, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Rows to a table with the frame's columns in their order, also when there are none."""
    import pandas as pd

    return require(pd.DataFrame(list(rows), columns=list(frame.columns)), frame, caller="build")


def require(table: pd.DataFrame, frame: Frame, *, caller: str) -> pd.DataFrame:
    """Return the table, or say which columns are missing and which key stands twice.

    Raises
    ------
    ValueError
        If a column of the frame is absent or two rows share the frame's key.
    """
    missing = [column for column in frame.columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{caller} needs a {frame.name} frame. Missing columns: {', '.join(missing)}. Got: {', '.join(table.columns)}."
        )
    twice = table.duplicated(list(frame.keys))
    if twice.any():
        key = table.loc[twice, list(frame.keys)].iloc[0].to_dict()
        raise ValueError(f"{caller}: two rows of the {frame.name} frame have the key {key}.")
    return table
