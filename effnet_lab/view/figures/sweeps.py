"""Figures about a grid of runs: what is worth having, which parameters act together, and where the layers hurt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import capital, hover, records, short_layer

MOST_PAIRS = 6  # of parameters whose interaction is drawn
ROW_PX, LEGEND_PX = 300, 60
LAYER_PX, POINT_LABELS = 15, 60  # height of a layer's row; points from which on the names are left to the hover box


def point_names(table: pd.DataFrame, parameters: Sequence[str]) -> pd.Series:
    """What tells the rows apart, in words: ``width 0.1, scheme int8``."""
    return pd.Series(
        [", ".join(f"{name} {_short(row[name])}" for name in parameters) for row in records(table)],
        index=table.index, dtype="str",
    )  # fmt: skip


def plot_grid_front(
    table: pd.DataFrame, x: str, y: str, standing: pd.DataFrame, parameters: Sequence[str], color: str = ""
) -> go.Figure:
    """Every file of every point; what no other beats is joined by a step line.

    Parameters
    ----------
    table : DataFrame
        One row per file, with the parameters of its point; error bars where it has the ends of intervals.
    x, y : str
        Columns.
    standing : DataFrame
        Same index, bool column ``on_front``.
    parameters : sequence of str
        Columns that name a point.
    color : str
        Column whose values have a colour each; empty: the first parameter.
    """
    color = color or next(iter(parameters), "")
    fig = theme.new_figure(f"{capital(axis(y).title.split(' (')[0])} against {axis(x).title.split(' (')[0]}")
    front = table[standing["on_front"]].sort_values(x)
    fig.add_scatter(
        x=front[x], y=front[y], mode="lines", line={"shape": "hv", "color": theme.GREY, "width": 1.5}, name="front",
        hoverinfo="skip",
    )  # fmt: skip
    kinds = table[color].map(_short) if color else pd.Series("", index=table.index)
    colors = theme.assign(kinds, theme.PALETTE)
    for kind, rows in table.groupby(kinds, sort=False):
        paint, on = colors[kind], standing.loc[rows.index, "on_front"]
        fig.add_scatter(
            x=rows[x], y=rows[y], mode="markers", name=f"{color} {kind}".strip(),
            hovertext=hover(rows, point_names(rows, parameters), [x, y]), hovertemplate="%{hovertext}<extra></extra>",
            error_x=error_bars(rows, x, theme.translucent(paint, 0.35)),
            error_y=error_bars(rows, y, theme.translucent(paint, 0.35)),
            marker={"size": 10, "color": paint, "opacity": on.map({True: 1.0, False: 0.35}).tolist(),
                    "line": {"width": 1, "color": "white"}},
        )  # fmt: skip
    return fig.update_xaxes(**axis(x).layout(table[x])).update_yaxes(**axis(y).layout(table[y]))


def plot_interactions(table: pd.DataFrame, y: str, parameters: Sequence[str]) -> go.Figure:
    """Mean of a number over the grid, one panel per pair of parameters: lines that are not parallel act together.

    Parameters
    ----------
    table : DataFrame
        One row per file or point.
    y : str
        Column.
    parameters : sequence of str
        Columns with few values each; of more than four, the first pairs are drawn.
    """
    pairs = list(itertools.combinations(parameters, 2))[:MOST_PAIRS]
    if not pairs:
        return theme.message_figure("Interactions need a grid over two parameters or more.", theme.DETAIL_HEIGHT_PX)
    n_columns = min(len(pairs), 3)
    n_rows = -(-len(pairs) // n_columns)
    fig = make_subplots(n_rows, n_columns, shared_yaxes=True, horizontal_spacing=0.05, vertical_spacing=0.25 / n_rows)
    start = theme.new_figure(f"{capital(axis(y).title.split(' (')[0])}, mean over the rest of the grid")
    fig.update_layout(start.layout, height=ROW_PX * n_rows + LEGEND_PX)
    named = set[tuple[str, str]]()
    for place, (first, second) in enumerate(pairs):
        at = {"row": place // n_columns + 1, "col": place % n_columns + 1}
        means = table.groupby([first, second], sort=True)[y].mean().reset_index()
        colors = theme.assign(sorted(means[second].unique(), key=str), theme.PALETTE)
        for value, rows in means.groupby(second, sort=True):
            texts = [
                f"{first} {_short(a)}, {second} {_short(value)}: {axis(y).write(b)}"
                for a, b in zip(rows[first], rows[y], strict=True)
            ]
            key = (second, _short(value))
            fig.add_scatter(
                x=rows[first].map(_short), y=rows[y], mode="lines+markers", name=" ".join(key), legendgroup=" ".join(key),
                showlegend=key not in named, line={"color": colors[value]},
                hovertext=texts, hovertemplate="%{hovertext}<extra></extra>", **at,
            )  # fmt: skip
            named.add(key)
        fig.update_xaxes(type="category", title_text=f"{first}; lines: {second}", **at)
    return fig.update_yaxes(tickformat=axis(y).ticks).update_yaxes(title_text=axis(y).title, col=1)


def plot_layer_grid(errors: pd.DataFrame, column: str = "sqnr_accumulated_db") -> go.Figure:
    """Error of every layer at every point: rows are layers in forward order, columns are points.

    Parameters
    ----------
    errors : DataFrame
        Columns ``where`` (the point in words), layer_index, layer and `column`.
    column : str
        The error.
    """
    places = list(dict.fromkeys(errors["where"]))
    rows = errors.drop_duplicates(["where", "layer_index"])
    values = rows.set_index(["layer_index", "where"])[column].unstack()[places]  # noqa: PD010
    names = rows.set_index(["layer_index", "where"])["layer"].unstack()[places].fillna("")  # noqa: PD010
    fig = theme.new_figure(
        f"{capital(axis(column).title)} of each layer at each point", max(theme.HEIGHT_PX, LAYER_PX * len(values) + 170)
    )
    fig.add_heatmap(
        z=values.to_numpy().round(2), x=places, y=values.index, customdata=names.map(short_layer).to_numpy(),
        colorscale="Cividis", hoverongaps=False,
        hovertemplate="%{x}<br>layer %{y} %{customdata}<br>%{z:.1f}<extra></extra>",
        colorbar={"title": {"text": axis(column).title, "side": "right"}, "thickness": 14, "outlinewidth": 0},
    )  # fmt: skip
    fig.update_xaxes(tickangle=-60, tickfont={"size": 10}, type="category")
    if len(places) > POINT_LABELS:  # no room for their names
        fig.update_xaxes(showticklabels=False, ticks="", title_text="points, in the order of their parameters")
    return fig.update_yaxes(title_text=axis("layer_index").title, autorange="reversed")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
