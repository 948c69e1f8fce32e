"""Which file to take: a front with a switch of axes, and budgets on sliders."""

from __future__ import annotations

import math
from html import escape
from typing import Protocol

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import TRADEOFFS, require
from effnet_lab.names import UserError
from effnet_lab.view.figures.tradeoffs import TRADEOFF_AXES, plot_tradeoffs
from effnet_lab.view.text import file_label
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, menu, named, pick, row

KIB = 1024
BUDGETS = {  # slider -> column that it limits, and how many of its units are one of the slider's
    "max_ms": ("p50_ms", 1.0), "max_ram_kib": ("arena_bytes", KIB), "max_flash_kib": ("size_bytes", KIB),
    "min_top1": ("top1", 1.0),
}  # fmt: skip
_WORDS = {
    "max_ms": "at most ms", "max_ram_kib": "at most KiB RAM", "max_flash_kib": "at most KiB flash",
    "min_top1": "at least top-1",
}  # fmt: skip
N_STEPS = 200


class Standing(Protocol):
    """TRADEOFFS frame, x, y -> which rows are on the front, and which are near ties of one that is."""

    def __call__(self, table: pd.DataFrame, x: str, y: str, /) -> pd.DataFrame:
        """Bool columns ``on_front`` and ``near_tie``, with the index of the table."""


class Choose(Protocol):
    """TRADEOFFS frame and limits (None: no limit) -> which row to take, and why in a sentence."""

    def __call__(
        self,
        table: pd.DataFrame,
        /,
        *,
        max_ms: float | None,
        max_ram_kib: float | None,
        max_flash_kib: float | None,
        min_top1: float | None,
    ) -> tuple[pd.Series, str]:
        """Bool Series with the index of the table, and a sentence."""


class TradeoffView(ipw.VBox):
    """Any two quantities of a TRADEOFFS frame against each other; ring and sentence follow the budgets at once.

    Parameters
    ----------
    tradeoffs : DataFrame
        TRADEOFFS frame.
    standing : Standing
    choose : Choose
    x, y : str
        Start values of the axes; choosing on one axis what the other shows swaps them.
    max_ms, max_ram_kib, max_flash_kib, min_top1 : float
        Start values of the budgets; 0 is no limit.
    """

    def __init__(
        self, tradeoffs: pd.DataFrame, standing: Standing, choose: Choose, *, x: str = "p50_ms", y: str = "top1",
        max_ms: float = 0.0, max_ram_kib: float = 0.0, max_flash_kib: float = 0.0, min_top1: float = 0.0,
    ) -> None:  # fmt: skip
        self._tradeoffs = require(tradeoffs, TRADEOFFS, caller="TradeoffView").reset_index(drop=True)
        self._standing, self._choose = standing, choose
        for name in (pick("axis", x, TRADEOFF_AXES), pick("axis", y, TRADEOFF_AXES)):
            if tradeoffs[name].isna().all():
                raise UserError(
                    f"TradeoffView: {name} was not measured for any file. Measure it, or choose another axis."
                )
        if x == y:
            raise UserError(f"TradeoffView: x and y must differ. Got {x!r} for both.")
        measured = named(name for name in TRADEOFF_AXES if tradeoffs[name].notna().any())
        self.x, self.y = menu("x axis", measured, x), menu("y axis", measured, y)
        given = {"max_ms": max_ms, "max_ram_kib": max_ram_kib, "max_flash_kib": max_flash_kib, "min_top1": min_top1}
        self.budgets = {name: _slider(name, value, self._tradeoffs) for name, value in given.items()}
        self.text, self.canvas = Note(), Canvas()
        super().__init__([row(self.x, self.y), row(*self.budgets.values()), self.text, self.canvas])
        for control in (self.x, self.y, *self.budgets.values()):
            control.observe(self._on_change, names="value")
        self._draw()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"tradeoffs": self.figure}

    @property
    def figure(self) -> go.Figure:
        """The figure on show."""
        return self.canvas.figure

    @property
    def chosen(self) -> pd.DataFrame:
        """The row to take for the budgets of the sliders; no row if nothing fits."""
        return self._tradeoffs[self._taken()[0].to_numpy(bool)]

    @property
    def sentence(self) -> str:
        """Which file to take, and why."""
        return self._taken()[1]

    def _taken(self) -> tuple[pd.Series, str]:
        limits = {name: slider.value or None for name, slider in self.budgets.items()}
        return self._choose(self._tradeoffs, **limits)

    def _on_change(self, change: dict[str, object]) -> None:
        if self.x.value == self.y.value:
            other = self.y if change["owner"] is self.x else self.x
            other.value = change["old"]  # draws
        else:
            self._draw()

    def _draw(self) -> None:
        table, x, y = self._tradeoffs, self.x.value, self.y.value
        standing = self._standing(table, x, y)
        chosen, why = self._taken()
        limits = {
            BUDGETS[name][0]: slider.value * BUDGETS[name][1] for name, slider in self.budgets.items() if slider.value
        }
        self.canvas.show(plot_tradeoffs(table, x, y, standing, chosen, limits))
        self.text.say(f"<b>{escape(why)}</b><br>{_front_words(table, standing, x, y)}")


def _slider(name: str, value: float, table: pd.DataFrame) -> ipw.FloatSlider:
    """From 0, which is no limit, to beyond the largest number of the table."""
    column, unit = BUDGETS[name]
    largest = table[column].max() / unit
    wanted = 1.0 if name == "min_top1" else 1.1 * largest if largest > 0 else 1.0
    step = _round_step(max(wanted, value) / N_STEPS)
    top = step * math.ceil(max(wanted, value) / step)
    if value < 0 or (name == "min_top1" and value > 1):
        raise UserError(f"{name} must lie between 0 (no limit) and {top:.4g}. Got {value!r}.")
    return ipw.FloatSlider(
        value=value, min=0.0, max=top, step=step, description=_WORDS[name], readout_format=".3g",
        style={"description_width": "128px"}, layout=ipw.Layout(width="360px"),
    )  # fmt: skip


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, at least so much: what a hand sets is a round number."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _front_words(table: pd.DataFrame, standing: pd.DataFrame, x: str, y: str) -> str:
    """Which files are on the front, which nearly are, and how many could not be judged."""
    front, ties = standing["on_front"], standing["near_tie"]
    missing = int(table[[x, y]].isna().any(axis=1).sum())
    words = f"<b>On the front</b> ({int(front.sum())} of {len(table)} files): {_names(table[front], x)}."
    if ties.any():
        words += f" <b>Near ties</b>, not told apart from one of these: {_names(table[ties], x)}."
    return words + (f" {missing} without both numbers." if missing else "") + " 0 on a slider is no limit."


def _names(rows: pd.DataFrame, x: str) -> str:
    rows = rows.sort_values(x)
    return ", ".join(file_label(*key) for key in zip(rows["model"], rows["scheme"], rows["backend"], strict=True))
