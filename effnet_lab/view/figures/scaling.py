"""Figures about specifications: the family and the user's point, layers of one network, what a search found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import CANDIDATES, COUNTS, VARIANTS, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.axes import choose
from effnet_lab.view.text import capital, hover

VARIANT_NUMBERS = VARIANTS.values
LAYER_NUMBERS = COUNTS.values[1:]  # all but the op
ESTIMATED = "estimated_ms"  # column that is there where per-op costs were measured
EXPECTED = "expected_top1"  # column that is there where a law was fitted; NaN outside of what it was fitted to
MOST_CANDIDATES = 5_000  # more SVG markers than this make a browser slow


def plot_family(
    variants: pd.DataFrame,
    point: pd.DataFrame | None = None,
    x: str = "madds",
    y: str = "params",
    held: pd.DataFrame | None = None,
) -> go.Figure:
    """Named networks, their published values as thin crosses, and the user's own as a star.

    Parameters
    ----------
    variants : DataFrame
        VARIANTS frame; names that differ in their last digits only ("lite0", "lite1") are joined by a line.
    point : DataFrame, optional
        VARIANTS frame with the network to highlight.
    x, y : str
        Columns of the frame, or "estimated_ms" and "expected_top1" where both tables have them.
    held : DataFrame, optional
        VARIANTS frame with the network that is held beside it.
    """
    require(variants, VARIANTS, caller="plot_family")
    known = (*VARIANT_NUMBERS, *({ESTIMATED, EXPECTED} & set(variants.columns)))
    x_axis, y_axis = choose(x, known), choose(y, known)
    fig = theme.new_figure("The family, and where your network stands" if point is not None else "The family")
    stems = variants["model"].str.replace(r"\d+$", "", regex=True)
    colors = theme.assign(stems, theme.PALETTE)
    places = _label_places(variants, x, y)
    for stem, rows in variants.groupby(stems, sort=False):
        fig.add_scatter(
            x=rows[x], y=rows[y], mode="lines+markers+text", name=stem, text=rows["model"].tolist(),
            textposition=places[rows.index].tolist(), textfont_size=12, marker={"size": 9, "color": colors[stem]},
            line={"width": 1, "dash": "dot", "color": colors[stem]}, hovertemplate="%{hovertext}<extra></extra>",
            hovertext=hover(rows, rows["model"], VARIANT_NUMBERS), cliponaxis=False,
        )  # fmt: skip
    _add_published(fig, variants, x, y)
    if point is not None:
        require(point, VARIANTS, caller="plot_family")
        fig.add_scatter(
            x=point[x], y=point[y], mode="markers", name="yours", hovertemplate="%{hovertext}<extra></extra>",
            hovertext=hover(point, point["model"], VARIANT_NUMBERS), cliponaxis=False,
            marker={"symbol": "star", "size": 17, "color": theme.VERMILION, "line": {"width": 1.5, "color": "white"}},
        )  # fmt: skip
    if held is not None:
        fig.add_scatter(
            x=held[x], y=held[y], mode="markers", name=f"held: {held['model'].iloc[0]}", cliponaxis=False,
            hovertext=hover(held, held["model"], VARIANT_NUMBERS), hovertemplate="%{hovertext}<extra></extra>",
            marker={"symbol": "star-open", "size": 17, "color": theme.INK, "line": {"width": 1.5}},
        )  # fmt: skip
    return fig.update_xaxes(**x_axis.layout(variants[x])).update_yaxes(**y_axis.layout(variants[y]))


def _label_places(variants: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Names stand left above their point; of two points that nearly touch, that of the lower one right below."""
    ranks = variants[[x, y]].astype(float).apply(np.log10).sort_values([x, y])
    near = (ranks.diff().abs() < 0.03 * (ranks.max() - ranks.min())).all(axis=1)
    lower = [ranks[y].iloc[[i - 1, i]].idxmin() for i, touches in enumerate(near) if touches]
    return pd.Series("top left", index=variants.index).mask(variants.index.isin(lower), "bottom right")


