"""Figures about one picture, and the look inside: what is in them, on small handmade frames and arrays."""

from __future__ import annotations

import base64
import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from effnet_lab import frames, view
from effnet_lab.images.decode import decode
from effnet_lab.names import UserError
from effnet_lab.view import (
    AnswerView,
    EndpointView,
    plot_answers,
    plot_audit,
    plot_endpoint,
    plot_gallery,
    plot_image,
    plot_top,
)
from effnet_lab.view.widgets.canvas import PLOTLY_MIME

FILE = {"model": "tiny0", "scheme": "float32", "backend": "keras"}
SCORES = (0.7, 0.2, 0.1 - 1e-6, 1e-6)


def classification() -> pd.DataFrame:
    """Four classes of one picture, two with the same long name; the rows are not in order."""
    rows = [
        {**FILE, "file": "a.png", "rank": i + 1, "class_index": 10 * i, "label": label, "score": SCORES[i]}
        for i, label in enumerate(["tench, Tinca tinca, a fish of slow rivers", "crane", "crane", "drake"])
    ]
    return frames.build(frames.CLASSIFICATION, rows[::-1])


def audit(yours: int = 3) -> pd.DataFrame:
    """Five pipelines, the first two equal; `yours` is the rank of B, or of A."""
    fed = [("[0, 1]", "0.875", "RGB", 0), ("[0, 1]", "none", "RGB", 0), ("raw 0..255", "1", "RGB", 0)]
    fed += [("[0, 1]", "0.875", "BGR", 0), ("[0, 1]", "0.875", "RGB", -1)]
    rows = []
    for rank, (normalisation, crop, channels, offset) in enumerate(fed, start=1):
        top1 = 0.9 if rank < 3 else 0.9 - 0.1 * rank
        rows.append(
            {**FILE, "data": "scenes", "normalisation": normalisation, "crop": crop, "interpolation": "bicubic"}
            | {"channels": channels, "label_offset": offset, "rank": rank, "n_images": 50, "tied": rank < 3}
            | {"mark": "A" if rank == 1 else "B" if rank == yours else "", "p_value": 1.0 if rank < 3 else 1e-4}
            | {"top1": top1, "top1_lo": top1 - 0.05, "top1_hi": top1 + 0.04}
        )
    return frames.build(frames.AUDIT, rows)


def both(*labels: str) -> pd.DataFrame:
    """The classes of one picture in float (tench, crane, drake), and in int8 as given, best first."""
    classes = ["tench", "crane", "drake", "eel"]
    rows = [
        {**FILE, "scheme": scheme, "file": "a.png", "rank": rank, "class_index": classes.index(label), "label": label}
        | {"score": 0.6 / rank}
        for scheme, answer in (("float32", classes[:3]), ("int8", labels))
        for rank, label in enumerate(answer, start=1)
    ]
    return frames.build(frames.CLASSIFICATION, rows)


def changed(n: int) -> pd.DataFrame:
    """Images whose answer changed from tench to crane; the second one shows a crane."""
    rows = [
        {
            **FILE,
            "against": "tiny0 int8",
            "data": "scenes",
            "image_index": 7 * i,
            "label": "crane" if i == 1 else "tench",
        }
        | {"predicted": "tench", "against_predicted": "crane", "confidence": 0.5, "against_confidence": 0.4}
        for i in range(n)
    ]
    return frames.build(frames.CHANGED, rows)


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


PLOTS = {
    "audit": lambda: plot_audit(audit()),
    "image": lambda: plot_image(np.zeros((30, 40, 3), np.uint8), (5, 5, 20, 20)),
    "top": lambda: plot_top(classification()),
    "vector": lambda: plot_endpoint(np.arange(5.0), "pooled_features"),
}


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_figure_has_titles_units_and_hover(plot):
    figure = plot()
    assert figure.layout.title.text
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text
    assert figure.layout.height
    assert figure.layout.width is None
    assert all(t.hovertemplate for t in figure.data)


