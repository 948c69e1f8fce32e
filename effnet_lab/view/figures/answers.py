"""Figures about two networks that answer the same pictures: side by side, and a gallery of those where they differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image
from plotly.subplots import make_subplots

from effnet_lab.frames import CHANGED, CLASSIFICATION, MISTAKES, MODEL_FILE, require
from effnet_lab.names import UserError
from effnet_lab.view import theme
from effnet_lab.view.axes import axis
from effnet_lab.view.figures.pictures import LONGEST_LABEL, data_uri
from effnet_lab.view.text import file_label, records

PICTURE_PX, TILE_PX = 360, 120  # longer side of the picture, side of a tile of the gallery
TILES_PER_ROW = 6
TILE_ROW_PX = 190
MEANT = 0.005  # probability below which an order means nothing
MOVED, NEW = "was {rank} in {other}", "not among the first {n} in {other}"


def plot_answers(
    picture: NDArray[np.uint8], answers: pd.DataFrame, window: tuple[int, int, int, int] | None = None
) -> go.Figure:
    """A picture, and the most probable classes of two networks beside it; what the second ranks otherwise is red and says so.

    Parameters
    ----------
    picture : ndarray, uint8 (h, w, 3)
        RGB.
    answers : DataFrame
        CLASSIFICATION frame of one picture by two networks, the reference first.
    window : tuple of int, optional
        Top, left, height and width of the part that reaches the networks, px.
    """
    require(answers, CLASSIFICATION, caller="plot_answers")
    files = list(answers[list(MODEL_FILE)].drop_duplicates().itertuples(index=False, name=None))
    if len(files) != 2 or len(answers["file"].unique()) != 1:
        raise UserError(f"plot_answers draws one picture and two networks. Got {len(files)} networks.")
    first, second = (
        answers[(answers[list(MODEL_FILE)] == list(file)).all(axis=1)].sort_values("rank") for file in files
    )
    names = [_short(file, files) for file in files]
    fig = make_subplots(1, 3, column_widths=[0.28, 0.36, 0.36], horizontal_spacing=0.045)
    fig.update_layout(
        template=theme.TEMPLATE, height=theme.DETAIL_HEIGHT_PX + 40, margin={"t": 72, "r": 40}, bargap=0.35, showlegend=False,
        title_text=f"{escape(str(answers['file'].iloc[0]))}: {answer_words(answers)}",
    )  # fmt: skip
    _add_picture(fig, picture, window)
    top = 1.25 * answers["score"].max()
    for column, rows, name, marks in (
        (2, first, names[0], [""] * len(first)),
        (3, second, names[1], _marks(first, second, names[0])),
    ):
        _add_bars(fig, rows, column, name, marks, top)
    return fig


def answer_words(answers: pd.DataFrame) -> str:
    """Whether two networks agree on a picture, of a CLASSIFICATION frame of both."""
    best = answers[answers["rank"] == 1]
    labels, scores = best["label"].tolist(), best["score"].tolist()
    if labels[0] == labels[1]:
        return f"both say {escape(labels[0])}"
    return f"{escape(labels[0])} ({scores[0]:.0%}) becomes {escape(labels[1])} ({scores[1]:.0%})"


def plot_gallery(changed: pd.DataFrame, pictures: Sequence[NDArray[np.uint8]]) -> go.Figure:
    """Tiles of the images whose answer changed: what they show, and what either network says.

    Parameters
    ----------
    changed : DataFrame
        CHANGED frame of one pair of files.
    pictures : sequence of ndarray, uint8 (h, w, 3)
        Of its first rows, in their order; so many are drawn.
    """
    require(changed, CHANGED, caller="plot_gallery")
    if changed.empty or not len(pictures):
        return theme.message_figure("Both networks give the same answer on every one of these images.", 160)
    return _plot_first(changed, pictures, _caption, "whose answer changed")


def plot_mistakes(mistakes: pd.DataFrame, pictures: Sequence[NDArray[np.uint8]]) -> go.Figure:
    """Tiles of the images that a network takes for something else, the surest mistakes first.

    Parameters
    ----------
    mistakes : DataFrame
        MISTAKES frame of one file.
    pictures : sequence of ndarray, uint8 (h, w, 3)
        Of its first rows, in their order; so many are drawn.
    """
    require(mistakes, MISTAKES, caller="plot_mistakes")
    if mistakes.empty or not len(pictures):
        return theme.message_figure("Every one of these images is recognised.", 160)
    return _plot_first(mistakes, pictures, _mistake, "taken for something else")


def _mistake(row: dict[str, object]) -> str:
    return (
        f"{escape(_cut(row['label']))} (image {row['image_index']})<br>"
        f"<b>→ {escape(_cut(row['predicted']))} ({row['confidence']:.0%})</b>"
    )


def _plot_first(
    rows: pd.DataFrame, pictures: Sequence[NDArray[np.uint8]], caption: Callable[[dict[str, object]], str], what: str
) -> go.Figure:
    """As many of the rows as there are pictures, and how many there are in all."""
    shown = "" if len(rows) == len(pictures) else f", {len(pictures)} of them shown"
    captions = [caption(row) for row, _picture in zip(records(rows), pictures, strict=False)]
    return plot_pictures(pictures, captions, f"{len(rows)} image{'s' * (len(rows) != 1)} {what}{shown}")


def plot_pictures(pictures: Sequence[NDArray[np.uint8]], captions: Sequence[str], title: str) -> go.Figure:
    """Tiles, six in a row, each with some lines below it.

    Parameters
    ----------
    pictures : sequence of ndarray, uint8 (h, w, 3)
    captions : sequence of str
        HTML as plotly has it.
    title : str
    """
    n_rows = math.ceil(len(pictures) / TILES_PER_ROW)
    fig = theme.new_figure(title, theme.BARE_TOP_PX + 16 + TILE_ROW_PX * n_rows)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=False)):
        x, y = i % TILES_PER_ROW, i // TILES_PER_ROW
        tile = Image.fromarray(picture)
        tile.thumbnail((TILE_PX, TILE_PX))
        fig.add_layout_image(
            source=data_uri(tile), x=x + 0.5, y=y + 0.04, sizex=0.9, sizey=0.6, xref="x", yref="y", xanchor="center",
            yanchor="top",
        )  # fmt: skip
        fig.add_annotation(
            x=x + 0.5, y=y + 0.66, text=caption, showarrow=False, xanchor="center", yanchor="top", font_size=11
        )
    fig.update_layout(margin={"l": 10, "r": 10, "b": 6, "t": theme.BARE_TOP_PX})
    fig.update_xaxes(visible=False, range=[0, TILES_PER_ROW])
    return fig.update_yaxes(visible=False, range=[n_rows, 0])


def _caption(row: dict[str, object]) -> str:
    image = f"image {row['image_index']}"
    truth = f"shows {escape(_cut(row['label']))} ({image})" if row["label"] else image
    was = f"{escape(_cut(row['predicted']))} ({row['confidence']:.0%})"
    now = f"{escape(_cut(row['against_predicted']))} ({row['against_confidence']:.0%})"
    return f"{truth}<br>{was}<br><b>→ {now}</b>"


def _cut(label: object) -> str:
    text = str(label)
    return text if len(text) <= 16 else text[:15] + "…"


def _short(file: tuple[str, str, str], files: Sequence[tuple[str, str, str]]) -> str:
    """What tells one of two files from the other: the scheme where that does."""
    return file[1] if file[1] != files[1 - files.index(file)][1] else file_label(*file)


def _marks(first: pd.DataFrame, second: pd.DataFrame, other: str) -> list[str]:
    """What is another in the second list than in the first, per row; "" where nothing is, or nothing that counts."""
    before = dict(zip(first["class_index"], first["rank"], strict=True))
    scores = dict(zip(first["class_index"], first["score"], strict=True))
    out = []
    for rank, index, score in zip(second["rank"], second["class_index"], second["score"], strict=True):
        if max(score, scores.get(index, 0.0)) < MEANT:
            out.append("")
        elif index not in before:
            out.append(NEW.format(n=len(first), other=other))
        else:
            out.append("" if before[index] == rank else MOVED.format(rank=before[index], other=other))
    return out


def _add_picture(fig: go.Figure, picture: NDArray[np.uint8], window: tuple[int, int, int, int] | None) -> None:
    height, width = picture.shape[:2]
    small = Image.fromarray(picture)
    small.thumbnail((PICTURE_PX, PICTURE_PX))
    fig.add_image(
        source=data_uri(small), name="picture", dx=width / small.width, dy=height / small.height, row=1, col=1,
        hovertemplate="x %{x:.0f}, y %{y:.0f} px<extra></extra>",
    )  # fmt: skip
    if window is not None and window != (0, 0, height, width):
        top, left, tall, wide = window
        fig.add_shape(
            type="rect", x0=left - 0.5, x1=left + wide - 0.5, y0=top - 0.5, y1=top + tall - 0.5, name="window", row=1, col=1,
            line={"color": theme.VERMILION, "width": 3},
        )  # fmt: skip
    fig.update_xaxes(visible=False, row=1, col=1).update_yaxes(visible=False, row=1, col=1)


def _add_bars(fig: go.Figure, rows: pd.DataFrame, column: int, name: str, marks: Sequence[str], top: float) -> None:
    """Labels stand above their bars, so that no name is cut and both lists have one scale."""
    colors = [
        theme.VERMILION if mark else theme.BLUE if rank == 1 else theme.SKY
        for mark, rank in zip(marks, rows["rank"], strict=True)
    ]
    fig.add_bar(
        x=rows["score"], y=rows["rank"], orientation="h", name=name, marker_color=colors, row=1, col=column,
        text=[axis("score").write(score) for score in rows["score"]], textposition="outside", cliponaxis=False, width=0.34,
        customdata=rows[["label", "class_index"]].astype(str).to_numpy(),
        hovertemplate="<b>%{customdata[0]}</b><br>output %{customdata[1]}<br>%{x:.3%}<extra></extra>",
    )  # fmt: skip
    for label, rank, mark in zip(rows["label"], rows["rank"], marks, strict=True):
        text = str(label) if len(str(label)) <= LONGEST_LABEL else str(label)[: LONGEST_LABEL - 1] + "…"
        said = f" <span style='color:{theme.VERMILION}'>{escape(mark)}</span>" if mark else ""
        fig.add_annotation(
            x=0, y=rank - 0.2, text=f"<b>{escape(text)}</b>{said}" if mark or rank == 1 else escape(text), showarrow=False,
            xanchor="left", yanchor="bottom", font_size=11, row=1, col=column,
        )  # fmt: skip
    fig.add_annotation(
        x=0, y=1.0, xref=f"x{column} domain", yref="paper", yanchor="bottom", xanchor="left", text=f"<b>{escape(name)}</b>",
        showarrow=False, font_size=13,
    )  # fmt: skip
    fig.update_xaxes(range=[0, top], tickformat=axis("score").ticks, title_text=axis("score").title, row=1, col=column)
    fig.update_yaxes(visible=False, range=[rows["rank"].max() + 0.4, 0.35], row=1, col=column)
