"""Where a widget draws: an output area that is replaced as a whole."""

from __future__ import annotations

import json

import ipywidgets as ipw
import plotly.graph_objects as go

PLOTLY_MIME = "application/vnd.plotly.v1+json"
PADDING_PX = 8


class Canvas(ipw.Output):
    """Shows one figure.

    It sets the state of the output area instead of capturing what is displayed: a capture waits for messages of the
    kernel and can hang a run without a browser (https://github.com/jupyter/nbclient/pull/311), and a plotly
    FigureWidget leaves a saved state that breaks the other widgets of a notebook.
    """

    def __init__(self) -> None:
        super().__init__()
        self.figure: go.Figure | None = None

    def show(self, figure: go.Figure) -> None:
        """Replace the figure; the height is fixed first, so that the page does not jump while the plot is redrawn."""
        self.figure = figure
        self.layout.height = f"{figure.layout.height + PADDING_PX}px"
        data = {PLOTLY_MIME: json.loads(figure.to_json()), "text/plain": figure.layout.title.text or "figure"}
        self.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)
