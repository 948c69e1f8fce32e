"""Figure about where the time of one inference goes."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import MODEL_FILE, PROFILE, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.text import file_label, hover


def plot_profile(profile: pd.DataFrame) -> go.Figure:
    """Milliseconds of every operator in the order they run, coloured by the kind of layer; grey ones stand for none.

    Parameters
    ----------
    profile : DataFrame
        PROFILE frame of one file.
    """
    require(profile, PROFILE, caller="plot_profile")
    files = profile[list(MODEL_FILE)].drop_duplicates()
    if len(files) != 1:
        raise UserError(f"plot_profile draws one file. Got {len(files)} of them. Select the rows of one.")
    total = profile["uninterrupted_ms"].sum()
    fig = theme.new_figure(f"Where the {total:.3g} ms of {file_label(*files.iloc[0])} go")
    kinds = profile["op"].where(profile["op"] != "", "added by the runtime")
    for kind, rows in profile.groupby(kinds, sort=False):
        color = theme.op_color(rows["op"].iloc[0])
        share = rows["share"].sum()
        fig.add_bar(
            x=rows["run_index"], y=rows["uninterrupted_ms"], name=f"{kind} {share:.0%}", marker_color=color,
            hovertext=hover(rows, rows["layer"], ("operator", "delegate", "uninterrupted_ms", "share")),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=True, bargap=0.1, margin_t=theme.BARE_TOP_PX, legend=theme.BESIDE | {"y": 1})
    fig.update_xaxes(title_text="operator, in the order they run")
    return fig.update_yaxes(title_text="time of one inference (ms, this host)")
