"""Figures about one network in every format: what a format costs, and who computes its ops."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effnet_lab.frames import ACCURACY, DELEGATION, LATENCY, MEMORY, MODEL_FILE, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import hover

ROW_PX = 26


def plot_formats(accuracy: pd.DataFrame, latency: pd.DataFrame, memory: pd.DataFrame) -> go.Figure:
    """A row per file: top-1 with its interval, file size, and CPU time against the first file, side by side.

    Parameters
    ----------
    accuracy, latency, memory : DataFrame
        ACCURACY, LATENCY and MEMORY frames of the same files.
    """
    for table, frame in ((accuracy, ACCURACY), (latency, LATENCY), (memory, MEMORY)):
        require(table, frame, caller="plot_formats")
    keys = list(MODEL_FILE)
    rows = accuracy.merge(latency, on=keys, suffixes=("", "_latency")).merge(memory, on=keys)[::-1]
    names = rows["scheme"] + "<br>" + rows["backend"]
    colors = rows["backend"].map(theme.assign(accuracy["backend"], theme.PALETTE))
    panels = ("top1", "size_bytes", "relative_p50")
    fig = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.04)
    boxes = hover(
        rows, names.str.replace("<br>", ", "), ("top1", "n_images", "size_bytes", "p50_ms", "relative_p50", "delegate")
    )
    for column, name in enumerate(panels, start=1):
        fig.add_scatter(
            x=rows[name], y=names, mode="markers", marker={"size": 10, "color": colors}, row=1, col=column, showlegend=False,
            hovertext=boxes, hovertemplate="%{hovertext}<extra></extra>", error_x=error_bars(rows, name, theme.GREY),
        )  # fmt: skip
        fig.update_xaxes(**axis(name).layout(rows[name]), row=1, col=column, nticks=5)
    fig.update_layout(
        template=theme.TEMPLATE, title_text=f"{accuracy['model'].iloc[0]} in {len(rows)} files",
        height=130 + 1.5 * ROW_PX * len(rows), margin_t=theme.BARE_TOP_PX,
    )  # fmt: skip
    return fig


def plot_delegates(delegation: pd.DataFrame) -> go.Figure:
    """A row per file, a mark per op in forward order: filled where the delegate computes it, open where it does not."""
    require(delegation, DELEGATION, caller="plot_delegates")
    names = delegation["scheme"] + "<br>" + delegation["backend"]
    order = list(dict.fromkeys(names))[::-1]
    fig = theme.new_figure("Which ops the delegate takes", 130 + round(1.5 * ROW_PX * len(order)))
    kinds = theme.assign(["XNNPACK", *(name for name in delegation["delegate"].unique() if name)], theme.PALETTE)
    for name, color in (kinds | {"": theme.VERMILION}).items():
        here = delegation["delegate"] == name
        rows = delegation[here]
        label = name or "the interpreter's own kernel"
        fig.add_scatter(
            x=rows["layer_index"], y=names[here], mode="markers", name=f"{label} ({len(rows):,})",
            marker={"symbol": "square" if name else "square-open", "size": 8, "color": color, "line": {"width": 1.5}},
            hovertext=[f"<b>{r.layer}</b><br>{r.op}, {r.type}<br>{label}" for r in rows.itertuples()],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=True)
    fig.update_yaxes(categoryorder="array", categoryarray=order)
    return fig.update_xaxes(title_text="op, forward order")
