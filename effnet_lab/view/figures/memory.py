"""Figures about the arena of a microcontroller: who holds memory when."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import ARENA, HIGH_WATER, MODEL_FILE, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.text import file_label, records, short_layer

KIB = 1024
FAR = 2  # a limit beyond this many times the arena would squeeze the figure
_CHARACTER = 0.02  # height of a letter of an upright label, as a share of the arena
_LABELLED_OPS = 0.04
_INKS = {
    True: "white",
    False: "#111111",
}  # of a name: the blue box changes with the theme of the page, and so does white


def plot_arena(arena: pd.DataFrame, high_water: pd.DataFrame, *, ram_bytes: int | None = None) -> go.Figure:
    """Every tensor as a box: the ops that it is kept for across, the bytes of the arena that it takes upwards.

    Parameters
    ----------
    arena, high_water : DataFrame
        ARENA and HIGH_WATER frame of one file. What is alive in the fullest op is blue.
    ram_bytes : int, optional
        What a board has; a dashed line, where it is within reach of the arena.
    """
    require(arena, ARENA, caller="plot_arena")
    require(high_water, HIGH_WATER, caller="plot_arena")
    files = pd.concat([arena, high_water])[list(MODEL_FILE)].drop_duplicates()
    if len(files) != 1:
        raise UserError(f"plot_arena draws one file. Got {len(files)} of them. Select the rows of one.")
    peak = high_water.sort_values("alive_bytes", ascending=False, kind="stable").iloc[0]
    top = (arena["offset_bytes"] + arena["size_bytes"]).max()
    fig = theme.new_figure(
        f"{file_label(*files.iloc[0])}: {top / KIB:,.1f} KiB of activations, fullest in {short_layer(peak['layer'])}"
    )
    fullest = (arena["first_op"] <= peak["layer_index"]) & (arena["last_op"] >= peak["layer_index"])
    for rows, name, color in (
        (arena[fullest], "alive in the fullest op", theme.BLUE),
        (arena[~fullest], "other tensors", theme.SKY),
    ):
        fig.add_bar(
            x=(rows["first_op"] + rows["last_op"]) / 2, width=rows["last_op"] - rows["first_op"] + 1,
            base=rows["offset_bytes"] / KIB, y=rows["size_bytes"] / KIB, name=name,
            marker={"color": color, "line": {"color": "white", "width": 1}},
            hovertext=[_box(row) for row in records(rows)], hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.add_scatter(
        x=high_water["layer_index"], y=high_water["alive_bytes"] / KIB, name="sum of what is alive", mode="lines",
        line={"color": theme.INK, "width": 1.5, "shape": "hvh"}, hoverinfo="skip",
    )  # fmt: skip
    _name_boxes(fig, arena.assign(ink=fullest.map(_INKS)), len(high_water), top)
    if ram_bytes is not None and ram_bytes <= FAR * top:
        fig.add_hline(
            y=ram_bytes / KIB, line={"dash": "dash", "color": theme.VERMILION, "width": 1.5},
            annotation_text=f"RAM of the board: {ram_bytes / KIB:,.0f} KiB", annotation_position="top right",
        )  # fmt: skip
    fig.update_layout(barmode="overlay", bargap=0)
    fig.update_xaxes(title_text="op, in the order they run")
    return fig.update_yaxes(title_text="place in the arena (KiB)", rangemode="tozero")


def _name_boxes(fig: go.Figure, arena: pd.DataFrame, n_ops: int, top: float) -> None:
    """Names of the layers in the boxes that have room for them."""
    for row in records(arena):
        long_enough = row["last_op"] - row["first_op"] + 1 >= _LABELLED_OPS * n_ops
        text = short_layer(row["layer"], 18)
        if long_enough and row["size_bytes"] >= _CHARACTER * len(text) * top:
            fig.add_annotation(
                x=(row['first_op'] + row['last_op']) / 2, y=(row['offset_bytes'] + row['size_bytes'] / 2) / KIB,
                text=escape(text), showarrow=False, textangle=-90, font_color=row["ink"], font_size=10,
            )  # fmt: skip


def _box(row: dict[str, Any]) -> str:
    return (
        f"<b>{escape(short_layer(row['layer']))}</b><br>{row['size_bytes']:,} bytes from {row['offset_bytes']:,}<br>"
        f"kept from op {row['first_op']} to op {row['last_op']}"
    )
