"""Figure about published numbers: how far each lies from ours, and what the ledger says of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import CLAIMS, require
from effnet_lab.view import theme
from effnet_lab.view.axes import axis
from effnet_lab.view.text import records

VERDICTS = {
    "reproduced": (theme.GREEN, "circle"), "within our tolerance": (theme.GREEN, "circle-open"),
    "copied": (theme.GREY, "square"), "confirmed elsewhere": (theme.GREY, "square-open"),
    "explained difference": (theme.BLUE, "diamond"), "contradicted": (theme.VERMILION, "x"),
}  # fmt: skip
LINE = 62  # characters of an explanation per line of its hover box


def plot_claims(claims: pd.DataFrame) -> go.Figure:
    """Our number over the published one, a mark per claim that has another beside it; colour and symbol are the verdict.

    Parameters
    ----------
    claims : DataFrame
        CLAIMS frame.
    """
    require(claims, CLAIMS, caller="plot_claims")
    rows = claims[claims["ours"].notna() & (claims["value"] > 0) & claims["verdict"].isin(VERDICTS)]
    quantities = list(dict.fromkeys(rows["quantity"]))[::-1]
    fig = theme.new_figure(f"{len(rows)} of {len(claims)} published numbers beside another", 120 + 34 * len(quantities))
    fig.add_vline(x=1, line={"width": 1, "color": theme.RULE})
    for verdict, (color, symbol) in VERDICTS.items():
        mine = rows[rows["verdict"] == verdict]
        fig.add_scatter(
            x=mine["ours"] / mine["value"], y=mine["quantity"].str.replace("_", " "), mode="markers",
            name=f"{verdict} ({len(mine)})",
            marker={"color": color, "symbol": symbol, "size": 10, "opacity": 0.8, "line": {"width": 1, "color": "white"}},
            hovertext=[_box(row) for row in records(mine)], hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=True)
    fig.update_yaxes(categoryorder="array", categoryarray=[name.replace("_", " ") for name in quantities])
    return fig.update_xaxes(title_text="ours / published", tickformat=".2f")


def _box(row: dict[str, Any]) -> str:
    scale = axis(row["quantity"])
    lines = [
        f"<b>{row['model']} {row['quantity']}</b>",
        row["source"],
        f"published: {scale.write(row['value'])} {row['unit']}",
    ]
    lines += [f"ours: {scale.write(row['ours'])} ({row['rule']})", f"<b>{row['verdict']}</b>"]
    words, line = row["explanation"].split(), ""
    for word in words:
        if len(line) + len(word) > LINE:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "<br>".join([*lines, line])
