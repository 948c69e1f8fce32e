"""Figures and widgets on small handmade frames: what is in the figure, not what it looks like."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import view_frames as made
from test_view_measured import MEASURED

from effnet_lab import frames, view
from effnet_lab.names import UserError
from effnet_lab.view import LayerErrorView, ScalingView, TradeoffView
from effnet_lab.view.axes import axis, interval
from effnet_lab.view.figures.stages import stages
from effnet_lab.view.text import layer_axis, short_layer, wrapped_layer
from effnet_lab.view.widgets.canvas import PLOTLY_MIME

FILE = ("tiny0", "static_wi8_ai8", "converter")


def one_histogram() -> pd.DataFrame:
    return made.histogram(*FILE, made.layer_name("blocks_3"))


# Every public figure function: how a test calls it, and on which frame.
FIGURES = {
    "plot_activation_style": (view.plot_activation_style, made.activation_style),
    "plot_calibration_accuracy": (view.plot_calibration_accuracy, made.calibration_accuracy),
    "plot_calibration_methods": (view.plot_calibration_methods, made.calibration_accuracy),
    "plot_calibration_ranges": (view.plot_calibration_ranges, made.calibration_ranges),
    "plot_candidates": (view.plot_candidates, made.candidates),
    "plot_coefficients": (view.plot_coefficients, made.coefficients),
    "plot_dimensions": (view.plot_dimensions, made.scaling),
    "plot_gain": (view.plot_gain, made.slopes),
    "plot_left_out": (view.plot_left_out, made.left_out),
    "plot_counts": (view.plot_counts, lambda: made.count()[1]),
    "plot_family": (view.plot_family, made.variants),
    "plot_histogram": (view.plot_histogram, one_histogram),
    "plot_history": (view.plot_history, made.history),
    "plot_layer_error": (view.plot_layer_error, made.errors),
    "plot_moved_codes": (view.plot_moved_codes, made.moved_codes),
    "plot_precisions": (view.plot_precisions, made.precisions),
    "plot_rounding": (view.plot_rounding, made.rounding),
    "plot_sensitivity": (view.plot_sensitivity, made.sensitivity),
    "plot_published": (lambda table: view.plot_published(table, "pixel4_cpu_ms", "top1"), made.published),
    "plot_stages": (view.plot_stages, lambda: made.count()[1]),
    "plot_tradeoffs": (view.plot_tradeoffs, made.tradeoffs),
    "plot_rivals": (view.plot_rivals, made.rivals),
}


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


PICTURES = {
    "plot_answers",
    "plot_audit",
    "plot_endpoint",
    "plot_gallery",
    "plot_image",
    "plot_mistakes",
    "plot_pictures",
    "plot_top",
}  # in test_view_pictures.py
SWEEPS = {"plot_grid_front", "plot_interactions", "plot_layer_grid"}  # in test_sweep.py


def test_every_figure_is_in_the_table():
    assert (
        FIGURES.keys()
        == {name for name in view.__all__ if name.startswith("plot_")} - PICTURES - SWEEPS - MEASURED.keys()
    )


@pytest.mark.parametrize(("plot", "frame"), FIGURES.values(), ids=FIGURES)
def test_figure_has_titles_units_and_hover(plot, frame):
    figure = plot(frame())
    assert figure.layout.title.text
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text
    assert figure.layout.height
    assert figure.layout.width is None  # it takes the width of the page
    assert "plotly.graph_objs" in type(figure).__module__
    assert any(t.hovertemplate for t in figure.data)


@pytest.mark.parametrize(("plot", "frame"), FIGURES.values(), ids=FIGURES)
def test_missing_column_is_an_error_that_names_it(plot, frame):
    table = frame()
    last = table.columns[-1]
    with pytest.raises(ValueError, match=f"Missing columns: {last}"):
        plot(table.drop(columns=last))


@pytest.mark.parametrize(("plot", "frame"), FIGURES.values(), ids=FIGURES)
def test_figure_leaves_its_frame_alone(plot, frame):
    table, before = frame(), frame()
    plot(table)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    "plot",
    [
        lambda: view.plot_family(made.variants(), x="maddz"),
        lambda: view.plot_counts(made.count()[1], "param"),
        lambda: view.plot_candidates(made.candidates(), y="maddz"),
        lambda: view.plot_layer_error(made.errors(), "sqnr_db"),
        lambda: view.plot_tradeoffs(made.tradeoffs(), x="p50"),
        lambda: view.plot_published(made.published(), "top1", "pixel4_ms"),
    ],
)
def test_unknown_axis_has_a_suggestion(plot):
    with pytest.raises(UserError, match="Did you mean"):
        plot()


def test_family_shows_published_values_and_the_point():
    point, _counts = made.count(width=0.5)
    figure = view.plot_family(made.variants(), point)
    assert [t.name for t in figure.data] == ["tiny", "big", "b", "as published", "yours"]
    assert list(trace(figure, "big").x) == [385_000_000, 600_000_000]
    assert list(trace(figure, "as published").x) == [407_000_000, 631_000_000]
    assert list(trace(figure, "yours").y) == [1_000_000]
    assert "parameters: 4,650,000" in trace(figure, "big").hovertext[0]
    assert "published: not measured" in trace(figure, "tiny").hovertext[0]
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_counts_are_bars_in_forward_order():
    counts = made.count()[1]
    figure = view.plot_counts(counts, "activation_bytes")
    bars = {x: y for t in figure.data for x, y in zip(t.x, t.y, strict=True)}
    assert [bars[i] for i in range(8)] == [1024 * (i + 1) for i in range(8)]
    assert {t.name for t in figure.data} == set(made.OPS)
    assert "8,192" in figure.layout.title.text


def test_counts_of_two_models_are_refused():
    counts = made.count()[1]
    with pytest.raises(UserError, match="one model"):
        view.plot_counts(pd.concat([counts, counts.assign(model="other")]))


def test_candidates_mark_the_first_and_say_what_is_left_out(monkeypatch):
    monkeypatch.setattr("effnet_lab.view.figures.scaling.MOST_CANDIDATES", 10)
    figure = view.plot_candidates(made.candidates(40))
    assert len(trace(figure, "candidates").x) == 10
    assert list(trace(figure, "best").y) == [40_000]
    assert "best 10 of 40" in figure.layout.title.text


def test_layer_error_has_a_line_per_file_and_names_the_worst():
    figure = view.plot_layer_error(made.errors())
    assert len(figure.data) == 3
    assert [a.text for a in figure.layout.annotations].count("blocks_3/Relu6: 17.0") == 1
    assert all(a.text.startswith("blocks_3/") for a in figure.layout.annotations)
    box = figure.data[0].hovertext[4]
    for words in ("net/blocks_3/Relu6", "SQNR (dB): 17.0", "cosine", "scale", "weights (dB): 40.0", "images: 8"):
        assert words in box


def test_layer_error_of_one_file_marks_the_chosen_layer():
    one = made.errors().query("model == 'tiny1'")
    figure = view.plot_layer_error(one, "mse", layer=made.layer_name("blocks_0"), n_worst=2)
    assert list(trace(figure, "chosen layer").x) == [1]
    assert figure.layout.shapes[0].x0 == 1
    assert figure.layout.yaxis.type == "log"
    assert {a.text.split("/")[0] for a in figure.layout.annotations} == {"blocks_3", "head"}
    lowest, highest = figure.layout.yaxis.range
    assert lowest < np.log10(one["mse"].min()) < np.log10(one["mse"].max()) < highest
    assert all(lowest < a.ay < highest for a in figure.layout.annotations)


def test_layer_error_survives_values_that_cannot_be_drawn():
    one = made.errors().query("model == 'tiny1'").copy()
    one["sqnr_accumulated_db"] = [np.inf, -np.inf, np.nan, *one["sqnr_accumulated_db"][3:]]
    one["mse"] = 0.0
    assert len(view.plot_layer_error(one).layout.annotations) == 3
    assert len(view.plot_layer_error(one, "mse").layout.annotations) == 0
    assert len(view.plot_layer_error(one.assign(weight_sqnr_db=np.nan), "weight_sqnr_db").layout.annotations) == 0


def test_labels_of_neighbours_do_not_overlap():
    one = made.errors().query("model == 'tiny1'").copy()
    one["sqnr_accumulated_db"] = np.array([30, 30, 30, 30, 30, 10, 11, 12.0])
    labels = sorted(view.plot_layer_error(one).layout.annotations, key=lambda a: a.x)
    assert [a.x for a in labels] == [5, 6, 7]  # the three worst layers, side by side
    heights = np.array([a.ay for a in labels])
    span = 30 - 10  # dB over a figure of about 400 px: 1 dB is more than a line of text
    assert (np.abs(np.diff(heights)) > span / 20).all(), heights  # so their names stand one above the other


def test_histogram_overlays_float_and_quantized():
    table = one_histogram()
    figure = view.plot_histogram(table)
    assert [t.name for t in figure.data] == ["quantized", "float"]
    assert figure.layout.barmode == "overlay"
    drawn = np.asarray(trace(figure, "float").y, dtype=float)[::2]
    counts = table[table["computed_in"] == "float"]["count"]
    assert np.nansum(drawn) == counts.sum() == 4000
    assert trace(figure, "quantized").width[0] == pytest.approx(0.15)


def test_histogram_of_two_layers_is_refused():
    two = pd.concat([one_histogram(), made.histogram(*FILE, made.layer_name("head"))])
    with pytest.raises(UserError, match="Got 2"):
        view.plot_histogram(two)


def test_tradeoffs_have_intervals_symbols_and_a_front():
    table = made.tradeoffs()
    figure = view.plot_tradeoffs(table, standing=made.standing(table, "p50_ms", "top1"))
    floats = trace(figure, "float32, converter")
    assert list(floats.x) == [1.0, 3.0]
    assert list(floats.error_y.array) == pytest.approx([0.02, 0.02])
    assert list(floats.error_y.arrayminus) == pytest.approx([0.03, 0.03])
    assert list(floats.error_x.array) == pytest.approx([0.1, 0.3])
    assert floats.marker.symbol[0] != floats.marker.symbol[1]
    assert list(trace(figure, "front").x) == [0.8, 1.0, 3.0]
    assert trace(figure, "front").line.shape == "hv"
    assert "top-1 accuracy: 88.00% [85.00% … 90.00%]" in floats.hovertext[0]
    assert "latency p50 (ms, this host): not measured" in trace(figure, "static_wi8_ai8, converter").hovertext[1]
    assert {t.name for t in figure.data if t.legend == "legend2"} == {"tiny0", "tiny1"}


def test_front_steps_the_other_way_when_more_of_x_is_better():
    table = made.tradeoffs()
    figure = view.plot_tradeoffs(table, "top1", "size_bytes", made.standing(table, "top1", "size_bytes"))
    assert trace(figure, "front").line.shape == "vh"
    assert trace(figure, "float32, converter").error_y.array is None


def test_a_name_on_the_front_stands_once_and_has_room_beside_its_mark():
    table = made.tradeoffs()
    table = table.assign(model="tiny0", scheme="float32", backend=[f"back end {row}" for row in range(len(table))])
    for x, y, place in (("p50_ms", "top1", "top left"), ("top1", "p50_ms", "top right")):
        figure = view.plot_tradeoffs(table, x, y, made.standing(table, x, y))
        front = trace(figure, "front")
        assert len(front.x) > 1
        assert [text.strip() for text in front.text if text] == ["tiny0"]
        assert front.textposition == place
        low, high = figure.layout.xaxis.range
        ends = [np.log10(value) if x == "p50_ms" else value for value in (min(front.x), max(front.x))]
        sides = ends[0] - low, high - ends[1]
        assert sides[place == "top right"] > 0.1 * (ends[1] - ends[0])


def test_published_pairs_the_two_quantities():
    figure = view.plot_published(made.published(), "pixel4_cpu_ms", "top1")
    assert list(figure.data[0].x) == [12, 18]
    assert list(figure.data[0].text) == ["lite0", "lite1"]
    assert "tensorflow/tpu" in figure.data[0].hovertext[0]
    assert figure.layout.xaxis.title.text == "pixel4_cpu_ms (ms)"


def test_history_draws_three_curves_per_model():
    figure = view.plot_history(made.history())
    assert len(figure.data) == 6
    assert list(figure.data[0].y) == pytest.approx([2 / (e + 1) for e in range(1, 6)])


def test_axes_write_units_and_nan():
    assert axis("p50_ms").title == "latency p50 (ms, this host)"
    assert axis("top1").write(0.9245) == "92.45%"
    assert axis("params").write(4_652_008) == "4,652,008"
    assert axis("top1").write(float("nan")) == "not measured"
    assert axis("no_such_column", "mJ").title == "no_such_column (mJ)"
    assert (interval("top1"), interval("p50_ms")) == (("top1_lo", "top1_hi"), ("p50_lo_ms", "p50_hi_ms"))


def test_every_number_of_a_drawn_frame_has_an_axis():
    drawn = (frames.VARIANTS, frames.CANDIDATES, frames.TRADEOFFS, frames.HISTORY, frames.LAYER_ERROR, frames.COUNTS)
    words = {"op", "data", "kernels", "model", "scheme", "backend", "layer", "layer_index", "granularity"}
    columns = {column for frame in drawn for column in frame.columns}
    ends = {end for column in columns for end in interval(column)}
    assert columns - words - ends - frames.COLUMNS.keys() == set()


def test_long_layer_names_are_cut():
    assert short_layer("net/model/blocks_1/Relu6;net/model/blocks_1/bn") == "blocks_1/Relu6"
    assert len(short_layer("x" * 100)) == 34
    assert wrapped_layer("a;b;c;d;<e>", lines=2) == "a<br>b<br>… and 3 more fused ops"


def shown(canvas):
    """The plotly bundle on the page."""
    (output,) = canvas.outputs
    assert output["output_type"] == "display_data"
    return output["data"][PLOTLY_MIME]


def test_scaling_view_follows_its_sliders():
    seen = []
    widget = ScalingView(lambda **settings: seen.append(settings) or made.count(**settings), made.variants())
    before = shown(widget.canvas)
    assert "4,000,000" in widget.text.value
    widget.sliders["width"].value = 0.5
    assert seen[-1] == {"fixed_ends": True, "width": 0.5, "depth": 1.0, "resolution_px": 224}
    assert "1,000,000" in widget.text.value
    assert trace(widget.figure, "yours").y[0] == 1_000_000
    assert shown(widget.canvas) != before
    widget.fixed_ends.value = False
    assert "1,000,007" in widget.text.value
    widget.column.value = "params"
    assert "arameters of each layer" in widget.detail.layout.title.text


def test_scaling_view_compound_mode():
    seen = []
    widget = ScalingView(lambda **s: seen.append(s) or made.count(**s), made.variants(), mode="compound", phi=1.0)
    assert seen[-1] == {"fixed_ends": True, "alpha": 1.2, "beta": 1.1, "gamma": 1.15, "phi": 1.0}
    one = trace(widget.figure, "yours").x[0]
    widget.sliders["phi"].value = 2.0
    assert trace(widget.figure, "yours").x[0] > one
    widget.mode.value = "multipliers"
    assert trace(widget.figure, "yours").y[0] == 4_000_000


def test_a_slider_asks_once():
    """The law once, and the MAdds at phi = 0 only when the ends change."""
    seen, law = (
        [],
        pd.DataFrame([{"expected_top1": 0.5, "expected_top1_lo": 0.4, "expected_top1_hi": 0.6, "inside": False}]),
    )
    asked = []
    widget = ScalingView(
        lambda **s: seen.append(s) or made.count(**s), made.variants(), mode="compound",
        expect=lambda **s: asked.append(s) or (law, pd.DataFrame()),
    )  # fmt: skip
    assert (len(seen), len(asked)) == (2, 1)
    widget.sliders["alpha"].value = 1.3
    assert (len(seen), len(asked)) == (3, 2)
    assert asked[-1] == seen[-1] == widget.settings
    widget.fixed_ends.value = False
    assert (len(seen), len(asked)) == (5, 3)
    widget.hold.click()
    assert (len(seen), len(asked)) == (6, 4)


def test_scaling_view_holds_a_network_beside_yours():
    _, counts = made.count()
    family = made.variants().assign(model=lambda rows: ["yours", *rows["model"][1:]])
    widget = ScalingView(made.count, family, counts=counts, held="yours")
    assert "yours / held" in widget.text.value
    bars = [trace for trace in widget.figures["your_stages"].data if trace.type == "bar"]
    assert [len(trace.x) for trace in bars] == [len(made.stages_of(counts))] * 2
    widget.release.click()
    assert "held" not in widget.text.value
    widget.hold.click()
    widget.sliders["width"].value = 0.5
    assert "0.25" in widget.text.value  # a quarter of the parameters
    assert [t.name for t in widget.figure.data][-1] == "held: width 1, depth 1, 224 px"
    assert next(trace.name for trace in widget.figures["your_stages"].data if trace.type == "bar") == "yours"


def test_scaling_view_switches_axes_and_estimates():
    family = made.variants().assign(estimated_ms=[1.0, 2.0, 3.0, 4.0, 5.0])
    widget = ScalingView(made.count, family, estimate=lambda counts: 7.0, x="estimated_ms")
    assert widget.figure.layout.xaxis.title.text == "time, estimated (ms)"
    assert list(trace(widget.figure, "yours").x) == [7.0]
    widget.y.value = "madds"
    assert widget.figure.layout.yaxis.title.text == "MAdds per image"


def test_stages_are_blocks_with_maps_of_one_size():
    found = stages(made.count()[1], "madds")
    assert [stage.n_blocks for stage in found] == made.stages_of(made.count()[1])
    assert sum(stage.share for stage in found) == pytest.approx(1)


def test_scaling_view_says_why_a_setting_has_no_network():
    def count(**settings):
        if settings["resolution_px"] < 64:
            raise UserError("resolution must be >= 64 px. Got 32.")
        return made.count(**settings)

    widget = ScalingView(count, made.variants())
    before = widget.figure
    widget.sliders["resolution_px"].value = 32
    assert ">= 64 px" in widget.text.value
    assert widget.figure is before


def test_layer_error_view_starts_at_the_worst_layer():
    widget = LayerErrorView(made.errors(), made.histogram)
    assert (widget.model.value, widget.scheme.value, widget.backend.value) == FILE
    assert widget.layer.value == made.layer_name("blocks_3")
    assert "17.0" in widget.text.value
    assert widget.detail.layout.title.text == "Values of blocks_3/Relu6"


def test_layer_error_view_follows_its_menus():
    asked = []
    widget = LayerErrorView(made.errors(), lambda *key: asked.append(key) or made.histogram(*key))
    curve, values = shown(widget.canvas), shown(widget.detail_canvas)
    widget.layer.value = made.layer_name("head")
    assert list(trace(widget.figure, "chosen layer").x) == [7]
    assert shown(widget.canvas) != curve
    assert shown(widget.detail_canvas) != values
    widget.metric.value = "cosine"
    assert widget.figure.layout.yaxis.title.text == "cosine similarity"
    assert len(asked) == 2
    widget.model.value = "tiny1"
    assert asked[-1] == ("tiny1", "static_wi8_ai8", "converter", made.layer_name("head"))
    assert widget.backend.options == ("converter",)
    assert [t.name for t in widget.figure.data] == ["tiny1 static_wi8_ai8 (converter)", "chosen layer"]
    widget.model.value = "tiny0"
    widget.backend.value = "ai_edge_quantizer"
    assert widget.rows["backend"].unique().tolist() == ["ai_edge_quantizer"]


def test_layer_error_view_takes_every_control_as_keyword():
    layer = made.layer_name("stem")
    widget = LayerErrorView(
        made.errors(), made.histogram, model="tiny0", scheme="static_wi8_ai8", backend="ai_edge_quantizer", layer=layer,
        metric="mse",
    )  # fmt: skip
    assert widget.layer.value == layer
    assert "tiny0 static_wi8_ai8 (ai_edge_quantizer)" in widget.figure.data[0].name


def test_layer_error_view_offers_what_was_measured():
    errors = made.errors()
    offered = [name for _label, name in LayerErrorView(errors, made.histogram).metric.options]
    assert offered[0] == "sqnr_accumulated_db"
    assert "cosine" in offered
    assert not {"sqnr_local_db", "sqnr_effect_db", "effect_changed_top1"} & set(offered)
    with pytest.raises(UserError, match="sqnr_effect_db was not measured"):
        LayerErrorView(errors, made.histogram, metric="sqnr_effect_db")
    errors.loc[errors["model"] == "tiny1", "sqnr_local_db"] = 40.0
    errors.loc[errors["model"] == "tiny1", "sqnr_accumulated_db"] = np.nan
    widget = LayerErrorView(errors, made.histogram)
    widget.model.value = "tiny1"
    assert widget.metric.value == "sqnr_local_db"
    assert "local" in widget.figure.layout.yaxis.title.text
    widget.model.value = "tiny0"
    assert "sqnr_local_db" not in [name for _label, name in widget.metric.options]


def test_layer_error_view_takes_short_layer_names():
    assert LayerErrorView(made.errors(), made.histogram, layer="head/Relu6").layer.value == made.layer_name("head")


def test_layer_error_view_with_a_frame_says_when_a_layer_has_no_histogram():
    widget = LayerErrorView(made.errors(), one_histogram())
    assert len(widget.detail.data) == 2
    widget.layer.value = made.layer_name("head")
    assert "No histogram" in widget.detail.layout.annotations[0].text
    assert PLOTLY_MIME in widget.detail_canvas.outputs[0]["data"]


def test_tradeoff_view_switches_axes():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose)
    before = shown(widget.canvas)
    assert "3 of 4 files" in widget.text.value
    assert "1 without both numbers" in widget.text.value
    widget.x.value = "size_bytes"
    assert widget.figure.layout.xaxis.title.text == "file size (bytes)"
    assert shown(widget.canvas) != before
    assert "tiny1 static_wi8_ai8 (converter)" in widget.text.value
    assert "without both" not in widget.text.value


def test_tradeoff_view_rings_the_file_to_take_on_every_axis():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose)
    assert "<b>Take &lt;tiny1 float32&gt;.</b>" in widget.text.value
    widget.budgets["max_ms"].value = 0.9
    assert "<b>Take &lt;tiny0 static_wi8_ai8&gt;.</b>" in widget.text.value
    assert widget.chosen["size_bytes"].tolist() == [70_000]
    for axis_name, x in (("p50_ms", 0.80), ("size_bytes", 70_000)):
        widget.x.value = axis_name
        (ring,) = [trace for trace in widget.figure.data if trace.name == "take this"]
        assert (list(ring.x), list(ring.y)) == ([x], [0.875])


def test_every_budget_is_a_line_on_its_axis():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose, max_ms=0.9, min_top1=0.8, max_flash_kib=100)
    assert [(line.x0, line.x1, line.y0, line.y1) for line in widget.figure.layout.shapes] == [
        (0.9, 0.9, 0, 1), (0, 1, 0.8, 0.8),
    ]  # fmt: skip
    widget.x.value = "size_bytes"
    assert widget.figure.layout.shapes[0].x0 == 100 * 1024


def test_nothing_fits_means_no_ring():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose, max_flash_kib=1)
    assert widget.chosen.empty
    assert "take this" not in [trace.name for trace in widget.figure.data]
    with pytest.raises(UserError, match="min_top1"):
        TradeoffView(made.tradeoffs(), made.standing, made.choose, min_top1=90)


def test_the_line_joins_the_front_and_near_ties_are_faint_and_named():
    table = made.tradeoffs().iloc[[1, 0, 2]].reset_index(drop=True).assign(top1=[0.875, 0.870, 0.960])
    standing = pd.DataFrame({"on_front": [True, False, True], "near_tie": [False, True, False]})
    figure = view.plot_tradeoffs(table, standing=standing)
    assert list(trace(figure, "front").x) == [0.8, 3.0]
    assert list(trace(figure, "near ties").text) == ["<br>tiny0"]
    off = view.plot_tradeoffs(table, standing=standing.assign(near_tie=False))
    faint, full = trace(figure, "float32, converter").marker.opacity
    fainter, _full = trace(off, "float32, converter").marker.opacity
    assert fainter < faint < full == 1.0
    said = TradeoffView(table, lambda *_: standing, made.choose).text.value
    assert "Near ties</b>, not told apart from one of these: tiny0 float32 (converter)" in said


def test_tradeoff_view_swaps_axes_instead_of_showing_one_twice():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose)
    widget.x.value = "top1"
    assert (widget.x.value, widget.y.value) == ("top1", "p50_ms")
    assert widget.figure.layout.yaxis.title.text == "latency p50 (ms, this host)"


def test_tradeoff_view_offers_what_was_measured():
    widget = TradeoffView(made.tradeoffs(), made.standing, made.choose)
    assert "peak_activation_bytes" not in [name for _label, name in widget.x.options]
    with pytest.raises(UserError, match="not measured"):
        TradeoffView(made.tradeoffs(), made.standing, made.choose, x="peak_activation_bytes")
    with pytest.raises(UserError, match="must differ"):
        TradeoffView(made.tradeoffs(), made.standing, made.choose, x="top1")


@pytest.mark.parametrize(
    ("make", "nearest"),
    [
        (lambda: LayerErrorView(made.errors(), made.histogram, model="tiny"), "tiny[01]"),
        (lambda: LayerErrorView(made.errors(), made.histogram, scheme="static_wi8"), "static_wi8_ai8"),
        (lambda: LayerErrorView(made.errors(), made.histogram, backend="convertor"), "converter"),
        (lambda: LayerErrorView(made.errors(), made.histogram, layer="haed/Relu6"), "head/Relu6"),
        (lambda: LayerErrorView(made.errors(), made.histogram, metric="weight_sqnr"), "weight_sqnr_db"),
        (lambda: TradeoffView(made.tradeoffs(), made.standing, made.choose, y="top_1"), "top1"),
        (lambda: ScalingView(made.count, made.variants(), mode="multiplier"), "multipliers"),
        (lambda: ScalingView(made.count, made.variants(), column="madd"), "madds"),
    ],
)
def test_unknown_name_for_a_control_has_a_suggestion(make, nearest):
    with pytest.raises(UserError, match=f"Did you mean '{nearest}"):
        make()


def test_slider_out_of_range_says_the_range():
    with pytest.raises(UserError, match=r"width must lie between 0\.05 and 2\. Got 20"):
        ScalingView(made.count, made.variants(), width=20)


def test_empty_table_is_an_error_with_a_remedy():
    with pytest.raises(UserError, match="no rows"):
        LayerErrorView(made.errors().head(0), made.histogram)


def test_import_is_light():
    heavy = "{'tensorflow', 'tf_keras', 'papermill', 'ai_edge_litert', 'plotly.express'}"
    code = f"import sys, effnet_lab.view; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_rounding_shows_both_errors_and_the_share_that_moved():
    table = made.rounding()
    figure = view.plot_rounding(table)
    np.testing.assert_array_equal(trace(figure, "to the nearest code").y, table["sqnr_nearest_db"])
    np.testing.assert_array_equal(trace(figure, "for the output").y, table["sqnr_rounded_db"])
    np.testing.assert_array_equal(trace(figure, "weights on another code").y, table["moved_share"])
    (heat,) = view.plot_moved_codes(made.moved_codes()).data
    assert heat.z.shape == (3, 2)
    assert heat.z[2, 1] == 0.75
    assert list(heat.y) == [-1, 0, 1]


def test_layers_of_one_short_name_do_not_fall_together():
    rows = (
        made.rounding()
        .iloc[[0] * 40]
        .assign(layer_index=range(0, 80, 2), layer=[f"net/{i}/conv/Conv2D" for i in range(40)])
    )
    for n in (3, 40):
        few = rows.head(n).reset_index(drop=True)
        figure = view.plot_rounding(few)
        for name in ("to the nearest code", "weights on another code"):
            assert list(trace(figure, name).x) == list(range(n))
        shown = figure.layout.xaxis.ticktext
        assert shown == (("conv/Conv2D",) * 3 if n == 3 else tuple(str(i) for i in range(0, 80, 10)))
    moved = made.moved_codes().assign(layer="net/conv")
    (heat,) = view.plot_moved_codes(moved).data
    assert (list(heat.x), heat.z.shape) == ([0, 1], (3, 2))
    ranges = pd.DataFrame({"layer_index": [3, 1], "layer": "conv"})
    assert list(layer_axis(ranges)[0]) == [1, 0]


def test_intervals_of_what_was_expected_are_not_cut_off():
    table = made.left_out().assign(expected_top1_lo=0.52, expected_top1_hi=0.93)
    low, high = view.plot_left_out(table).layout.xaxis.range
    assert (low < 0.52, high > 0.93) == (True, True)


def test_the_front_of_precisions_falls_and_marks_the_choice():
    figure = view.plot_precisions(made.precisions())
    front = trace(figure, "front")
    assert list(front.x) == [40_000, 60_000, 100_000, 400_000], (
        "a file that costs more for more noise is not on the front"
    )
    assert (np.diff(front.y) < 0).all()
    assert list(trace(figure, "chosen").x) == [60_000]
    assert set(trace(figure, "one precision").text) == {"int8", "float32"}
    assert figure.layout.xaxis.range[0] < np.log10(40_000) < np.log10(400_000) < figure.layout.xaxis.range[1]
