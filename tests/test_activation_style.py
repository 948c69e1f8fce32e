"""What Lite took out of EfficientNet: networks that differ in nothing else, and int8 as their ranges get wider."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from effnet_lab import frames
from effnet_lab.images import open_images
from effnet_lab.litert import read_graph
from effnet_lab.models import build_model, load_model
from effnet_lab.models.weights import embedded_models
from effnet_lab.quantize import targets, write_files
from effnet_lab.scaling import MICRO, STYLES, layer_counts
from effnet_lab.studies import activation_style
from effnet_lab.studies.activation_style import widen
from effnet_lab.training import RECIPES, read_card


@pytest.fixture(scope="module")
def float_files(tmp_path_factory):
    """micro1 and its twin in the original style, float32."""
    folder = tmp_path_factory.mktemp("styles")
    wanted = targets(["float32"], ["converter"])
    return [write_files(load_model(name), wanted, folder)[0] for name in ("micro1", "micro1_swish_se")]


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_micro1_but_for_activation_and_gates(name):
    spec, lite = STYLES[name], MICRO["micro1"]
    assert replace(spec, name="micro1", activation="relu6", se_ratio=0.0) == lite
    assert RECIPES[name] == RECIPES["micro1"]
    assert read_card(embedded_models()[name])["recipe"] == read_card(embedded_models()["micro1"])["recipe"]
    trainable = sum(int(np.prod(w.shape)) for w in build_model(spec, 10).trainable_weights)
    assert trainable == layer_counts(spec, 10)["params"].sum()
    assert embedded_models()[name].stat().st_size <= 2_500_000


def test_the_effect(float_files):
    """Nothing is lost at the networks' own, narrow ranges; at the published width swish collapses and ReLU6 does not."""
    images, calibration = open_images("scenes", limit=200), open_images("scenes", "calibration", limit=40)
    table = activation_style(float_files, images, calibration, widenings=(1.0, 12.0))
    frames.require(table, frames.ACTIVATION_STYLE, caller="test")
    assert len(table) == 2 * 2 * 2
    rows = table.set_index(["model", "granularity", "widening"]).sort_index()
    for granularity in ("channel", "tensor"):
        lite, original = rows.loc["micro1", granularity], rows.loc["micro1_swish_se", granularity]
        assert lite.loc[1.0, "difference"] > -0.03
        assert lite.loc[12.0, "difference"] > -0.1
        assert original.loc[1.0, "difference"] > -0.05
        assert original.loc[12.0, "difference"] < -0.4
        assert 12 * original.loc[1.0, "range_max"] == pytest.approx(original.loc[12.0, "range_max"])
    assert (table["int8_top1_lo"] < table["int8_top1"]).all()


def test_ranges_are_widened_as_far_as_the_activation_allows(float_files):
    graph = read_graph(float_files[1])
    ranges = dict.fromkeys(graph.produced, (-1.0, 1.0)) | {graph.tensors[graph.inputs[0]].name: (-1.0, 1.0)}
    wide = widen(graph, ranges, 8)
    kinds = {name: op.kind for name, op in graph.produced.items()}
    assert {wide[name] for name, kind in kinds.items() if kind == "logistic"} == {(0.0, 1.0)}
    assert {wide[name] for name, kind in kinds.items() if kind == "mul"} == {(-8.0, 8.0)}
    assert wide[graph.tensors[graph.inputs[0]].name] == (-1.0, 1.0)
    lite = read_graph(float_files[0])
    capped = widen(lite, dict.fromkeys(lite.produced, (0.0, 5.0)), 8)
    assert {capped[name] for name in capped if "Relu6" in name.split(";")[0]} == {(0.0, 6.0)}
