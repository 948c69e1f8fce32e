"""Layer inspector: the error curve of one file, and the values of the layer you choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import HISTOGRAM, LAYER_ERROR, MODEL_FILE, VERDICTS, require
from effnet_lab.names import UserError
from effnet_lab.view.card import layer_card
from effnet_lab.view.figures.layer_error import METRICS, plot_histogram, plot_layer_error, worst_layers
from effnet_lab.view.text import short_layer
from effnet_lab.view.theme import DETAIL_HEIGHT_PX, message_figure
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, menu, named, pick, row

Histogram = Callable[[str, str, str, str], pd.DataFrame]  # model, scheme, backend, layer -> HISTOGRAM frame


class LayerErrorView(ipw.VBox):
    """Menus over a LAYER_ERROR frame; each menu offers what the menus before it leave.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR frame.
    histogram : DataFrame or callable
        HISTOGRAM frame, or ``histogram(model, scheme, backend, layer)`` that returns one for that layer; it is asked
        once per layer.
    model, scheme, backend : str, optional
        Start values; the first of the frame when empty.
    layer : str, optional
        Start value, the tensor's name or the short one of the menu; the worst layer when empty.
    metric : str, optional
        Column of the curve; the menu offers what was measured for the chosen file, and begins with the first when empty.
    """

    def __init__(
        self, errors: pd.DataFrame, histogram: pd.DataFrame | Histogram, *, model: str | None = None,
        scheme: str | None = None, backend: str | None = None, layer: str | None = None,
        metric: str | None = None,
    ) -> None:  # fmt: skip
        self._errors = require(errors, LAYER_ERROR, caller="LayerErrorView")
        if isinstance(histogram, pd.DataFrame):
            require(histogram, HISTOGRAM, caller="LayerErrorView")
        self._histogram, self._busy = histogram, False
        self._histograms: dict[tuple[str, str, str, str], pd.DataFrame] = {}
        self._verdicts: pd.DataFrame | None = None
        self.model, self.scheme, self.backend, self.layer, self.metric = map(menu, (*MODEL_FILE, "layer", "metric"))
        self.layer.layout.width = "540px"
        self.text, self.canvas, self.detail_canvas = Note(), Canvas(), Canvas()
        super().__init__(
            [
                row(self.model, self.scheme, self.backend, self.metric), self.canvas,
                row(self.layer), self.text, self.detail_canvas,
            ]
        )  # fmt: skip
        wanted = {"model": model, "scheme": scheme, "backend": backend, "layer": layer}
        self._fill(wanted | {"metric": metric and pick("metric", metric, METRICS)}, strict=True)
        for control in (self.model, self.scheme, self.backend, self.layer, self.metric):
            control.observe(self._on_change, names="value")
        self._draw()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is recorded: the values of the chosen layer. The curve of the file is that of the notebook's own figure."""
        return {"opened_layer": self.detail}

    @property
    def figure(self) -> go.Figure:
        """The error along the network, the chosen layer marked."""
        return self.canvas.figure

    @property
    def detail(self) -> go.Figure:
        """The values of the chosen layer."""
        return self.detail_canvas.figure

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of the chosen file."""
        return self._select(*MODEL_FILE)

    def with_verdicts(self, verdicts: pd.DataFrame) -> Self:
        """The same widget, whose cards say the verdicts of a VERDICTS frame where it is about the file on show."""
        self._verdicts = require(verdicts, VERDICTS, caller="LayerErrorView")
        self._draw()
        return self

    def _verdict_on(self, layer: str) -> pd.Series | None:
        if self._verdicts is None:
            return None
        key = [*(getattr(self, name).value for name in MODEL_FILE), layer]
        rows = self._verdicts[(self._verdicts[[*MODEL_FILE, "layer"]] == key).all(axis=1)]
        return rows.iloc[0] if len(rows) else None

    def _select(self, *names: str) -> pd.DataFrame:
        rows = self._errors
        for name in names:
            rows = rows[rows[name] == getattr(self, name).value]
        return rows

    def _fill(self, wanted: dict[str, str | None], *, strict: bool) -> None:
        """Offer in each menu what the ones before it leave; keep what was wanted, or fail if `strict`."""
        for i, name in enumerate(MODEL_FILE):
            known = list(self._select(*MODEL_FILE[:i])[name].unique())
            _offer(getattr(self, name), known, pick(name, _kept(wanted[name], known, strict), known))
        rows = self.rows.sort_values("layer_index")
        self._fill_metric(wanted["metric"], rows, strict=strict)
        layers = list(rows["layer"])
        worst = worst_layers(rows, self.metric.value, 1)["layer"].tolist()
        value = _kept(wanted["layer"], layers, strict) or (worst or [None])[0]
        if value not in layers:  # a typed name may be the short one, and an error lists those: fused names are long
            short = {short_layer(name, 60): name for name in layers}
            value = short[pick("layer", value, short)]
        labels = [f"{i}: {short_layer(name, 60)}" for i, name in zip(rows["layer_index"], layers, strict=True)]
        _offer(self.layer, list(zip(labels, layers, strict=True)), value)

    def _fill_metric(self, wanted: str | None, rows: pd.DataFrame, *, strict: bool) -> None:
        """Offer the columns that the file has numbers in."""
        known = [name for name in METRICS if rows[name].notna().any()]
        if strict and wanted and wanted not in known:
            raise UserError(f"LayerErrorView: {wanted} was not measured. Name its notion in layer_error(notions=...).")
        _offer(self.metric, named(known), pick("metric", _kept(wanted, known, strict), known))

    def _on_change(self, change: dict[str, object]) -> None:
        if self._busy:  # our own refilling of the menus
            return
        self._busy = True
        try:
            if change["owner"] not in (self.layer, self.metric):
                self._fill({name: getattr(self, name).value for name in (*MODEL_FILE, "layer", "metric")}, strict=False)
        finally:
            self._busy = False
        self._draw()

    def _draw(self) -> None:
        rows, layer = self.rows, self.layer.value
        self.canvas.show(plot_layer_error(rows, self.metric.value, layer=layer))
        chosen = rows[rows["layer"] == layer].iloc[0]
        self.text.say(layer_card(chosen, self._verdict_on(layer)))
        self.detail_canvas.show(self._values_of(layer))

    def _values_of(self, layer: str) -> go.Figure:
        """Histogram of the layer, asked for once."""
        key = (self.model.value, self.scheme.value, self.backend.value, layer)
        if key not in self._histograms:
            self._histograms[key] = self._ask(key)
        bins = self._histograms[key]
        if bins.empty:
            return message_figure(f"No histogram was recorded for {short_layer(layer)}.", DETAIL_HEIGHT_PX)
        return plot_histogram(bins)

    def _ask(self, key: tuple[str, str, str, str]) -> pd.DataFrame:
        if callable(self._histogram):
            return self._histogram(*key)
        table = self._histogram
        return table[(table[[*MODEL_FILE, "layer"]] == list(key)).all(axis=1)]


def _kept(value: str | None, known: list[str], strict: bool) -> str | None:
    """The wanted value, or none when it is gone and that is no mistake."""
    return value if strict or value in known else None


def _offer(control: ipw.Dropdown, options: list[Any], value: str) -> None:
    """Replace options and value; observers see a value in between, which is why `_on_change` looks at `_busy`."""
    if list(control.options) != options:
        control.options = options
    control.value = value
