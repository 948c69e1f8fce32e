"""What a column is called on an axis and how its numbers are written: what `frames.columns` says, for plotly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from effnet_lab.frames import Column, column
from effnet_lab.names import lookup

MANY_DECADES = 4  # from which on labels between the powers of ten run into each other


@dataclass(frozen=True, slots=True)
class Axis:
    """A column on an axis, in a hover box and in a sentence."""

    column: Column

    @property
    def title(self) -> str:
        """Title with its unit."""
        return self.column.heading

    @property
    def better(self) -> str:
        """Which way is better: "low", "high" or neither."""
        return self.column.better

    @property
    def log(self) -> bool:
        """Whether it is drawn on a logarithmic axis."""
        return self.column.log

    @property
    def ticks(self) -> str:
        """Format of the labels, in the language of d3."""
        return self.column.ticks

    def layout(self, values: ArrayLike = ()) -> dict[str, object]:
        """Arguments for ``fig.update_xaxes`` and ``fig.update_yaxes``; the values on the axis decide how dense ticks are.

        Left alone, plotly labels nine ticks per decade when it has room for them, and they run into each other.
        """
        out: dict[str, object] = {
            "title_text": self.title,
            "type": "log" if self.log else "linear",
            "tickformat": self.ticks,
        }
        numbers = np.asarray(values, dtype=float)
        numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
        if self.log and numbers.size and numbers.max() > 2 * numbers.min():
            decades = float(np.log10(numbers.max() / numbers.min()))  # labels at 1 10 100, at 1 2 5, or at 1 2 3 ... 9
            out["dtick"] = 1 if decades > MANY_DECADES else "D2" if decades > np.log10(4) else "D1"
        return out

    def write(self, value: object) -> str:
        """The value as text; what is NaN was not measured."""
        return self.column.write(value)


def axis(name: str, unit: str = "") -> Axis:
    """The column's axis, or a plain linear one that bears its name."""
    return Axis(replace(column(name), unit=unit) if unit else column(name))


def choose(name: str, columns: Iterable[str]) -> Axis:
    """The axis of a column whose name must be one of `columns`; an unknown name is the user's mistake."""
    return lookup("axis", name, {known: axis(known) for known in columns})


def interval(name: str) -> tuple[str, str]:
    """Names of the columns with the ends of its interval: top1 -> top1_lo, top1_hi; p50_ms -> p50_lo_ms, p50_hi_ms."""
    return column(name).ends


def error_bars(
    rows: pd.DataFrame, column: str, color: str | None = None, *, thickness: float = 1, width: float = 3
) -> dict[str, object] | None:
    """Asymmetric bars to the ends of a column's interval, for ``error_x`` and ``error_y``; None where it has none."""
    lo, hi = interval(column)
    if lo not in rows or rows[lo].isna().all():
        return None
    ends = {"array": rows[hi] - rows[column], "arrayminus": rows[column] - rows[lo]}
    return {"type": "data", "symmetric": False, "color": color, "thickness": thickness, "width": width} | ends
