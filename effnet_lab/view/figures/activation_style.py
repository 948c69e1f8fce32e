"""Figure about what Lite took out of EfficientNet."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import ACTIVATION_STYLE, Column, require
from effnet_lab.view import theme
from effnet_lab.view.axes import Axis, axis, error_bars
from effnet_lab.view.text import hover

PUBLISHED_RANGE = (-168.0, 204.0)  # of EfficientNet with swish. Source: TensorFlow blog, EfficientNet-Lite, March 2020
_WIDTH = Axis(
    Column("width", "number", "width of the widest activation range", "real units", log=True, digits=".3g", ticks="~g")
)
_GRANULARITY = {"channel": ("solid", "circle"), "tensor": ("dot", "circle-open")}


def plot_activation_style(styles: pd.DataFrame) -> go.Figure:
    """Int8 top-1 against the widest activation range, one colour per style; the float top-1 stands on the left edge.

    Parameters
    ----------
    styles : DataFrame
        ACTIVATION_STYLE frame; dotted are per-tensor weights.
    """
    require(styles, ACTIVATION_STYLE, caller="plot_activation_style")
    fig = theme.new_figure(
        "Int8 accuracy as activations get wider (dotted: weights per tensor)", height=theme.HEIGHT_PX + 40
    )
    rows = styles.assign(width=styles["range_max"] - styles["range_min"], style=_names(styles))
    colors = theme.assign(rows["style"], theme.PALETTE)
    left = 0.8 * rows["width"].min()
    for (style, granularity), part in rows.sort_values("width").groupby(["style", "granularity"], sort=False):
        dash, symbol = _GRANULARITY[str(granularity)]
        fig.add_scatter(
            x=part["width"], y=part["int8_top1"], mode="lines+markers", name=style, legendgroup=style,
            showlegend=granularity == "channel", line={"color": colors[style], "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 8},
            error_y=error_bars(part, "int8_top1"),
            hovertext=hover(part, [f"{style}, weights per {granularity}"] * len(part), ACTIVATION_STYLE.values),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
        fig.add_scatter(
            x=[left], y=part["float_top1"].head(1), mode="markers", showlegend=False, legendgroup=style,
            marker={"symbol": "line-ew", "size": 16, "line": {"width": 3, "color": colors[style]}},
            hovertemplate=f"{style}, float: %{{y:.2%}}<extra></extra>",
        )  # fmt: skip
    low, high = PUBLISHED_RANGE
    fig.add_vline(x=high - low, line_dash="dash", line_color=theme.RULE)
    fig.add_annotation(
        x=math.log10(high - low), y=0.99, yref="paper", xanchor="right", showarrow=False,
        text=f"published for swish: {low:g} to {high:g} ",
    )  # fmt: skip
    fig.update_xaxes(**_WIDTH.layout(rows["width"]))
    return fig.update_yaxes(**axis("top1").layout() | {"title_text": "top-1 accuracy, int8 (bars on the left: float)"})


def _names(styles: pd.DataFrame) -> list[str]:
    gate = {True: "squeeze-and-excitation", False: "no gates"}
    return [
        f"{activation}, {gate[bool(se)]}"
        for activation, se in zip(styles["activation"], styles["squeeze_excite"], strict=True)
    ]
