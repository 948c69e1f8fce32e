"""A look inside: the maps of one endpoint of a network for one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets as ipw
import plotly.graph_objects as go
from numpy.typing import NDArray

from effnet_lab.view.figures.maps import plot_endpoint
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import menu, pick, row

Maps = Mapping[str, NDArray[Any]] | Callable[[str], NDArray[Any]]


class EndpointView(ipw.VBox):
    """A menu over the endpoints of a network, and the maps of the chosen one.

    Parameters
    ----------
    maps : mapping or callable
        ``maps[name]``, or ``maps(name)``, which is asked once per name: float (h, w, c) or (c,).
    names : iterable of str, optional
        What the menu offers; the keys of a mapping by default.
    endpoint : str
        Start value; the first name when empty.
    """

    def __init__(self, maps: Maps, names: Iterable[str] | None = None, *, endpoint: str = "") -> None:
        known = [*(names if names is not None else maps if not callable(maps) else ())]
        self._ask = maps if callable(maps) else maps.__getitem__
        self._asked: dict[str, NDArray[Any]] = {}
        self.endpoint, self.canvas = menu("endpoint", known, pick("endpoint", endpoint, known)), Canvas()
        super().__init__([row(self.endpoint), self.canvas])
        self.endpoint.observe(self._draw, names="value")
        self._draw()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"endpoint": self.figure}

    @property
    def figure(self) -> go.Figure:
        """The figure on show."""
        return self.canvas.figure

    def _draw(self, _change: dict[str, object] | None = None) -> None:
        name = self.endpoint.value
        if name not in self._asked:
            self._asked[name] = self._ask(name)
        self.canvas.show(plot_endpoint(self._asked[name], name))
