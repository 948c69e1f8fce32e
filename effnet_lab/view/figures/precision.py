"""Figures about bits: what rounding did to each layer, what each layer costs in each precision, and what was chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import MOVED_CODES, PRECISIONS, ROUNDING, SENSITIVITY, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis
from effnet_lab.view.text import hover, layer_axis, short_layer

NEAREST, ROUNDED = "to the nearest code", "for the output"
EDGE = 0.05  # of the span of the cost: room left of the cheapest mark,
NAMES = 0.14  # and right of the dearest, for its name
FLOOR = 1e-9  # noise that is drawn at the end of the scale of colours


def plot_rounding(rounding: pd.DataFrame) -> go.Figure:
    """SQNR of every layer's output, rounded to the nearest code and as rounded, and how many weights were moved.

    Parameters
    ----------
    rounding : DataFrame
        ROUNDING frame of one file.
    """
    require(rounding, ROUNDING, caller="plot_rounding")
    fig = theme.new_figure("Error of each layer's output, before and after rounding for it")
    places, layers = layer_axis(rounding)
    boxes = hover(
        rounding,
        [short_layer(layer) for layer in rounding["layer"]],
        ["sqnr_nearest_db", "sqnr_rounded_db", "bits", "moved_share", "most_moved"],
    )
    fig.add_bar(
        x=places, y=rounding["moved_share"], name="weights on another code", marker_color=theme.FAINT,
        hoverinfo="skip",
    )  # fmt: skip
    for name, column, color, dash in (
        (NEAREST, "sqnr_nearest_db", theme.VERMILION, "dot"), (ROUNDED, "sqnr_rounded_db", theme.BLUE, "solid"),
    ):  # fmt: skip
        fig.add_scatter(
            x=places, y=rounding[column], yaxis="y2", mode="lines+markers", name=name, line={"color": color, "dash": dash},
            hovertext=boxes, hovertemplate="%{hovertext}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    fig.update_xaxes(**layers)
    share = {
        "side": "right",
        "range": [0, 1],
        "tickformat": ".0%",
        "tickvals": [0, 0.25, 0.5, 0.75, 1],
        "showgrid": False,
    }
    fig.update_yaxes(title_text="weights moved", **share)
    lines = {
        "title": {"text": "SQNR of the layer's output (dB)"},
        "overlaying": "y",
        "side": "left",
        "tickmode": "auto",
    }  # above the bars
    return fig.update_layout(yaxis2=lines, showlegend=True, margin_r=70)


def plot_moved_codes(moved: pd.DataFrame) -> go.Figure:
    """Which codes weights were moved away from: a column per layer, a row per code, the colour says how many of them.

    Parameters
    ----------
    moved : DataFrame
        MOVED_CODES frame of one file.
    """
    require(moved, MOVED_CODES, caller="plot_moved_codes")
    fig = theme.new_figure("Weights that did not get their nearest code, by that code")
    order = moved.drop_duplicates("layer_index").sort_values("layer_index")
    grid = moved.pivot_table(index="code_level", columns="layer_index", values="moved_share", dropna=False)
    counts = moved.pivot_table(index="code_level", columns="layer_index", values="n_weights", dropna=False)
    places, layers = layer_axis(order)
    fig.add_heatmap(
        x=places, y=grid.index, z=grid.to_numpy(), customdata=counts.to_numpy(),
        hovertext=[[short_layer(layer) for layer in order["layer"]]] * len(grid),
        zmin=0, zmax=1, colorscale="Viridis", colorbar={"title": {"text": "moved", "side": "right"}, "tickformat": "~%"},
        hovertemplate="%{hovertext}<br>%{customdata:,} weights nearest to %{y:.2f} of the largest code: %{z:.1%} moved"
        "<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(**layers)
    return fig.update_yaxes(title_text=axis("code_level").title)


def plot_sensitivity(sensitivity: pd.DataFrame) -> go.Figure:
    """What each layer costs at the logits when it alone has a precision: a line per precision.

    Parameters
    ----------
    sensitivity : DataFrame
        SENSITIVITY frame of one network.
    """
    require(sensitivity, SENSITIVITY, caller="plot_sensitivity")
    fig = theme.new_figure("Noise at the logits when one layer alone is not float")
    places, layers = layer_axis(sensitivity)
    rows = sensitivity.assign(place=places)[sensitivity["noise_share"] > FLOOR]
    colors = theme.assign(rows["precision_name"], theme.PALETTE)
    for precision, group in rows.groupby("precision_name", sort=False):
        names = [short_layer(layer) for layer in group["layer"]]
        fig.add_scatter(
            x=group["place"], y=group["noise_share"], mode="markers", name=str(precision),
            marker={"color": colors[precision]},
            hovertext=hover(group, names, ["noise_share", "op"]),
            hovertemplate="%{hovertext}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    fig.update_xaxes(**layers)
    return fig.update_yaxes(**axis("noise_share").layout(rows["noise_share"])).update_layout(showlegend=True)


def plot_precisions(precisions: pd.DataFrame, x: str = "size_bytes") -> go.Figure:
    """Cost against expected noise at the logits: the front, files in one precision throughout, and a ring for the chosen one.

    Parameters
    ----------
    precisions : DataFrame
        PRECISIONS frame of one network.
    x : str
        "size_bytes", "arena_bytes" or "measured_ms". Where a file was not measured it is what was predicted of it, and the
        median of what the prediction left out in those that were.
    """
    require(precisions, PRECISIONS, caller="plot_precisions")
    expected = {"size_bytes": "predicted_bytes", "arena_bytes": "predicted_arena_bytes", "measured_ms": "predicted_ms"}[
        x
    ]
    left_out = (precisions[x] - precisions[expected]).median()
    predicted = precisions[expected] + (0 if np.isnan(left_out) else left_out)
    cost = precisions[x].where(precisions[x].notna(), predicted)
    rows = precisions.assign(cost=cost, noise=precisions["predicted_noise"].clip(lower=FLOOR))
    rows = rows[rows["cost"].notna()].sort_values("cost", kind="stable")
    fig = theme.new_figure("Cost against expected loss, a precision for each layer")
    mixed = rows["choice"].str.contains("_mixed_")
    boxes = pd.Series(hover(rows, rows["choice"], [x, expected, "predicted_noise", "top1", "difference"]), rows.index)
    best = rows[rows["noise"] <= np.minimum.accumulate(rows["noise"])]
    fig.add_scatter(x=best["cost"], y=best["noise"], mode="lines", name="front", hoverinfo="skip",
                    line={"color": theme.GREY, "shape": "hv", "width": 1})  # fmt: skip
    for name, which, color in (("mixed", mixed, theme.BLUE), ("one precision", ~mixed, theme.ORANGE)):
        fig.add_scatter(
            x=rows.loc[which, "cost"], y=rows.loc[which, "noise"], name=name, hovertext=boxes[which],
            mode="markers" if name == "mixed" else "markers+text", text=rows.loc[which, "choice"],
            textposition="top right", textfont_size=11, marker={"color": color, "size": 9},
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    chosen = rows[rows["guarantee"].fillna("") != ""]
    fig.add_scatter(x=chosen["cost"], y=chosen["noise"], mode="markers", name="chosen", hoverinfo="skip",
                    marker={"symbol": "circle-open", "size": 18, "color": theme.VERMILION, "line_width": 2})  # fmt: skip
    fig.update_xaxes(**axis(x).layout(rows["cost"]))
    if len(rows):  # names stand where no front can be: right of their marks and above
        ends = np.array([rows["cost"].min(), rows["cost"].max()])
        low, high = np.log10(ends) if axis(x).log else ends
        fig.update_xaxes(range=[low - EDGE * (high - low or 1), high + NAMES * (high - low or 1)])
    return fig.update_yaxes(**axis("predicted_noise").layout(rows["noise"])).update_layout(showlegend=True)
