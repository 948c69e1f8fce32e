"""Pareto plot with a switch of axes."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import TRADEOFFS, require
from effnet_lab.names import UserError
from effnet_lab.view.figures.tradeoffs import TRADEOFF_AXES, plot_tradeoffs
from effnet_lab.view.text import file_label
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, menu, named, pick, row

OnFront = Callable[[pd.DataFrame, str, str], pd.Series]  # TRADEOFFS frame, x, y -> bool per row


class TradeoffView(ipw.VBox):
    """Any two quantities of a TRADEOFFS frame against each other, and which files are worth having.

    Parameters
    ----------
    tradeoffs : DataFrame
        TRADEOFFS frame.
    on_front : callable
        ``on_front(table, x, y)`` returns a bool Series: no other row is better in both columns.
    x, y : str
        Start values of the axes; choosing on one axis what the other shows swaps them.
    chosen : Series of bool, optional
        Which file to take for a budget: it gets a ring.
    sentence : str
        Why, in words; it stands under the figure.
    """

    def __init__(
        self,
        tradeoffs: pd.DataFrame,
        on_front: OnFront,
        *,
        x: str = "p50_ms",
        y: str = "top1",
        chosen: pd.Series | None = None,
        sentence: str = "",
    ) -> None:
        self._chosen, self._why = chosen, sentence
        self._tradeoffs, self._on_front = require(tradeoffs, TRADEOFFS, caller="TradeoffView"), on_front
        for name in (pick("axis", x, TRADEOFF_AXES), pick("axis", y, TRADEOFF_AXES)):
            if tradeoffs[name].isna().all():
                raise UserError(
                    f"TradeoffView: {name} was not measured for any file. Measure it, or choose another axis."
                )
        if x == y:
            raise UserError(f"TradeoffView: x and y must differ. Got {x!r} for both.")
        measured = named(name for name in TRADEOFF_AXES if tradeoffs[name].notna().any())
        self.x, self.y = menu("x axis", measured, x), menu("y axis", measured, y)
        self.text, self.canvas = Note(), Canvas()
        super().__init__([row(self.x, self.y), self.canvas, self.text])
        for control in (self.x, self.y):
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

    def _on_change(self, change: dict[str, object]) -> None:
        if self.x.value == self.y.value:
            other = self.y if change["owner"] is self.x else self.x
            other.value = change["old"]  # draws
        else:
            self._draw()

    def _draw(self) -> None:
        table, x, y = self._tradeoffs, self.x.value, self.y.value
        front = self._on_front(table, x, y)
        self.canvas.show(plot_tradeoffs(table, x, y, front, self._chosen))
        why = f"<b>{escape(self._why)}</b><br>" if self._why else ""
        self.text.say(why + _sentence(table, front, x, y))


def _sentence(table: pd.DataFrame, front: pd.Series, x: str, y: str) -> str:
    """Which files are on the front, and how many could not be judged."""
    chosen = table[front.to_numpy(bool)].sort_values(x)
    labels = [file_label(*key) for key in zip(chosen["model"], chosen["scheme"], chosen["backend"], strict=True)]
    missing = int(table[[x, y]].isna().any(axis=1).sum())
    left_out = f" {missing} without both numbers." if missing else ""
    return (
        f"<b>On the front</b> ({len(chosen)} of {len(table)} files; no other file is better in one and no worse in the "
        f"other): {', '.join(labels)}.{left_out}"
    )
