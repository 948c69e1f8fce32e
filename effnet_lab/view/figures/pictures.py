"""Figures about one picture: the picture, what a network says of it, what it computes on the way, and the audit."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from effnet_lab.frames import AUDIT, CLASSIFICATION, MODEL_FILE, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.axes import axis, error_bars
from effnet_lab.view.text import capital, file_label, hover, records

LARGEST_PX, LOSSLESS_PX = 640, 256  # longer side of a picture inside a figure; up to which it is no JPEG
LONGEST_LABEL = 38  # characters beside a bar
ROW_PX = 26  # of a figure with one line per row


def plot_image(
    image: NDArray[Any], window: tuple[int, int, int, int] | None = None, title: str = "The picture"
) -> go.Figure:
    """A picture with its pixel coordinates, and what of it reaches the network.

    Parameters
    ----------
    image : ndarray, uint8 (h, w, 3)
        RGB; drawn at 640 px at most.
    window : tuple of int, optional
        Top, left, height and width of the part that is kept, px; see `Preprocess.window`.
    """
    height, width = _require_image(image)
    picture = Image.fromarray(image)
    picture.thumbnail((LARGEST_PX, LARGEST_PX))
    fig = theme.new_figure("").update_layout(margin_t=theme.BARE_TOP_PX)
    fig.add_image(
        source=data_uri(picture), name="picture", dx=width / picture.width, dy=height / picture.height,
        hovertemplate="x %{x:.0f}, y %{y:.0f} px<extra></extra>",
    )  # fmt: skip
    title += f": {width} x {height} px"
    if window is not None:
        top, left, tall, wide = window
        fig.add_shape(
            type="rect", x0=left - 0.5, x1=left + wide - 0.5, y0=top - 0.5, y1=top + tall - 0.5, name="window",
            line={"color": theme.VERMILION, "width": 3},
        )  # fmt: skip
        whole = (tall, wide) == (height, width)
        title += ", the network sees all of it" if whole else f", the network sees the marked {wide} x {tall}"
    fig.update_layout(title_text=title)
    return fig.update_xaxes(title_text="x (px)", showgrid=False).update_yaxes(title_text="y (px)", showgrid=False)


def _require_image(image: NDArray[Any]) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"plot_image takes a uint8 (h, w, 3) image. Got {image.dtype} {image.shape}.")
    return image.shape[:2]


def data_uri(picture: Image.Image) -> str:
    """Small pictures keep every pixel; a photograph as PNG would be ten times as large."""
    kind, content = "PNG" if max(picture.size) <= LOSSLESS_PX else "JPEG", io.BytesIO()
    picture.save(content, kind, quality=90)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"


def plot_top(classification: pd.DataFrame) -> go.Figure:
    """The most probable classes of one picture, best first.

    Parameters
    ----------
    classification : DataFrame
        CLASSIFICATION frame of one (model, scheme, backend, file).
    """
    require(classification, CLASSIFICATION, caller="plot_top")
    which = classification[[*MODEL_FILE, "file"]].drop_duplicates()
    if len(which) != 1:
        raise UserError(
            f"plot_top draws one picture and one network. Got {len(which)} of them. "
            "Select the rows of one model, scheme, backend and file."
        )
    *model, file = which.iloc[0]
    rows = classification.sort_values("rank")
    fig = theme.new_figure(f"{file}: {file_label(*model)}", _height(len(rows))).update_layout(
        margin_t=theme.BARE_TOP_PX
    )
    fig.add_bar(
        x=rows["score"], y=rows["rank"], orientation="h", name="score", showlegend=False,
        marker_color=[theme.BLUE, *[theme.SKY] * (len(rows) - 1)], text=[_percent(score) for score in rows["score"]],
        textposition="outside", cliponaxis=False, customdata=rows[["label", "class_index"]].astype(str).to_numpy(),
        hovertemplate="<b>%{customdata[0]}</b><br>output %{customdata[1]}<br>%{x:.3%}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(bargap=0.3).update_xaxes(title_text=axis("score").title, tickformat=axis("score").ticks)
    fig.update_xaxes(range=[0, min(1.1, 1.2 * rows["score"].max())])
    return _name_rows(fig, rows["rank"], [str(label) for label in rows["label"]], "class, best first")


def _percent(score: float) -> str:
    return "< 0.01%" if 0 < score < 5e-5 else axis("score").write(score)


def plot_audit(audit: pd.DataFrame, n: int = 12) -> go.Figure:
    """Ways to prepare pictures, ranked by top-1 with intervals; A is the best, B is yours.

    Parameters
    ----------
    audit : DataFrame
        AUDIT frame of one network and one data set.
    n : int
        How many of the best; yours is shown in any case.
    """
    require(audit, AUDIT, caller="plot_audit")
    which = audit[[*MODEL_FILE, "data"]].drop_duplicates()
    if len(which) != 1:
        raise UserError(f"plot_audit draws one network on one data set. Got {len(which)} of them. Select one's rows.")
    rows = audit.sort_values(["tied", "rank"], ascending=[False, True])  # what saw few images may still be the best
    rows = rows[(np.arange(len(rows)) < n) | (rows["mark"] == "B")].assign(place=lambda r: np.arange(1, len(r) + 1))
    title = f"{len(audit)} ways to prepare {which['data'].iloc[0]} for {file_label(*which.iloc[0][:3])}"
    fig = theme.new_figure(title, _height(len(rows)) + 30)
    for name, color, symbol, kind in _kinds(rows):
        chosen = rows[kind]
        if chosen.empty:
            continue
        fig.add_scatter(
            x=chosen["top1"], y=chosen["place"], mode="markers", name=name,
            marker={"size": 11, "color": color, "symbol": symbol, "line": {"width": 1, "color": "white"}},
            error_x=error_bars(chosen, "top1", color, thickness=1.5, width=4),
            hovertext=hover(chosen, _pipelines(chosen), ("top1", "n_images", "p_value")),
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=True).update_xaxes(**axis("top1").layout())
    marks = [f"{mark}  " if mark else "" for mark in rows["mark"]]
    names = [mark + words for mark, words in zip(marks, _pipelines(rows), strict=True)]
    return _name_rows(fig, rows["place"], names, "preprocessing, best first", limit=80)


def _kinds(rows: pd.DataFrame) -> list[tuple[str, str, str, pd.Series]]:
    """Name, colour, symbol and rows of each kind of mark."""
    best, yours = rows["mark"] == "A", rows["mark"] == "B"
    tied = rows["tied"].astype(bool)
    return [
        ("A: the best" if (rows["mark"] == "B").any() else "A: the best, and yours", theme.GREEN, "star", best),
        ("B: yours", theme.VERMILION, "diamond", yours),
        ("cannot be told from A", theme.BLUE, "circle", tied & ~best & ~yours),
        ("worse than A", theme.RULE, "circle", ~tied & ~best & ~yours),
    ]


def _pipelines(rows: pd.DataFrame) -> list[str]:
    """The factors of every row in words; a label offset only where there is one."""
    return [
        ", ".join(
            [
                row["normalisation"],
                "no crop" if row["crop"] == "none" else f"crop {row['crop']}",
                row["interpolation"],
                row["channels"],
            ]
            + ([f"labels {row['label_offset']:+d}"] if row["label_offset"] else [])
        )
        for row in records(rows)
    ]


def _height(n_rows: int) -> int:
    return max(theme.DETAIL_HEIGHT_PX - 80, ROW_PX * n_rows + 130)


def _name_rows(
    fig: go.Figure, places: pd.Series, names: list[str], title: str, limit: int = LONGEST_LABEL
) -> go.Figure:
    """Names at whole numbers, the first on top: names as coordinates would merge two rows of the same name."""
    short = [name if len(name) <= limit else name[: limit - 1] + "…" for name in names]
    return fig.update_yaxes(
        title_text=capital(title), tickvals=list(places), ticktext=short, showgrid=False, ticks="",
        range=[max(places) + 0.6, min(places) - 0.6],
    )  # fmt: skip
