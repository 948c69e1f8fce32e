"""Figures about one network's answers: which classes it takes for which, and how honest its confidence is."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import CONFUSION, MODEL_FILE, RELIABILITY, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import file_label, hover

MOST_WRITTEN = 20  # classes up to which every cell bears its number
PALE = [
    [0, "#F7FBFF"],
    [1, "#8FBFE8"],
]  # behind those numbers: light enough everywhere for the dark ink that plotly chooses


def plot_confusion(confusion: pd.DataFrame) -> go.Figure:
    """True classes down, predicted ones across, each row in shares of its images; the diagonal is what is right.

    Parameters
    ----------
    confusion : DataFrame
        CONFUSION frame of one file and data set.
    """
    require(confusion, CONFUSION, caller="plot_confusion")
    counts = confusion.pivot_table("n_images", "label", "predicted", fill_value=0, aggfunc="sum")
    order = list(dict.fromkeys([*confusion["label"], *confusion["predicted"]]))
    counts = counts.reindex(index=[c for c in order if c in counts.index], columns=[c for c in order if c in counts])
    shares = counts.div(counts.sum(axis=1), axis=0)
    fig = theme.new_figure(f"What {_label(confusion)} takes for what", max(theme.HEIGHT_PX, 26 * len(counts)))
    written = counts.astype(int).astype(str).where(counts > 0, "") if len(counts) <= MOST_WRITTEN else None
    fig.add_heatmap(
        z=shares, x=[str(c) for c in counts.columns], y=[str(c) for c in counts.index], zmin=0, zmax=1,
        colorscale="Blues" if written is None else PALE,
        text=None if written is None else written.to_numpy(), texttemplate=None if written is None else "%{text}",
        customdata=counts, colorbar={"title": {"text": "share of the true class"}, "tickformat": "~%"},
        hovertemplate="%{y} taken for %{x}<br>%{customdata:,d} images, %{z:.1%} of the class<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(title_text="predicted", type="category")
    return fig.update_yaxes(title_text="true", type="category", autorange="reversed")


def plot_reliability(reliability: pd.DataFrame) -> go.Figure:
    """Top-1 of the images that a network was equally sure of, with its interval; honest confidence lies on the diagonal.

    Parameters
    ----------
    reliability : DataFrame
        RELIABILITY frame of one or more files.
    """
    require(reliability, RELIABILITY, caller="plot_reliability")
    fig = theme.new_figure("Is the confidence honest?")
    fig.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="honest", hoverinfo="skip", line={"color": theme.RULE, "dash": "dash"}
    )
    groups = list(reliability[reliability["n_images"] > 0].groupby(list(MODEL_FILE), sort=False))
    colors = theme.assign([key for key, _ in groups], theme.PALETTE)
    for key, rows in groups:
        fig.add_scatter(
            x=rows["confidence"], y=rows["top1"], mode="lines+markers", name=file_label(*key), line_color=colors[key],
            hovertext=hover(rows, [file_label(*key)] * len(rows), ("n_images", "confidence", "top1")),
            hovertemplate="%{hovertext}<extra></extra>",
            error_y=error_bars(rows, "top1"),
        )  # fmt: skip
    fig.update_layout(showlegend=True)
    fig.update_xaxes(title_text="probability of the first class", tickformat="~%", range=[0, 1.02])
    return fig.update_yaxes(title_text=axis("top1").title, tickformat="~%", range=[0, 1.02])


def _label(rows: pd.DataFrame) -> str:
    return file_label(*rows[list(MODEL_FILE)].iloc[0])
