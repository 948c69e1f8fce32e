"""Figures about training."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import HISTORY, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis
from effnet_lab.view.text import hover


def plot_history(history: pd.DataFrame) -> go.Figure:
    """Loss above, top-1 below, per epoch; one colour per model, training dotted and validation solid.

    Parameters
    ----------
    history : DataFrame
        HISTORY frame.
    """
    require(history, HISTORY, caller="plot_history")
    fig = theme.new_figure("Training", height=theme.HEIGHT_PX + 60)
    colors = theme.assign(history["model"], theme.PALETTE)
    for model, rows in history.groupby("model", sort=False):
        boxes = hover(rows, [f"{model}, epoch {epoch}" for epoch in rows["epoch"]], HISTORY.values)
        for column, panel, dash in (
            ("loss", "y2", "dot"),
            ("train_top1", "y", "dot"),
            ("validation_top1", "y", "solid"),
        ):
            fig.add_scatter(
                x=rows["epoch"], y=rows[column], yaxis=panel, mode="lines", name=model, legendgroup=model,
                showlegend=column == "validation_top1", line={"color": colors[model], "dash": dash, "width": 2},
                hovertext=boxes, hovertemplate="%{hovertext}<extra></extra>",
            )  # fmt: skip
    fig.update_layout(
        yaxis=axis("top1").layout() | {"domain": [0, 0.56], "title_text": "top-1 accuracy<br>dotted: training"},
        yaxis2=axis("loss").layout() | {"domain": [0.64, 1], "anchor": "x", "title_text": "training loss<br>(nats)"},
        showlegend=True,
    )
    return fig.update_xaxes(
        title_text=axis("epoch").title, tickformat=",d", dtick=1 if history["epoch"].max() <= 20 else None
    )
