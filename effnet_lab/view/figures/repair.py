"""Figures about repairs: what each gains, and what equalization does to the channels of the kernels."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import CHANNEL_RANGES, REPAIR, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import file_label, hover, layer_axis

FLOAT = "float32"  # scheme of the row that a dotted line shows: what there is to win back


def plot_repair(gain: pd.DataFrame) -> go.Figure:
    """Top-1 with its interval after each set of repairs; a dotted line is the float network.

    Parameters
    ----------
    gain : DataFrame
        REPAIR frame, of one or several models; the hover box says the difference to the unrepaired file, and p.
    """
    require(gain, REPAIR, caller="plot_repair")
    fig = theme.new_figure("Top-1 accuracy after each repair")
    colors = theme.assign(gain["model"], theme.PALETTE)
    for model, rows in gain.groupby("model", sort=False):
        quantized = rows[rows["scheme"] != FLOAT]
        for scheme, group in quantized.groupby("scheme", sort=False):
            labels = [f"{file_label(model, scheme, '')}: {steps}" for steps in group["steps"]]
            fig.add_scatter(
                x=_wrapped(group["steps"]), y=group["top1"], mode="lines+markers", name=f"{model} {scheme}",
                line={"color": colors[model], "width": 1, "dash": "dot"}, marker={"size": 10, "color": colors[model]},
                error_y=error_bars(group, "top1", width=4),
                hovertext=hover(group, labels, ["n_images", "top1", "difference", "p_value"]),
                hovertemplate="%{hovertext}<extra></extra>",
            )  # fmt: skip
        for top1 in rows.loc[rows["scheme"] == FLOAT, "top1"]:
            fig.add_hline(y=top1, line={"dash": "dash", "width": 1, "color": colors[model]})
            fig.add_annotation(
                text=f"{FLOAT}<br>{axis('top1').write(top1)}", x=1.01, xref="paper", y=top1, xanchor="left",
                showarrow=False, font_color=colors[model], align="left",
            )  # fmt: skip
    steps = gain.loc[gain["scheme"] != FLOAT, "steps"]
    order = list(dict.fromkeys(_wrapped(steps)))
    fig.update_xaxes(title_text="repairs", type="category", categoryorder="array", categoryarray=order)
    return fig.update_yaxes(**axis("top1").layout(gain["top1"])).update_layout(showlegend=True, margin_r=70)


def plot_channel_ranges(ranges: pd.DataFrame) -> go.Figure:
    """How many of 8 bits one scale per tensor leaves to the channels of each kernel: a box per layer and set of repairs.

    Parameters
    ----------
    ranges : DataFrame
        CHANNEL_RANGES frame of one model, before and after repairs.
    """
    require(ranges, CHANNEL_RANGES, caller="plot_channel_ranges")
    models = ", ".join(ranges["model"].unique())
    fig = theme.new_figure(f"Bits left to the channels of each kernel with one scale per tensor, {models}")
    colors = theme.assign(ranges["steps"], theme.PALETTE)
    places, layers = layer_axis(ranges)
    for steps, rows in ranges.assign(place=places).groupby("steps", sort=False):
        name = "as it is" if steps == "none" else f"after {steps}"
        fig.add_box(
            x=rows["place"], y=rows["bits_left"], name=name, boxpoints=False,
            whiskerwidth=0.4, line={"color": colors[steps], "width": 1}, offsetgroup=steps,
            hovertemplate="%{x}<br>%{y:.2f} bits<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    fig.update_layout(boxmode="group", showlegend=True, boxgap=0.2, boxgroupgap=0.1)
    fig.update_xaxes(**layers)
    return fig.update_yaxes(title_text="bits of 8 for the channel's largest weight", range=[-0.2, 8.2])


def _wrapped(steps: pd.Series) -> list[str]:
    """One step below the other: a long chain would run into its neighbour."""
    return ["<br>+ ".join(name.split("+")) for name in steps]
