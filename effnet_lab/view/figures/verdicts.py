"""Figures about verdicts: along the network, and what the verdict on one layer rests on."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import EVIDENCE, MODEL_FILE, VERDICT_NAMES, VERDICTS, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.axes import axis
from effnet_lab.view.text import file_label, short_layer

LOOK = {  # colour and symbol: nobody has to tell eight colours apart
    "healthy": (theme.GREEN, "circle"),
    "defective": (theme.VERMILION, "square"),
    "clipped": (theme.VERMILION, "triangle-down"),
    "wasted range": (theme.SKY, "triangle-up"),
    "outlier channel": (theme.PURPLE, "diamond"),
    "dead": (theme.INK, "x"),
    "bimodal": (theme.ORANGE, "bowtie"),
    "unlike residual": (theme.BLUE, "cross"),
    "coarse": (theme.ORANGE, "triangle-up-open"),
    "upstream": (theme.GREY, "circle-open"),
}
MOST_NAMED = 4
_BY_CHANNEL = ("outlier channel", "dead")


def plot_verdicts(verdicts: pd.DataFrame) -> go.Figure:
    """Accumulated error along the network, each layer marked with its verdict; the sentence is in the hover box.

    Parameters
    ----------
    verdicts : DataFrame
        VERDICTS frame of one (model, scheme, backend).
    """
    rows = _one_file(require(verdicts, VERDICTS, caller="plot_verdicts"), "plot_verdicts").sort_values("layer_index")
    sick = ~rows["verdict"].isin(["healthy", "upstream"])
    label = file_label(*rows[list(MODEL_FILE)].iloc[0])
    fig = theme.new_figure(f"What is wrong with {label}: {_count(int(sick.sum()), 'layer')} of {len(rows)} at fault")
    for column, name, dash in (("sqnr_local_db", "own error", "dot"), ("sqnr_accumulated_db", "accumulated", "solid")):
        fig.add_scatter(
            x=rows["layer_index"], y=rows[column], mode="lines", name=name, hoverinfo="skip",
            line={"width": 1.2, "dash": dash, "color": theme.RULE},
        )  # fmt: skip
    for verdict in VERDICT_NAMES:
        color, symbol = LOOK[verdict]
        chosen = rows[rows["verdict"] == verdict]
        if len(chosen):
            fig.add_scatter(
                x=chosen["layer_index"], y=chosen["sqnr_accumulated_db"], mode="markers",
                name=f"{verdict} ({len(chosen)})", marker={"color": color, "symbol": symbol, "size": 9},
                hovertext=[_words(row) for _, row in chosen.iterrows()], hovertemplate="%{hovertext}<extra></extra>",
            )  # fmt: skip
    _name_gravest(fig, rows, rows[sick].nlargest(MOST_NAMED, "bits_lost"))
    fig.update_xaxes(title_text="layer, forward order")
    fig.update_yaxes(title_text="SQNR (dB)")
    return fig.update_layout(legend=theme.BESIDE | {"y": 1})


def _name_gravest(fig: go.Figure, rows: pd.DataFrame, named: pd.DataFrame) -> None:
    """Names above all values, each on a line of its own and reaching inwards, so that none is printed over another."""
    values = rows[["sqnr_local_db", "sqnr_accumulated_db"]].astype(float).to_numpy().ravel()
    values = values[np.isfinite(values)]
    if named.empty or not values.size:
        return
    middle, lowest, highest = rows["layer_index"].mean(), float(values.min()), float(values.max())
    step = 0.08 * ((highest - lowest) or 1.0)
    inward = named.assign(left=named["layer_index"] <= middle, off=(named["layer_index"] - middle).abs())
    lines = {index: i for i, index in enumerate(inward.sort_values(["left", "off"]).index)}
    for index, row in inward.iterrows():
        fig.add_annotation(
            x=row["layer_index"], y=row["sqnr_accumulated_db"], text=f"{short_layer(row['layer'])}: {row['verdict']}",
            showarrow=True, ax=row["layer_index"], axref="x", ay=highest + step * (1 + lines[index]), ayref="y",
            xanchor="left" if row["left"] else "right", bgcolor="rgba(255,255,255,0.85)",
            font={"color": LOOK[row["verdict"]][0]},
        )  # fmt: skip
    fig.update_yaxes(range=[lowest - step, highest + step * (1.6 + len(named))])


def plot_evidence(evidence: pd.DataFrame, verdicts: pd.DataFrame, layer: str) -> go.Figure:
    """What the verdict on one layer rests on: its values on the grid, the ranges of its channels, or of its inputs.

    Parameters
    ----------
    evidence : DataFrame
        EVIDENCE frame of one file.
    verdicts : DataFrame
        VERDICTS frame of the same file.
    layer : str
        A layer of both.
    """
    require(evidence, EVIDENCE, caller="plot_evidence")
    rows = _one_file(require(verdicts, VERDICTS, caller="plot_evidence"), "plot_evidence")
    rows = rows[rows["layer"] == layer]
    if rows.empty:
        raise UserError(f"There is no verdict on {layer!r}. Layers: {', '.join(verdicts['layer'])}.")
    verdict = rows.iloc[0]
    fig = theme.new_figure(f"{short_layer(layer)}: {verdict['verdict']}", theme.DETAIL_HEIGHT_PX)
    parts = {str(part): rows for part, rows in evidence[evidence["layer"] == layer].groupby("part")}
    if verdict["verdict"] == "unlike residual":
        return _draw_inputs(fig, parts)
    if verdict["verdict"] in _BY_CHANNEL or "values" not in parts:
        weights = "weights" in verdict["evidence_unit"]
        return _draw_channels(fig, parts["kernel" if weights else "channel"], parts.get("grid"), weights)
    return _draw_values(fig, parts)


def _draw_values(fig: go.Figure, parts: dict[str, pd.DataFrame]) -> go.Figure:
    """Float values counted on the grid, those cut off in the outermost bins; shaded is what the codes do not reach."""
    values, grid, channels = parts["values"], parts["grid"].iloc[0], parts["channel"]
    fig.add_bar(
        x=(values["low"] + values["high"]) / 2, y=values["count"], width=values["high"] - values["low"], name="float values",
        marker={"color": theme.SKY, "line": {"width": 0}}, hovertemplate="%{x:.4g}<br>count: %{y:,d}<extra></extra>",
    )  # fmt: skip
    low, high = float(channels["low"].min()), float(channels["high"].max())
    for start, stop in ((low, grid["low"]), (grid["high"], high)):
        if start < stop:
            fig.add_vrect(
                x0=start, x1=stop, fillcolor=theme.VERMILION, opacity=0.18, line_width=0, layer="below",
                annotation={"text": "values cut off", "font": {"color": theme.VERMILION}}, annotation_position="bottom left",
            )  # fmt: skip
    for end, word in ((grid["low"], "lowest code"), (grid["high"], "highest code")):
        fig.add_vline(
            x=float(end), line={"dash": "dash", "width": 1, "color": theme.INK},
            annotation={"text": word, "font": {"size": 11}},
        )  # fmt: skip
    fig.update_xaxes(title_text="activation (real value)")
    return fig.update_yaxes(title_text="values (count)", type="log")


def _draw_channels(fig: go.Figure, ranges: pd.DataFrame, grid: pd.DataFrame | None, weights: bool) -> go.Figure:
    """One bar from the lowest to the highest value of each channel."""
    fig.add_bar(
        x=ranges["position"], base=ranges["low"], y=ranges["high"] - ranges["low"], marker={"color": theme.PURPLE},
        customdata=ranges[["low", "high"]],
        hovertemplate="channel %{x}: %{customdata[0]:.4g} … %{customdata[1]:.4g}<extra></extra>",
    )  # fmt: skip
    if grid is not None and not weights:
        for end in (grid["low"].iloc[0], grid["high"].iloc[0]):
            fig.add_hline(y=float(end), line={"dash": "dash", "width": 1, "color": theme.INK})
    fig.update_xaxes(title_text="output channel")
    return fig.update_yaxes(title_text="range of the weights" if weights else "range (dashed: the codes)")


def _draw_inputs(fig: go.Figure, parts: dict[str, pd.DataFrame]) -> go.Figure:
    """Ranges of both inputs and of the sum below each other."""
    inputs, channels = parts["input"], parts["channel"]
    names = [*(f"input {i + 1}" for i in inputs["position"]), "sum"]
    low, high = [*inputs["low"], channels["low"].min()], [*inputs["high"], channels["high"].max()]
    fig.add_bar(
        y=names, base=low, x=[b - a for a, b in zip(low, high, strict=True)], orientation="h", marker={"color": theme.BLUE},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="%{y}: %{customdata[0]:.4g} … %{customdata[1]:.4g}<extra></extra>",
    )  # fmt: skip
    fig.update_yaxes(autorange="reversed", title_text="")
    return fig.update_xaxes(title_text="range (real value)")


def _one_file(table: pd.DataFrame, caller: str) -> pd.DataFrame:
    which = table[list(MODEL_FILE)].drop_duplicates()
    if len(which) != 1:
        raise UserError(f"{caller} draws one file. Got {len(which)} of them. Select one model, scheme and backend.")
    return table


def _words(row: pd.Series) -> str:
    """Hover box: the sentence broken into lines, and the remedy."""
    text = " ".join(part for part in (row["sentence"], row["remedy"]) if part)
    lines: list[str] = []
    line = ""
    for word in text.split():
        if len(line) + len(word) > 70:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    numbers = f"accumulated {axis('sqnr_accumulated_db').write(float(row['sqnr_accumulated_db']))} dB"
    title = f"<b>{escape(short_layer(row['layer']))}: {row['verdict']}</b>"
    return "<br>".join([title, *map(escape, [*lines, line]), numbers])


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