@pytest.mark.parametrize(("plot", "frame"), [(plot_top, classification), (plot_audit, audit)])
def test_frames_are_checked_and_left_alone(plot, frame):
    table = frame()
    plot(table)
    pd.testing.assert_frame_equal(table, frame())
    with pytest.raises(ValueError, match=f"Missing columns: {table.columns[-1]}"):
        plot(table.drop(columns=table.columns[-1]))
    with pytest.raises(UserError, match="Got 2 of them"):
        plot(pd.concat([table, table.assign(model="other")]))


def test_top_has_a_bar_per_class_best_first():
    figure = plot_top(classification())
    assert "a.png" in figure.layout.title.text
    (bars,) = figure.data
    assert list(bars.y) == [1, 2, 3, 4]
    assert list(bars.x) == pytest.approx(list(SCORES))
    assert list(bars.text) == ["70.00%", "20.00%", "10.00%", "< 0.01%"]
    names = figure.layout.yaxis.ticktext
    assert names[0].startswith("tench, Tinca")
    assert len(names[0]) == 38
    assert list(names[1:3]) == ["crane", "crane"]  # two bars, not one
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first on top
    assert bars.customdata[0][0] == "tench, Tinca tinca, a fish of slow rivers"


def test_audit_marks_the_best_and_yours():
    figure = plot_audit(audit())
    assert [t.name for t in figure.data] == ["A: the best", "B: yours", "cannot be told from A", "worse than A"]
    assert [len(t.x) for t in figure.data] == [1, 1, 1, 2]
    assert trace(figure, "B: yours").x[0] == pytest.approx(0.6)
    assert trace(figure, "B: yours").error_x.arrayminus[0] == pytest.approx(0.05)
    names = figure.layout.yaxis.ticktext
    assert names[0] == "A  [0, 1], crop 0.875, bicubic, RGB"
    assert names[1] == "[0, 1], no crop, bicubic, RGB"
    assert names[2].startswith("B  raw 0..255")
    assert names[4] == "[0, 1], crop 0.875, bicubic, RGB, labels -1"
    assert "images: 50" in trace(figure, "B: yours").hovertext[0]


def test_audit_shows_yours_however_bad_and_says_when_it_is_the_best():
    figure = plot_audit(audit(yours=5), n=2)
    assert list(trace(figure, "B: yours").y) == [3]
    assert len(figure.layout.yaxis.ticktext) == 3
    assert plot_audit(audit(yours=1)).data[0].name == "A: the best, and yours"


def test_small_picture_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    figure = plot_image(image, (1, 2, 4, 5))
    content = base64.b64decode(figure.data[0].source.split(",")[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), image)
    (window,) = figure.layout.shapes
    assert (window.x0, window.x1, window.y0, window.y1) == (1.5, 6.5, 0.5, 4.5)
    assert "9 x 6 px, the network sees the marked 5 x 4" in figure.layout.title.text
    assert "sees all of it" in plot_image(image, (0, 0, 6, 9)).layout.title.text
    assert "network" not in plot_image(image).layout.title.text


def test_large_picture_is_drawn_smaller_at_its_own_coordinates():
    figure = plot_image(np.zeros((3000, 4000, 3), np.uint8))
    assert len(figure.to_json()) < 100_000
    picture = figure.data[0]
    assert (picture.dx, picture.dy) == (6.25, 6.25)
    with pytest.raises(ValueError, match="uint8"):
        plot_image(np.zeros((3, 4)))


def test_maps_that_vary_most_in_the_order_of_their_channels():
    maps = np.zeros((12, 12, 40), np.float32)
    maps[::2, :, 5], maps[:, ::2, 30] = 2.0, 1.0
    figure = plot_endpoint(maps, "block_0", n=2)
    assert figure.layout.title.text == "block_0: 40 maps of 12 x 12, the 2 that vary most"
    assert list(trace(figure, "channel").text) == ["5", "30"]
    grid = np.array(trace(figure, "maps").z)
    assert set(np.unique(grid[~np.isnan(grid)])) == {0.0, 1.0, 2.0}
    of_channel = np.array(trace(figure, "maps").customdata)
    assert set(np.unique(grid[of_channel == 5])) >= {0.0, 2.0}
    assert (grid[of_channel == 30] <= 1).all()
    assert trace(figure, "maps").zmin == 0  # nothing below zero: one colour from dark to light