def _add_published(fig: go.Figure, variants: pd.DataFrame, x: str, y: str) -> None:
    """Thin crosses where both columns have a published counterpart."""
    if not {f"published_{x}", f"published_{y}"} <= set(variants.columns):
        return
    rows = variants.dropna(subset=[f"published_{x}", f"published_{y}"])
    if len(rows):
        fig.add_scatter(
            x=rows[f"published_{x}"], y=rows[f"published_{y}"], mode="markers", name="as published",
            marker={"symbol": "x-thin", "size": 8, "line": {"width": 1.5, "color": theme.INK}},
            hovertext=hover(rows, rows["model"] + ", published", VARIANT_NUMBERS),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip


def plot_counts(counts: pd.DataFrame, column: str = "madds") -> go.Figure:
    """One bar per layer in forward order, coloured by op.

    Parameters
    ----------
    counts : DataFrame
        COUNTS frame of one model.
    column : str
        "params", "madds", "activation_bytes" or "weight_bytes".
    """
    require(counts, COUNTS, caller="plot_counts")
    scale = choose(column, LAYER_NUMBERS)
    models = counts["model"].unique()
    if len(models) > 1:
        raise UserError(f"plot_counts draws one model. Got {', '.join(models)}. Select the rows of one.")
    words = f"{scale.title} of each layer of {''.join(models)}"
    whole = f"largest {counts[column].max():,d}" if column == "activation_bytes" else f"sum {counts[column].sum():,d}"
    fig = theme.new_figure(f"{capital(words)}: {whole}", theme.DETAIL_HEIGHT_PX)
    for op, rows in counts.groupby("op", sort=False):
        fig.add_bar(
            x=rows["layer_index"], y=rows[column], width=0.85, name=op, marker_color=theme.op_color(str(op)),
            hovertext=hover(rows, rows["layer"], ("op", *LAYER_NUMBERS)), hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(barmode="overlay", showlegend=True)
    fig.update_xaxes(title_text="layer, forward order")
    return fig.update_yaxes(**scale.layout() | {"type": "linear"})


def plot_candidates(
    candidates: pd.DataFrame, x: str = "madds", y: str = "params", color: str = "resolution_px"
) -> go.Figure:
    """Specifications that meet the budgets; the best, which stands first, is a star.

    Parameters
    ----------
    candidates : DataFrame
        CANDIDATES frame, best first; at most the first 5,000 rows are drawn, and the title says so.
    x, y, color : str
        Columns of the frame.
    """
    require(candidates, CANDIDATES, caller="plot_candidates")
    x_axis, y_axis, color_axis = (choose(name, CANDIDATES.columns) for name in (x, y, color))
    rows = candidates.head(MOST_CANDIDATES)
    shown = f"the best {len(rows):,d} of {len(candidates):,d}" if len(rows) < len(candidates) else f"{len(rows):,d}"
    fig = theme.new_figure(f"Specifications within the budgets: {shown}")
    boxes = hover(rows, [f"rank {i}" for i in range(1, len(rows) + 1)], CANDIDATES.columns)
    fig.add_scatter(
        x=rows[x], y=rows[y], mode="markers", name="candidates", showlegend=False, hovertext=boxes,
        marker={"size": 7, "color": rows[color], "coloraxis": "coloraxis", "opacity": 0.8},
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": {"title": {"text": color_axis.title}}})
    best = rows.head(1)
    fig.add_scatter(
        x=best[x], y=best[y], mode="markers", name="best", hovertext=boxes[:1], hovertemplate="%{hovertext}<extra></extra>",
        marker={"symbol": "star", "size": 17, "color": theme.VERMILION, "line": {"width": 1.5, "color": "white"}},
    )  # fmt: skip
    return fig.update_xaxes(**x_axis.layout(rows[x])).update_yaxes(**y_axis.layout(rows[y]))
