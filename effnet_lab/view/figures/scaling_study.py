"""Figures about what scaling bought: one dimension or three, the triples, the next MAdd, and a law's error."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import COEFFICIENTS, LEFT_OUT, SCALING, SLOPES, require
from effnet_lab.names import lookup
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, interval
from effnet_lab.view.text import hover

DIRECTIONS = {"width": theme.BLUE, "depth": theme.ORANGE, "resolution": theme.GREEN, "compound": theme.VERMILION}
SCHEMES = {"float": "float_top1", "int8": "int8_top1"}
COSTS = ("madds", "params", "size_bytes", "arena_bytes", "relative_p50")


def plot_dimensions(scaling: pd.DataFrame, scheme: str = "float", x: str = "madds") -> go.Figure:
    """Top-1 against cost, one line per direction from the base on, with intervals over seeds and images.

    Parameters
    ----------
    scaling : DataFrame
        SCALING frame.
    scheme : str
        "float" or "int8".
    x : str
        The cost: "madds", "params", "size_bytes", "arena_bytes" or "relative_p50".
    """
    require(scaling, SCALING, caller="plot_dimensions")
    column = lookup("scheme", scheme, SCHEMES)
    x_axis = lookup("cost", x, {name: axis(name) for name in COSTS})
    n, fewest, most = int(scaling["n_images"].max()), int(scaling["n_seeds"].min()), int(scaling["n_seeds"].max())
    seeds = f"{most} seed{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} seeds"
    fig = theme.new_figure(f"One dimension or three: {scheme} top-1 ({n:,} images, {seeds} each)")
    base = scaling[scaling["direction"] == "base"]
    for direction, color in DIRECTIONS.items():
        rows = pd.concat([base, scaling[scaling["direction"] == direction]]).sort_values("level")
        if len(rows) > len(base):
            _with_bars(fig, rows, x, column, direction, color)
    fig.update_xaxes(**x_axis.layout(scaling[x]))
    return fig.update_yaxes(**axis(column).layout())


def plot_coefficients(coefficients: pd.DataFrame) -> go.Figure:
    """Top-1 of each triple with its interval, one panel's worth of marks per level; the paper's is the star.

    Parameters
    ----------
    coefficients : DataFrame
        COEFFICIENTS frame.
    """
    require(coefficients, COEFFICIENTS, caller="plot_coefficients")
    if coefficients.empty:
        return theme.message_figure("No triple of the grid has been trained yet.")
    rows = coefficients.sort_values(["alpha", "beta"])
    names = [f"{a:.3g} · {b:.3g} · {c:.3g}" for a, b, c in rows[["alpha", "beta", "gamma"]].to_numpy()]
    fig = theme.new_figure(
        "alpha · beta · gamma at equal MAdds (star: the paper's alpha and beta)", 170 + 30 * len(set(names))
    )
    colors = theme.assign(rows["level"], theme.PALETTE)
    for level, part in rows.assign(name=names).groupby("level"):
        low, high = interval("float_top1")
        paper = part["p_adjusted"].isna()
        fig.add_scatter(
            x=part["float_top1"], y=part["name"], mode="markers", name=f"{level:g} times the MAdds of the base",
            error_x={"symmetric": False, "array": part[high] - part["float_top1"], "arrayminus": part["float_top1"] - part[low]},
            marker={"color": colors[level], "size": [15 if own else 9 for own in paper],
                    "symbol": ["star" if own else "circle" for own in paper]},
            hovertext=hover(part, part["name"], COEFFICIENTS.values[1:]), hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=True).update_xaxes(**axis("float_top1").layout())
    return fig.update_yaxes(title_text="alpha · beta · gamma", type="category")


def plot_gain(gains: pd.DataFrame, title: str = "Where the next MAdd is best spent") -> go.Figure:
    """A bar per dimension: points of top-1 that doubling the MAdds along it should buy, with the interval of the slope.

    Parameters
    ----------
    gains : DataFrame
        SLOPES frame.
    """
    require(gains, SLOPES, caller="plot_gain")
    fig = theme.new_figure(title, theme.DETAIL_HEIGHT_PX)
    fig.add_bar(
        x=gains["direction"], y=gains["gain"], width=0.5, showlegend=False,
        marker_color=[DIRECTIONS[name] for name in gains["direction"]],
        error_y={"symmetric": False, "array": gains["gain_hi"] - gains["gain"], "arrayminus": gains["gain"] - gains["gain_lo"]},
        hovertemplate="%{x}: %{y:+.1%} per doubling<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(title_text="what grows")
    return fig.update_yaxes(title_text="top-1 per doubling of the MAdds", tickformat="+.0%")


def plot_left_out(left_out: pd.DataFrame, title: str = "Networks that the law never saw") -> go.Figure:
    """Measured against expected top-1 with the prediction interval; hollow marks lie outside what was measured.

    Parameters
    ----------
    left_out : DataFrame
        LEFT_OUT frame.
    """
    require(left_out, LEFT_OUT, caller="plot_left_out")
    fig = theme.new_figure(title, theme.DETAIL_HEIGHT_PX)
    low, high = interval("expected_top1")
    ends = [float(left_out["float_top1"].min()), float(left_out["float_top1"].max())]
    fig.add_scatter(
        x=ends, y=ends, mode="lines", name="as expected", line={"color": theme.RULE, "dash": "dot"}, hoverinfo="skip"
    )
    colors: Mapping[str, str] = theme.assign(left_out["rule"], theme.PALETTE)
    for rule, rows in left_out.groupby("rule", sort=False):
        color = colors[str(rule)]
        fig.add_scatter(
            x=rows["expected_top1"], y=rows["float_top1"], mode="markers", name=str(rule),
            error_x={"symmetric": False, "array": rows[high] - rows["expected_top1"], "thickness": 1,
                     "arrayminus": rows["expected_top1"] - rows[low], "color": theme.translucent(color, theme.BARS)},
            marker={"color": color, "size": 9, "line": {"width": 1.5, "color": color},
                    "symbol": ["circle" if inside else "circle-open" for inside in rows["inside"]]},
            hovertext=hover(rows, rows["model"], LEFT_OUT.values), hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    expected = [min(ends[0], float(left_out[low].min())), max(ends[1], float(left_out[high].max()))]
    fig.update_xaxes(**axis("expected_top1").layout(), range=_around(expected))
    return fig.update_yaxes(**axis("float_top1").layout(), range=_around(ends))


def _around(ends: list[float]) -> list[float]:
    room = 0.15 * (ends[1] - ends[0]) or 0.05
    return [max(0.0, ends[0] - room), min(1.0, ends[1] + room)]


def _with_bars(fig: go.Figure, rows: pd.DataFrame, x: str, column: str, name: str, color: str) -> None:
    low, high = interval(column)
    fig.add_scatter(
        x=rows[x], y=rows[column], mode="lines+markers", name=name, marker={"size": 9, "color": color},
        line={"width": 2, "color": color},
        error_y={"symmetric": False, "array": rows[high] - rows[column], "arrayminus": rows[column] - rows[low], "width": 4},
        hovertext=hover(rows, rows["model"], SCALING.values), hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
