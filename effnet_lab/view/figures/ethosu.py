"""Figure about an NPU: what each op takes there, and what it leaves to the CPU."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import ETHOSU_LAYERS, MODEL_FILE, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.text import file_label, records, short_layer


def plot_ethosu(layers: pd.DataFrame) -> go.Figure:
    """Estimated milliseconds of every op in the order they run; ops of the CPU have no estimate and stand as marks.

    Parameters
    ----------
    layers : DataFrame
        ETHOSU_LAYERS frame of one file and accelerator.
    """
    require(layers, ETHOSU_LAYERS, caller="plot_ethosu")
    files = layers[[*MODEL_FILE, "accelerator"]].drop_duplicates()
    if len(files) != 1:
        raise UserError(f"plot_ethosu draws one file on one accelerator. Got {len(files)}. Select the rows of one.")
    *file, accelerator = files.iloc[0]
    on_npu = layers["runs_on"] == "NPU"
    npu, cpu = layers[on_npu], layers[~on_npu]
    total = f"{npu['estimated_ms'].sum():.3g} ms estimated on the NPU"
    fig = theme.new_figure(f"{file_label(*file)} on {accelerator}: {total if len(npu) else 'nothing runs on the NPU'}")
    fig.add_bar(
        x=npu["run_index"], y=npu["estimated_ms"], name=f"NPU: {len(npu)} ops", marker_color=theme.BLUE,
        hovertext=[_npu(row) for row in records(npu)], hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        x=cpu["run_index"], y=[0.0] * len(cpu), name=f"CPU: {len(cpu)} ops, no estimate", mode="markers",
        marker={"color": theme.VERMILION, "symbol": "x", "size": 8},
        hovertext=[
            f"<b>{escape(short_layer(row['layer']))}</b><br>{row['op']}<br>{escape(row['reason'])}" for row in records(cpu)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(showlegend=True, bargap=0.1)
    fig.update_xaxes(title_text="op of the compiled network, in the order they run")
    return fig.update_yaxes(title_text="estimated time (ms)", rangemode="tozero")


def _npu(row: dict[str, Any]) -> str:
    bound = max(
        ("computing", row["npu_cycles"]), ("SRAM", row["sram_cycles"]), ("DRAM", row["dram_cycles"]), key=lambda x: x[1]
    )[0]
    return (
        f"<b>{escape(short_layer(row['layer']))}</b><br>{row['npu_op']}<br>{row['estimated_ms']:.3g} ms, {row['share']:.1%}<br>"
        f"{row['madds']:,} MAdds, {row['utilisation']:.0%} of the NPU's<br>slowest: {bound}"
    )
