"""Figures about quantization error: along the network, and the values of one layer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from effnet_lab.frames import HISTOGRAM, LAYER_ERROR, MODEL_FILE, column, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.axes import Axis, axis, choose
from effnet_lab.view.text import capital, file_label, hover, short_layer, wrapped_layer

METRICS = (
    "sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_db", "sqnr_effect_weights_db", "sqnr_effect_activations_db",
    "effect_changed_top1", "mse", "cosine", "max_error", "rmse_over_scale", "local_rmse_over_scale", "effective_bits",
    "saturation_share", "weight_sqnr_db", "weight_worst_channel_sqnr_db",
)  # fmt: skip
NOTIONS = {  # the three curves of `plot_notions`
    "accumulated: whole network in integers": "sqnr_accumulated_db",
    "local: this op, its inputs in float": "sqnr_local_db",
    "effect: the logits, this op alone": "sqnr_effect_db",
}
MOST_LABELLED = 4  # lines that each get the name of their worst layer
CHARACTER = 1 / 95  # of the plot's width, on a page about 700 px wide


def worst_layers(rows: pd.DataFrame, metric: str, n: int) -> pd.DataFrame:
    """The `n` rows with the worst finite value of the metric, worst first."""
    finite = rows[np.isfinite(rows[metric].astype(float))]
    return finite.sort_values(metric, ascending=axis(metric).better == "high", kind="stable").head(n)


def plot_layer_error(
    errors: pd.DataFrame, metric: str = "sqnr_accumulated_db", *, layer: str | None = None, n_worst: int = 3
) -> go.Figure:
    """Error along the network, one line per (model, scheme, backend); the worst layers carry their names.

    Colour says the model, dashes the scheme and back end.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR frame.
    metric : str
        One of `METRICS`; rows where it was not measured have no point.
    layer : str, optional
        Layer to mark on every line.
    n_worst : int
        Layers named when there is one line; with a few lines the worst of each is, with many the worst of all.
    """
    require(errors, LAYER_ERROR, caller="plot_layer_error")
    scale = choose(metric, METRICS)
    fig = theme.new_figure(f"{capital(scale.title)} along the network")
    groups = list(errors.groupby(list(MODEL_FILE), sort=False))
    crowded = len(groups) > MOST_LABELLED
    worst = [worst_layers(rows, metric, n_worst if len(groups) == 1 else 1) for _, rows in groups]
    if crowded:
        worst = [worst_layers(errors, metric, 1)]
    colors = theme.assign([model for (model, *_), _ in groups], theme.PALETTE)
    dashes = theme.assign([file[1:] for file, _ in groups], theme.DASHES)
    for file, rows in groups:
        fig.add_scatter(
            x=rows["layer_index"], y=rows[metric], mode="lines+markers", name=file_label(*file),
            line={"width": 1.5, "color": colors[file[0]], "dash": dashes[file[1:]]},
            marker={"size": 6, "color": colors[file[0]]},
            hovertext=hover(rows, map(wrapped_layer, rows["layer"]), LAYER_ERROR.values),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    if layer is not None:
        _mark(fig, errors[errors["layer"] == layer], metric)
    fig.update_layout(showlegend=True, legend=theme.BESIDE | {"y": 1} if crowded else None)
    fig.update_xaxes(title_text="layer, forward order")
    fig.update_yaxes(**scale.layout(errors[metric]))
    labels = [_Label(row, metric, errors["layer_index"], colors) for rows in worst for _, row in rows.iterrows()]
    _name_worst(fig, labels, errors[metric].astype(float).to_numpy(), scale)
    return fig


def plot_notions(errors: pd.DataFrame, *, layer: str | None = None) -> go.Figure:
    """The three notions of error along one network, dB: where error arises, how it piles up, what it does to the logits.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR frame of one (model, scheme, backend). A notion that was not measured has no curve, and an infinite
        value no point.
    layer : str, optional
        Layer to mark.
    """
    require(errors, LAYER_ERROR, caller="plot_notions")
    files = errors[[*MODEL_FILE]].drop_duplicates()
    if len(files) != 1:
        raise UserError(f"plot_notions draws one file. Got {len(files)}. Select one model, scheme and backend.")
    fig = theme.new_figure(f"Three notions of error, {file_label(*files.iloc[0])}")
    shown = {name: metric for name, metric in NOTIONS.items() if errors[metric].notna().any()}
    for (name, metric), color in zip(shown.items(), theme.PALETTE, strict=False):
        values = errors[metric].astype(float)
        fig.add_scatter(
            x=errors["layer_index"], y=values.where(np.isfinite(values)), mode="lines+markers", name=name,
            line={"width": 1.5, "color": color}, marker={"size": 5, "color": color},
            hovertext=hover(errors, map(wrapped_layer, errors["layer"]), LAYER_ERROR.values),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    if layer is not None:
        for index in errors.loc[errors["layer"] == layer, "layer_index"]:
            fig.add_vline(x=index, line={"width": 1, "dash": "dash", "color": theme.INK}, layer="below")
    fig.update_layout(showlegend=True)
    fig.update_xaxes(title_text="layer, forward order")
    fig.update_yaxes(title_text="SQNR (dB), higher is better")
    return fig


def _mark(fig: go.Figure, rows: pd.DataFrame, metric: str) -> None:
    """A ring around the chosen layer on every line, and a rule through it."""
    for index in rows["layer_index"].unique():
        fig.add_vline(x=index, line={"width": 1, "dash": "dash", "color": theme.INK}, layer="below")
    fig.add_scatter(
        x=rows["layer_index"], y=rows[metric], mode="markers", name="chosen layer", hoverinfo="skip",
        marker={"symbol": "circle-open", "size": 15, "color": theme.INK, "line": {"width": 2}},
    )  # fmt: skip


@dataclass(init=False, slots=True)
class _Label:
    """Name and value of one layer, written on the inner side of its point."""

    x: float
    value: float
    text: str
    color: str
    place: float  # 0 at the first layer, 1 at the last
    left: float  # ends of the text, same unit
    right: float

    def __init__(self, row: pd.Series, metric: str, index: pd.Series, colors: Mapping[Hashable, str]) -> None:
        self.x, self.value = row["layer_index"], row[metric]
        self.text = f"{short_layer(row['layer'])}: {axis(metric).write(row[metric])}"
        self.color = colors[row["model"]]
        self.place = (self.x - index.min()) / max(index.max() - index.min(), 1)
        width = len(self.text) * CHARACTER
        self.left, self.right = (
            (self.place - width, self.place) if self.place > 0.5 else (self.place, self.place + width)
        )


def _levels(labels: list[_Label]) -> list[tuple[int, _Label]]:
    """A line of text for each label: no two overlap, and no pointer runs through the name of a neighbour."""
    inward = sorted(labels, key=lambda label: (label.place > 0.5, label.place if label.place > 0.5 else -label.place))
    out: list[tuple[int, _Label]] = []
    for label in inward:
        clashes = {level for level, other in out if label.left < other.right and other.left < label.right}
        out.append((max(clashes, default=-1) + 1, label))
    return out


def _name_worst(fig: go.Figure, labels: list[_Label], values: NDArray[Any], scale: Axis) -> None:
    """Names beyond the values, on the side where they are worse; the axis makes room for them."""
    to_axis = np.log10 if scale.log else np.asarray  # plotly wants exponents on a logarithmic axis
    values = values[np.isfinite(values) & ((values > 0) | (not scale.log))]
    placed = _levels([label for label in labels if label.value > 0 or not scale.log])
    if not placed:
        return
    lo, hi = float(to_axis(values.min())), float(to_axis(values.max()))
    span = hi - lo or 1.0
    sign, edge = (-1, lo) if scale.better == "high" else (1, hi)
    for level, label in placed:
        fig.add_annotation(
            x=label.x, y=float(to_axis(label.value)), ax=label.x, axref="x", ayref="y", text=label.text, showarrow=True,
            ay=edge + sign * span * (0.12 + 0.08 * level), xanchor="right" if label.place > 0.5 else "left",
            font={"color": label.color}, bgcolor="rgba(255,255,255,0.85)", standoff=4,
        )  # fmt: skip
    room = span * (0.2 + 0.08 * max(level for level, _ in placed))
    fig.update_yaxes(range=[lo - room, hi + span * 0.06] if sign < 0 else [lo - span * 0.06, hi + room])


def plot_histogram(histogram: pd.DataFrame, *, log_counts: bool = True) -> go.Figure:
    """Values of one layer's output on the same images, in float and quantized, over each other.

    Parameters
    ----------
    histogram : DataFrame
        HISTOGRAM frame of one (model, scheme, backend, layer).
    log_counts : bool
        Logarithmic counts; behind a ReLU most values are zero, and a linear axis would show nothing else.
    """
    require(histogram, HISTOGRAM, caller="plot_histogram")
    which = histogram[[*MODEL_FILE, "layer"]].drop_duplicates()
    if len(which) != 1:
        raise UserError(
            f"plot_histogram draws one layer of one file. Got {len(which)} of them. "
            "Select the rows of one model, scheme, backend and layer."
        )
    fig = theme.new_figure(f"Values of {short_layer(which['layer'].iloc[0])}", theme.DETAIL_HEIGHT_PX)
    rows = histogram.sort_values("bin_left")
    before, after = rows[rows["computed_in"] == "float"], rows[rows["computed_in"] == "quantized"]
    fig.add_bar(
        x=after["bin_left"], y=after["count"], width=after["bin_right"] - after["bin_left"], offset=0, name="quantized",
        marker={"color": theme.ORANGE, "opacity": 0.75, "line": {"width": 0}}, customdata=after["bin_right"],
        hovertemplate="<b>quantized</b><br>%{x:.4g} … %{customdata:.4g}<br>count: %{y:,d}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(  # a staircase that has a gap where a bin is empty, so that single bins in the tails stay visible
        x=before[["bin_left", "bin_right"]].to_numpy().ravel(), y=before["count"].where(before["count"] > 0).repeat(2),
        mode="lines", name="float", line={"color": theme.INK, "width": 1.5},
        hovertemplate="<b>float</b><br>%{x:.4g}<br>count: %{y:,d}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(barmode="overlay", bargap=0)
    fig.update_xaxes(title_text="activation (real value)")
    counts = Axis(replace(column("count"), log=log_counts, ticks="~s"))
    fig.update_yaxes(**counts.layout(histogram["count"]))
    if log_counts:  # the axis starts below one, or a bin with a single value would have no height
        fig.update_yaxes(range=[-0.15, None], autorange="max")
    return fig
