"""The family beside other networks: what is measured, what is published, and how the two are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.litert import read_graph, read_info
from effnet_lab.names import UserError
from effnet_lab.studies import rivals
from effnet_lab.view import plot_rivals

INT8 = "static_wi8_ai8"
NAMES = ("lite0", "mobilenet_v2", "resnet50")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rivals")


@pytest.fixture(scope="module")
def table(folder) -> pd.DataFrame:
    return rivals(NAMES, folder, measured=["mobilenet_v2"], size_px=32, n_runs=6, n_blocks=3)


def row(table: pd.DataFrame, model: str, scheme: str) -> pd.Series:
    return table.set_index(["model", "scheme"]).loc[(model, scheme)]


def test_files_are_float_and_int8_and_not_built_again(table, folder):
    files = sorted(folder.glob("*.tflite"))
    assert [read_info(path).scheme for path in files] == ["float32", INT8]
    assert {read_graph(path).scheme for path in files} == {"float32", INT8}
    before = [path.stat().st_mtime_ns for path in files]
    rivals(["mobilenet_v2"], folder, size_px=32, n_runs=3, n_blocks=3)
    assert [path.stat().st_mtime_ns for path in files] == before


def test_what_was_measured_has_an_interval_and_a_host(table, folder):
    frames.require(table, frames.RIVALS, caller="test")
    assert len(table) == 6
    for scheme in ("float32", INT8):
        found = row(table, "mobilenet_v2", scheme)
        assert found["p50_lo_ms"] <= found["p50_ms"] <= found["p50_hi_ms"]
        assert found["host"]
        assert (found["threads"], found["n_runs"], found["size_px"]) == (1, 6, 32)
        assert found["size_bytes"] == next(folder.glob(f"*.{scheme}.*")).stat().st_size
    float_bytes, int8_bytes = (row(table, "mobilenet_v2", scheme)["size_bytes"] for scheme in ("float32", INT8))
    assert 3 < float_bytes / int8_bytes < 4
    assert float_bytes == pytest.approx(4 * 3_504_872, rel=0.02)  # parameters after batch norm is folded, 4 bytes each


def test_accuracies_are_the_published_ones():
    """Sources: tensorflow/tpu lite/README.md; keras.io/api/applications; TensorFlow Lite, model optimization."""
    table = rivals(measured=[])
    top1 = table.set_index(["model", "scheme"])["published_top1"]
    lite = [top1[(f"lite{i}", INT8)] for i in range(5)]
    assert lite == [0.744, 0.759, 0.770, 0.790, 0.802]  # the authors' table, not the blog's 80.4 %
    assert (top1[("resnet50", "float32")], top1[("inception_v3", INT8)]) == (0.749, 0.772)
    assert np.isnan(top1[("resnet50", INT8)])  # nobody published one
    pixel4 = table.set_index(["model", "scheme"])["published_ms"]
    assert [pixel4[(f"lite{i}", "float32")] for i in range(5)] == [12, 18, 26, 41, 76]
    assert np.isnan(pixel4[("mobilenet_v2", INT8)])
    has = table["published_top1"].notna()
    assert (table["published_source"] != "").eq(has).all()
    assert table["p50_ms"].isna().all()


def test_unknown_network(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'mobilenet_v2'"):
        rivals(["mobilenet_v3"], tmp_path)
    with pytest.raises(UserError, match="Did you mean 'lite4'"):
        rivals(measured=["lite5"], folder=tmp_path)


def test_latency_figure_has_this_host_beside_the_pixel(table):
    figure = plot_rivals(table, "p50_ms", INT8)
    here, there = (note.text for note in figure.layout.annotations)
    assert here == row(table, "mobilenet_v2", INT8)["host"]
    assert "Pixel 4" in there
    ours, published = figure.data
    assert (list(ours.text), list(ours.y)) == (["mobilenet_v2"], [0.637])
    assert (list(published.text), list(published.x), list(published.y)) == (["lite0"], [6.5], [0.744])
    assert list(ours.x) == [row(table, "mobilenet_v2", INT8)["p50_ms"]]
    assert ours.error_x.array[0] >= 0
    assert published.error_x.array is None
    assert "slim network" in ours.hovertext[0]


def test_size_figure_has_one_panel_and_float_has_its_own_accuracy(table):
    figure = plot_rivals(table, "size_bytes", "float32")
    assert len(figure.layout.annotations) == 1
    (marks,) = figure.data
    assert list(marks.y) == [0.713]
    assert figure.layout.xaxis.title.text == "file size (bytes)"


def test_a_figure_of_nothing_measured_says_so():
    published = plot_rivals(rivals(measured=[]))
    assert [note.text for note in published.layout.annotations] == ["Pixel 4, 4 threads, published"]
    assert list(published.data[0].text) == [f"lite{i}" for i in range(5)]
    assert published.layout.yaxis.title.text
    nothing = plot_rivals(rivals(measured=[]), "size_bytes")
    assert nothing.layout.annotations[0].text == "File size of these networks: not measured here"
    assert not nothing.layout.xaxis.visible


def test_figure_knows_its_axes(table):
    with pytest.raises(UserError, match="Did you mean 'p50_ms'"):
        plot_rivals(table, "p50")
