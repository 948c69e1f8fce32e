"""A run while it is going on."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import HISTORY, build
from effnet_lab.view.figures.training import plot_history
from effnet_lab.view.text import records
from effnet_lab.view.widgets.canvas import Canvas


class HistoryView(ipw.VBox):
    """Loss and top-1 per epoch, drawn anew after each; give it as `progress`.

    Parameters
    ----------
    history : DataFrame, optional
        HISTORY frame of runs that are over.
    """

    def __init__(self, history: pd.DataFrame | None = None) -> None:
        self._rows: list[dict[str, Any]] = [] if history is None else records(history)
        self.words, self.canvas = ipw.Label("No epoch is over yet."), Canvas()
        super().__init__([self.words, self.canvas])
        if self._rows:
            self._draw()

    def __call__(self, epoch: dict[str, Any]) -> None:
        """One more epoch: a row of HISTORY and "epochs", the number of them all."""
        self._rows.append({name: epoch[name] for name in HISTORY.columns})
        self.words.value = f"{epoch['model']}: epoch {epoch['epoch']} of {epoch['epochs']}"
        self._draw()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"history": self.canvas.figure}

    @property
    def history(self) -> pd.DataFrame:
        """HISTORY frame of all that was shown."""
        return build(HISTORY, self._rows)

    def _draw(self) -> None:
        self.canvas.show(plot_history(self.history))
