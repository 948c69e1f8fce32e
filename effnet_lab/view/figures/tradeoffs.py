"""Figures about what accuracy, latency and memory cost each other: measured here, and published elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effnet_lab.frames import MODEL_FILE, PUBLISHED, RIVALS, TRADEOFFS, require
from effnet_lab.names import UserError, lookup, suggest
from effnet_lab.view import theme
from effnet_lab.view.axes import Axis, axis, choose, error_bars, interval
from effnet_lab.view.text import capital, file_label, hover, records

TRADEOFF_AXES = (
    "top1", "p50_ms", "relative_p50", "size_bytes", "peak_activation_bytes", "arena_bytes", "params", "madds",
)  # fmt: skip
INT8 = "static_wi8_ai8"
BESIDE_MARK = "\N{EN SPACE}\N{EN SPACE}"  # keeps a name clear of its mark
NAMES, EDGE = 0.16, 0.05  # of the span of an axis: room beside the outermost mark, with a name and without
ROOM = 1.35  # of a logarithmic axis beyond its outermost marks, as a factor


def plot_tradeoffs(
    tradeoffs: pd.DataFrame,
    x: str = "p50_ms",
    y: str = "top1",
    standing: pd.DataFrame | None = None,
    chosen: pd.Series | None = None,
    limits: Mapping[str, float] | None = None,
) -> go.Figure:
    """One mark per file with its intervals: colour says scheme and back end, symbol says model.

    Parameters
    ----------
    tradeoffs : DataFrame
        TRADEOFFS frame.
    x, y : str
        Columns of the frame; error bars where it has the ends of their intervals.
    standing : DataFrame, optional
        Same index, bool columns ``on_front`` and ``near_tie``. The rows on the front are joined by a step line and named;
        near ties of those are fainter and named too; the others are fainter still.
    chosen : Series of bool, optional
        Same index; the rows to take for a budget get a ring.
    limits : mapping of str to float, optional
        Budgets by column; those of an axis are drawn as a line.
    """
    require(tradeoffs, TRADEOFFS, caller="plot_tradeoffs")
    x_axis, y_axis = choose(x, TRADEOFF_AXES), choose(y, TRADEOFF_AXES)
    fig = theme.new_figure(f"{capital(_words(y_axis))} against {_words(x_axis)}")
    opacity = pd.Series(0.9, index=tradeoffs.index)
    if standing is not None:
        front, ties = standing["on_front"], standing["near_tie"]
        opacity = front.map({True: 1.0, False: theme.OFF}).where(~ties, theme.TIE)
        _add_front(fig, tradeoffs[front], x, y, x_axis)
        _add_ties(fig, tradeoffs[ties], x, y, tradeoffs[front])
    symbols = theme.assign(tradeoffs["model"], theme.SYMBOLS)
    kinds = tradeoffs["scheme"] + ", " + tradeoffs["backend"]
    colors = theme.assign(kinds, theme.PALETTE)
    for kind, rows in tradeoffs.groupby(kinds, sort=False):
        _add_marks(fig, rows, x, y, str(kind), colors[kind], symbols, opacity)
    ringed = chosen is not None and bool(chosen.any())
    if chosen is not None and ringed:
        _add_ring(fig, tradeoffs[chosen.to_numpy(bool)], x, y)
    _add_limits(fig, limits or {}, x, y)
    _add_symbol_legend(fig, symbols, len(colors) + (standing is not None) + ringed)
    if standing is not None:
        fig.update_xaxes(range=_room(tradeoffs, x_axis, limits or {}))
    return fig.update_xaxes(**x_axis.layout(tradeoffs[x])).update_yaxes(**y_axis.layout(tradeoffs[y]))


def _room(tradeoffs: pd.DataFrame, x_axis: Axis, limits: Mapping[str, float]) -> list[float]:
    """Ends of the x axis: all marks and intervals, a budget that is not far off, and room for names on the better side."""
    name = x_axis.column.name
    scale = math.log10 if x_axis.log else float
    values = pd.concat([tradeoffs[end] for end in (name, *interval(name)) if end in tradeoffs]).dropna()
    places = [scale(float(value)) for value in values] or [0.0]
    low, high = min(places), max(places)
    span = (high - low) or 1.0
    if name in limits and low - span < (limit := scale(limits[name])) < high + span:
        low, high = min(low, limit), max(high, limit)
    before, after = (NAMES, EDGE) if x_axis.better == "low" else (EDGE, NAMES)
    return [low - before * span, high + after * span]


def _add_marks(
    fig: go.Figure, rows: pd.DataFrame, x: str, y: str, kind: str, color: str, symbols: Mapping[str, str], opacity: pd.Series
) -> None:  # fmt: skip
    """The files of one scheme and back end."""
    labels = [file_label(*key) for key in zip(rows["model"], rows["scheme"], rows["backend"], strict=True)]
    fig.add_scatter(
        x=rows[x], y=rows[y], mode="markers", name=kind, hovertext=hover(rows, labels, _hover_columns()),
        hovertemplate="%{hovertext}<extra></extra>", error_x=error_bars(rows, x, theme.translucent(color, theme.BARS)),
        error_y=error_bars(rows, y, theme.translucent(color, theme.BARS)),
        marker={
            "size": 11, "color": color, "symbol": rows["model"].map(symbols).tolist(),
            "opacity": opacity[rows.index].tolist(), "line": {"width": 1, "color": "white"},
        },
    )  # fmt: skip


def _add_limits(fig: go.Figure, limits: Mapping[str, float], x: str, y: str) -> None:
    """Budgets on the axes: what lies beyond is out."""
    line = {"dash": "dash", "width": 1.5, "color": theme.VERMILION}
    if x in limits:
        fig.add_vline(x=limits[x], line=line)
    if y in limits:
        fig.add_hline(y=limits[y], line=line)


def _words(scale: Axis) -> str:
    """Axis title without its unit."""
    return scale.title.split(" (")[0]


def _hover_columns() -> list[str]:
    """Every number of the frame except the ends of intervals, which stand beside their value."""
    ends = {end for column in TRADEOFFS.values for end in interval(column)}
    return [column for column in TRADEOFFS.values if column not in ends]


def _add_front(fig: go.Figure, front: pd.DataFrame, x: str, y: str, x_axis: Axis) -> None:
    """Step line: with less of a cost than at the next point one gets what the previous point offers.

    Names stand outside the line, each once; the axis leaves them room.
    """
    front, low = front.sort_values(x), x_axis.better == "low"
    labels = _short(front)
    labels = (BESIDE_MARK + labels + BESIDE_MARK).mask(labels.duplicated(keep="first" if low else "last"), "")
    fig.add_scatter(
        x=front[x], y=front[y], mode="lines+text", name="front", hoverinfo="skip", text=labels.tolist(),
        textposition="top left" if low else "top right", textfont_size=11, cliponaxis=False,
        line={"shape": "hv" if low else "vh", "color": theme.RULE, "width": 2},
    )  # fmt: skip


def _short(rows: pd.DataFrame) -> pd.Series:
    """A name that fits beside a mark: without the back end, and without the scheme where it is float."""
    return rows["model"] + rows["scheme"].map({"float32": "", INT8: " int8"}).fillna(" " + rows["scheme"])


def _add_ties(fig: go.Figure, ties: pd.DataFrame, x: str, y: str, front: pd.DataFrame) -> None:
    """Names of near ties, below their marks; not where the front says the same name already."""
    labels = _short(ties)
    labels = ("<br>" + labels).mask(labels.isin(_short(front)) | labels.duplicated(), "")  # below the line, too
    fig.add_scatter(
        x=ties[x], y=ties[y], mode="text", name="near ties", hoverinfo="skip", showlegend=False, text=labels.tolist(),
        textposition="bottom center", textfont={"size": 10, "color": theme.GREY}, cliponaxis=False,
    )  # fmt: skip


def _add_ring(fig: go.Figure, chosen: pd.DataFrame, x: str, y: str) -> None:
    fig.add_scatter(
        x=chosen[x], y=chosen[y], mode="markers", name="take this", hoverinfo="skip",
        marker={"size": 22, "symbol": "circle-open", "color": theme.INK, "line": {"width": 2}},
    )  # fmt: skip


def _add_symbol_legend(fig: go.Figure, symbols: dict[str, str], n_kinds: int) -> None:
    """A second legend, because one mark shows two things."""
    for model, symbol in symbols.items():
        fig.add_scatter(
            x=[None], y=[None], mode="markers", name=model, legend="legend2", hoverinfo="skip",
            marker={"symbol": symbol, "size": 10, "color": theme.GREY},
        )  # fmt: skip
    fig.update_layout(
        showlegend=True,
        margin_t=theme.BARE_TOP_PX,
        legend=theme.BESIDE | {"y": 1, "title_text": "scheme, back end"},
        legend2=theme.BESIDE
        | {"y": 0.86 - 0.065 * n_kinds, "title_text": "model", "itemclick": False, "itemdoubleclick": False},
    )


def plot_published(published: pd.DataFrame, x: str, y: str) -> go.Figure:
    """Somebody else's numbers: one mark per model that has both quantities; hover names conditions and source.

    Parameters
    ----------
    published : DataFrame
        PUBLISHED frame.
    x, y : str
        Two values of its column `quantity`.
    """
    require(published, PUBLISHED, caller="plot_published")
    known = list(published["quantity"].unique())
    for name in (x, y):
        if name not in known:
            raise UserError(suggest("published quantity", name, known))
    pairs = published[published["quantity"] == x].merge(published[published["quantity"] == y], on="model")
    fig = theme.new_figure(f"Published: {y} against {x}").update_layout(margin_t=theme.BARE_TOP_PX)
    fig.add_scatter(
        x=pairs["value_x"], y=pairs["value_y"], mode="markers+text", text=pairs["model"].tolist(), textposition="top center",
        marker={"size": 10, "color": theme.PURPLE, "symbol": "diamond"}, name="published", showlegend=False, cliponaxis=False,
        hovertext=[_published_box(row, x, y) for row in records(pairs)],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    for update, side, name in ((fig.update_xaxes, "x", x), (fig.update_yaxes, "y", y)):
        unit = pairs[f"unit_{side}"].dropna().unique()
        update(**axis(name, unit[0] if len(unit) == 1 else "").layout(pairs[f"value_{side}"]))
    return fig


def _published_box(row: dict[str, object], x: str, y: str) -> str:
    lines = [f"<b>{row['model']}</b>"]
    for side, name in (("x", x), ("y", y)):
        facts = [str(row[f"{fact}_{side}"]) for fact in ("unit", "conditions", "source") if row[f"{fact}_{side}"]]
        lines += [f"{name}: {axis(name).write(row[f'value_{side}'])}", *facts]
    return "<br>".join(lines)


_PRECISION = {"float32": "Float", "static_wi8_ai8": "Int8"}
_FAMILY = "lite"  # how the names of the family begin
_OURS = ("size_px", "size_bytes", "host", "threads", "p50_ms", "relative_p50", "n_runs", "guard")
_THEIRS = ("published_top1", "published_conditions", "published_source", "published_ms", "published_ms_conditions")


def plot_rivals(rivals: pd.DataFrame, x: str = "p50_ms", scheme: str = "static_wi8_ai8") -> go.Figure:
    """Published top-1 against what was measured here; against latency, a second panel has the published Pixel 4.

    Parameters
    ----------
    rivals : DataFrame
        RIVALS frame.
    x : str
        "p50_ms" or "size_bytes".
    scheme : str
        "float32" or "static_wi8_ai8".
    """
    require(rivals, RIVALS, caller="plot_rivals")
    x_axis, precision = choose(x, ("p50_ms", "size_bytes")), lookup("scheme", scheme, _PRECISION)
    rows = rivals[(rivals["scheme"] == scheme) & rivals["published_top1"].notna()]
    panels = {x: " and ".join(sorted(set(rows["host"]) - {""}))}
    if x == "p50_ms":
        panels["published_ms"] = "Pixel 4, 4 threads, published"
    panels = {column: title for column, title in panels.items() if rows[column].notna().any()}
    if not panels:
        return theme.message_figure(f"{capital(_words(x_axis))} of these networks: not measured here")
    fig = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.06, subplot_titles=[*panels.values()])
    fig.update_layout(theme.new_figure(f"{precision} accuracy (published) against {_words(x_axis)}").layout)
    fig.update_layout(legend=theme.BESIDE | {"y": 1})
    for place, column in enumerate(panels, start=1):
        drawn = rows[rows[column].notna()]
        for kind, part in drawn.groupby(drawn["model"].str.startswith(_FAMILY), sort=False):
            fig.add_trace(_rival_marks(part, column, family=bool(kind)), 1, place)
        title = "latency (ms, Pixel 4)" if column == "published_ms" else x_axis.title
        fig.update_xaxes(**x_axis.layout(drawn[column]) | {"title_text": title}, col=place)
        low, high = drawn[column].min(), drawn[column].max()
        if high > low:  # room for the labels at both ends
            fig.update_xaxes(range=[math.log10(low / ROOM), math.log10(high * ROOM)], col=place)
    names = {trace.name for trace in fig.data}
    for name in names:
        for trace in list(fig.select_traces({"name": name}))[1:]:
            trace.showlegend = False
    fig.update_yaxes(**axis("published_top1").layout())
    return fig.update_yaxes(title_text="", col=2) if len(panels) == 2 else fig


def _rival_marks(rows: pd.DataFrame, x: str, *, family: bool) -> go.Scatter:
    """One kind of network, with its interval where it was measured here."""
    color = theme.BLUE if family else theme.VERMILION
    rows = rows.sort_values(x)
    boxes = hover(rows, [file_label(*key) for key in zip(*(rows[k] for k in MODEL_FILE), strict=True)], _OURS + _THEIRS)
    return go.Scatter(
        x=rows[x], y=rows["published_top1"], mode="lines+markers+text" if family else "markers+text",
        text=rows["model"].tolist(), textposition="top center" if family else "bottom center", textfont_size=11,
        name="EfficientNet-Lite" if family else "others", error_x=error_bars(rows, x, color), cliponaxis=False,
        marker={"size": 10, "color": color, "symbol": "circle" if family else "square"},
        line={"color": color, "width": 1}, hovertext=boxes, hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
