"""A network as the stack of stages that it is: one or two settings below each other."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import COUNTS, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis

ROW_PX = 150
_ROOM = 0.35  # between two stages, in layers
_STEP = 1.5  # from one network to the next, in heights of its tallest box: names and labels have room between


def plot_stages(counts: pd.DataFrame, held: pd.DataFrame | None = None, column: str = "madds") -> go.Figure:
    """A box per stage from left to right: as wide as it has layers, as high as its maps, the bluer the larger its share.

    Parameters
    ----------
    counts : DataFrame
        COUNTS frame of one network.
    held : DataFrame, optional
        That of another, drawn below on the same scales.
    column : str
        COUNTS column whose share a box shows: "madds", "params", "activation_bytes" or "weight_bytes".
    """
    tables = [require(table, COUNTS, caller="plot_stages") for table in (counts, held) if table is not None]
    words = axis(column).title.split(" (")[0]
    fig = theme.new_figure(f"The stack of stages; the bluer, the more of the {words}", 90 + ROW_PX * len(tables))
    tallest = max(float(table["out_side_px"].max()) for table in tables)
    for place, table in enumerate(tables):
        base, found = -place * _STEP, stages(table, column)
        largest = max(stage.share for stage in found) or 1.0
        widths = [stage.n_layers for stage in found]
        lefts = [sum(widths[:i]) + i * _ROOM for i in range(len(widths))]
        middles = [left + width / 2 for left, width in zip(lefts, widths, strict=True)]
        fig.add_bar(
            x=middles, y=[max(stage.side_px / tallest, 0.04) for stage in found], base=base, width=widths, showlegend=False,
            marker={"color": [theme.translucent(theme.BLUE, 0.15 + 0.85 * stage.share / largest) for stage in found],
                    "line": {"color": theme.BLUE, "width": 1}},
            name=str(table["model"].iloc[0]), hovertext=[_text(stage, words) for stage in found],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
        fig.add_scatter(
            x=[0, *middles], y=[base + 1.16, *([base - 0.02] * len(found))], mode="text", hoverinfo="skip", showlegend=False,
            text=[f"<b>{table['model'].iloc[0]}</b>", *map(_label, found)],
            textposition=["middle right", *(["bottom center"] * len(found))], textfont={"size": 11}, cliponaxis=False,
        )  # fmt: skip
    fig.update_layout(barmode="overlay", bargap=0, margin={"l": 40, "r": 16, "b": 40})
    bare = {"showgrid": False, "showline": False, "showticklabels": False, "ticks": ""}
    fig.update_xaxes(title_text="stages in forward order: blocks × output channels", **bare)
    return fig.update_yaxes(title_text="side of the maps", range=[-_STEP * (len(tables) - 1) - 0.3, 1.3], **bare)


@dataclass(kw_only=True, slots=True)
class StageBox:
    """Neighbouring blocks with maps of one size and as many channels."""

    first: str
    last: str
    side_px: int
    channels: int
    n_blocks: int = 0
    n_layers: int = 0
    share: float = 0.0  # of the whole network


def stages(counts: pd.DataFrame, column: str) -> list[StageBox]:
    """Stages of a COUNTS frame in forward order."""
    blocks = counts["layer"].str.extract(r"^((?:blocks_)?[a-z]*\d*)", expand=False)
    total = float(counts[column].sum()) or 1.0
    found: list[StageBox] = []
    for name, rows in counts.groupby(blocks, sort=False):
        side, channels = int(rows["out_side_px"].iloc[-1]), int(rows["out_channels"].iloc[-1])
        if not found or (found[-1].side_px, found[-1].channels) != (side, channels):
            found.append(StageBox(first=str(name), last=str(name), side_px=side, channels=channels))
        stage = found[-1]
        stage.last, stage.n_blocks, stage.n_layers = str(name), stage.n_blocks + 1, stage.n_layers + len(rows)
        stage.share += float(rows[column].sum()) / total
    return found


def _label(stage: StageBox) -> str:
    """Short where the box is narrow."""
    return f"{stage.n_blocks}× {stage.channels}" if stage.n_blocks > 1 else str(stage.channels)


def _text(stage: StageBox, words: str) -> str:
    name = stage.first if stage.first == stage.last else f"{stage.first} to {stage.last}"
    return (
        f"<b>{name}</b><br>{stage.n_blocks} blocks, {stage.n_layers} layers<br>{stage.channels} channels, "
        f"{stage.side_px} x {stage.side_px} px<br>{stage.share:.1%} of the {words}"
    )
