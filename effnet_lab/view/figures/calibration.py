"""Figures about calibration: how ranges and accuracy depend on how many images were used, which, and by which rule."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import CALIBRATION_ACCURACY, CALIBRATION_RANGES, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import hover, short_layer

BASE = "minmax"  # the rule of the draws
_BAND = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
_COUNTS = ("n_images", "top1", "difference", "p_value")


def plot_calibration_ranges(ranges: pd.DataFrame) -> go.Figure:
    """Width of the median layer's and of the worst layer's range by the number of images; bands span the draws.

    Parameters
    ----------
    ranges : DataFrame
        CALIBRATION_RANGES frame of one model. The worst layer is the one whose range is narrowest with the fewest images.
    """
    require(ranges, CALIBRATION_RANGES, caller="plot_calibration_ranges")
    rows = ranges[(ranges["method"] == BASE) & ranges["relative_width"].notna()]
    fig = theme.new_figure(f"Width of the calibrated ranges, {', '.join(rows['model'].unique())}")
    fewest = rows[rows["n_calibration"] == rows["n_calibration"].min()]
    worst = fewest.groupby("layer")["relative_width"].median().idxmin()
    key = ["n_calibration", "draw"]
    lines = {
        "median layer": rows.groupby(key)["relative_width"].median(),
        f"worst layer: {short_layer(worst)}": rows[rows["layer"] == worst].set_index(key)["relative_width"],
    }
    for (name, widths), color in zip(lines.items(), theme.PALETTE, strict=False):
        spread = widths.groupby("n_calibration").agg(["min", "median", "max"])
        fig.add_scatter(x=spread.index, y=spread["min"], **_BAND)
        fig.add_scatter(
            x=spread.index, y=spread["max"], fill="tonexty", fillcolor=theme.translucent(color, 0.18), **_BAND
        )
        fig.add_scatter(
            x=spread.index, y=spread["median"], mode="lines+markers", name=name, line_color=color, customdata=spread,
            hovertemplate="%{x} images: %{y:.1%} (%{customdata[0]:.1%} to %{customdata[2]:.1%})<extra>" + name + "</extra>",
        )  # fmt: skip
    fig.add_hline(y=1, line={"dash": "dot", "width": 1, "color": theme.RULE})
    fig.update_yaxes(title_text="width / width with all images", tickformat="~%", rangemode="tozero")
    return fig.update_xaxes(**_images_axis(rows)).update_layout(showlegend=True)


def plot_calibration_accuracy(accuracy: pd.DataFrame) -> go.Figure:
    """Top-1 of every draw with its interval, by the number of calibration images; the dotted line is all images.

    Parameters
    ----------
    accuracy : DataFrame
        CALIBRATION_ACCURACY frame of one model.
    """
    require(accuracy, CALIBRATION_ACCURACY, caller="plot_calibration_accuracy")
    rows = accuracy[accuracy["method"] == BASE]
    whole = rows[rows["drawn"] == "all"]
    n = ", ".join(f"{n:,}" for n in rows["n_images"].unique())
    fig = theme.new_figure(f"Top-1 by calibration images, {', '.join(rows['model'].unique())}, on {n} images")
    colors = theme.assign(("disjoint", "bootstrap", "all"), theme.PALETTE)
    for drawn, part in rows.sort_values(["n_calibration", "draw"]).groupby("drawn", sort=False):
        middle = (part.groupby("n_calibration")["draw"].transform("max")) / 2
        fig.add_scatter(  # the draws of one size stand beside each other
            x=part["n_calibration"] * 1.06 ** (part["draw"] - middle), y=part["top1"], mode="markers", name=_WORDS[str(drawn)],
            marker={"color": colors[str(drawn)], "size": 7}, error_y=error_bars(part, "top1"),
            hovertext=hover(part, [f"{size:,} images, draw {draw}" for size, draw in
                                   zip(part["n_calibration"], part["draw"], strict=True)], _COUNTS),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    for top1 in whole["top1"]:
        fig.add_hline(y=top1, line={"dash": "dot", "width": 1, "color": theme.RULE})
    fig.update_yaxes(**axis("top1").layout(rows["top1"]))
    return fig.update_xaxes(**_images_axis(rows)).update_layout(showlegend=True)


def plot_calibration_methods(accuracy: pd.DataFrame) -> go.Figure:
    """Top-1 of every rule for the ranges, all calibration images, with its interval; the dotted line is min-max.

    Parameters
    ----------
    accuracy : DataFrame
        CALIBRATION_ACCURACY frame, of one or several models.
    """
    require(accuracy, CALIBRATION_ACCURACY, caller="plot_calibration_methods")
    rows = accuracy[accuracy["drawn"] == "all"]
    fig = theme.new_figure("Top-1 by how ranges follow from the images", height=theme.DETAIL_HEIGHT_PX)
    colors = theme.assign(rows["model"], theme.PALETTE)
    for model, part in rows.groupby("model", sort=False):
        titles = [
            f"{model}, {method}, {n:,} images" for method, n in zip(part["method"], part["n_calibration"], strict=True)
        ]
        fig.add_scatter(
            x=part["top1"], y=[method.replace("_", " ") for method in part["method"]], mode="markers", name=model,
            marker={"color": colors[model], "size": 10}, error_x=error_bars(part, "top1"), hovertext=hover(part, titles, _COUNTS),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
        for top1 in part.loc[part["method"] == BASE, "top1"]:
            fig.add_vline(x=top1, line={"dash": "dot", "width": 1, "color": colors[model]})
    fig.update_yaxes(title_text="rule", autorange="reversed", type="category")
    return fig.update_xaxes(**axis("top1").layout(rows["top1"])).update_layout(showlegend=True)


_WORDS = {"disjoint": "disjoint images", "bootstrap": "drawn with replacement", "all": "all images"}


def _images_axis(rows: pd.DataFrame) -> dict[str, object]:
    """Every size that was tried is a tick."""
    sizes = sorted(rows["n_calibration"].unique())
    return {"title_text": "calibration images", "type": "log", "tickvals": sizes, "ticktext": [f"{n:,}" for n in sizes]}