def test_maps_with_both_signs_have_white_at_zero():
    maps = np.random.default_rng(0).normal(size=(7, 7, 16))
    heat = trace(plot_endpoint(maps, "block_3"), "maps")
    assert heat.zmin == -heat.zmax < 0
    assert "16 maps of 7 x 7, all of them" in plot_endpoint(maps, "block_3").layout.title.text


def test_large_maps_are_averaged_not_thinned_out():
    maps = np.indices((113, 113)).sum(axis=0)[..., None].astype(float)
    grid = np.array(trace(plot_endpoint(maps, "stem"), "maps").z)
    values = grid[~np.isnan(grid)]
    assert values.size == 38 * 38  # cells of 3 x 3
    assert values.min() == 2  # mean of 0 1 2 1 2 3 2 3 4
    assert len(plot_endpoint(np.zeros((150, 150, 64)), "stem").to_json()) < 700_000


@pytest.mark.parametrize("shape", [(1, 1, 8), (3, 5, 1), (48, 48, 24), (1,)])
def test_every_shape_has_a_picture(shape):
    figure = plot_endpoint(np.zeros(shape), "any")
    assert 100 < figure.layout.height < 1000


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match=r"\(h, w, c\)"):
        plot_endpoint(np.zeros((1, 2, 2, 3)), "any")


def test_endpoint_view_opens_what_is_chosen_and_asks_once():
    asked = []

    def maps(name):
        asked.append(name)
        return np.ones((4, 4, 2)) * len(name)

    view = EndpointView(maps, ["stem", "block_0"], endpoint="block_0")
    assert view.endpoint.value == "block_0"
    view.endpoint.value = "stem"
    view.endpoint.value = "block_0"
    assert asked == ["block_0", "stem"]
    assert view.figure.layout.title.text.startswith("block_0:")
    assert PLOTLY_MIME in view.canvas.outputs[0]["data"]


def test_endpoint_view_takes_a_mapping_and_refuses_other_names():
    maps = {"stem": np.zeros((4, 4, 2)), "pooled_features": np.zeros(3)}
    assert EndpointView(maps).endpoint.value == "stem"
    with pytest.raises(UserError, match="Did you mean 'stem'"):
        EndpointView(maps, endpoint="stern")


def test_what_int8_ranks_otherwise_is_marked():
    figure = plot_answers(np.zeros((30, 40, 3), np.uint8), both("crane", "tench", "eel"))
    assert figure.layout.title.text == "a.png: tench (60%) becomes crane (60%)"
    texts = [note.text for note in figure.layout.annotations]
    assert sum("was 2 in float32" in text for text in texts) == 1
    assert sum("not among the first 3 in float32" in text for text in texts) == 1
    bars = {bar.name: bar for bar in figure.data if bar.type == "bar"}
    assert len(set(bars["int8"].marker.color)) == 1  # every one of them moved
    assert set(bars["int8"].marker.color).isdisjoint(bars["float32"].marker.color)
    assert bars["int8"].x[0] == 0.6
    assert all(trace.hovertemplate for trace in figure.data)
    assert "window" not in [shape.name for shape in figure.layout.shapes]


def test_the_order_of_what_is_improbable_is_not_marked():
    answers = both("tench", "drake", "crane")
    answers["score"] = answers["score"].where(answers["rank"] == 1, 0.004)
    figure = plot_answers(np.zeros((30, 40, 3), np.uint8), answers)
    assert not [note.text for note in figure.layout.annotations if "was" in note.text]


def test_the_same_answers_are_not_marked():
    figure = plot_answers(np.zeros((30, 40, 3), np.uint8), both("tench", "crane", "drake"), (5, 5, 20, 20))
    assert figure.layout.title.text == "a.png: both say tench"
    floats, quantized = (bar for bar in figure.data if bar.type == "bar")
    assert floats.marker.color == quantized.marker.color
    assert [shape.name for shape in figure.layout.shapes] == ["window"]
    with pytest.raises(UserError, match="two networks"):
        plot_answers(np.zeros((30, 40, 3), np.uint8), classification())


def test_the_gallery_has_a_tile_and_a_caption_for_each_picture():
    figure = plot_gallery(changed(8), [np.full((20, 30, 3), 9, np.uint8)] * 7)
    assert figure.layout.title.text == "8 images whose answer changed, 7 of them shown"
    assert len(figure.layout.images) == len(figure.layout.annotations) == 7
    assert "shows tench (image 0)<br>tench (50%)<br><b>→ crane (40%)</b>" in figure.layout.annotations[0].text
    assert len({(tile.x, tile.y) for tile in figure.layout.images}) == 7
    assert "same answer on every one" in plot_gallery(changed(0), []).layout.annotations[0].text


def test_mistakes_stand_with_what_they_were_taken_for():
    rows = [
        {**FILE, "data": "d", "image_index": i, "label": "tench", "predicted": "crane", "confidence": 0.9 - i / 10}
        for i in range(3)
    ]
    figure = view.plot_mistakes(frames.build(frames.MISTAKES, rows), [np.full((20, 30, 3), 9, np.uint8)] * 2)
    assert figure.layout.title.text == "3 images taken for something else, 2 of them shown"
    assert figure.layout.annotations[1].text == "tench (image 1)<br><b>→ crane (80%)</b>"
    nothing = view.plot_mistakes(frames.build(frames.MISTAKES, []), [])
    assert "Every one of these images is recognised" in nothing.layout.annotations[0].text
    tiles = view.plot_pictures([np.full((20, 30, 3), 9, np.uint8)] * 8, list("abcdefgh"), "views")
    assert [note.text for note in tiles.layout.annotations] == list("abcdefgh")


def test_a_run_is_followed_epoch_by_epoch():
    live = view.HistoryView()
    for epoch in (1, 2):
        row = {"model": "own", "epoch": epoch, "loss": 1 / epoch, "train_top1": 0.5, "validation_top1": 0.4}
        live(row | {"epochs": 3})
        assert live.words.value == f"own: epoch {epoch} of 3"
        assert list(live.figures["history"].data[0].x) == list(range(1, epoch + 1))
    assert view.HistoryView(live.history).history.equals(live.history)


def test_a_picture_is_chosen_or_uploaded():
    asked = []

    def answer(picture, name):
        asked.append((picture.shape, name))
        return both("tench", "crane", "eel").assign(file=name)

    grey = np.full((10, 12, 3), 90, np.uint8)
    pictures = {"one": lambda: grey, "two": lambda: grey[:5]}
    widget = AnswerView(answer, pictures, decode, window=lambda picture: (0, 0, 4, 4), chosen="two")
    widget.picture.value = "one"
    assert asked == [((5, 12, 3), "two"), ((10, 12, 3), "one")]
    assert widget.figure.layout.title.text.startswith("one: ")
    content = io.BytesIO()
    Image.fromarray(grey[:, :7]).save(content, "PNG")
    file = {"name": "mine.png", "type": "image/png", "size": 1, "content": memoryview(content.getvalue())}
    widget.upload.value = ({**file, "last_modified": dt.datetime.now(dt.UTC)},)
    assert asked[-1] == ((10, 7, 3), "mine.png")
    assert widget.figures["answers"].layout.title.text.startswith("mine.png: ")
    widget.upload.value = ({**file, "content": memoryview(b"no"), "last_modified": dt.datetime.now(dt.UTC)},)
    assert "Cannot decode mine.png" in widget.text.value
    assert len(asked) == 3
    with pytest.raises(UserError, match="Did you mean 'two'"):
        AnswerView(answer, pictures, decode, chosen="tow")
