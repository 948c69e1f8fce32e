"""The regression check, end to end: one weight scale of a quantized file is off by a tenth, and `check` names the layer."""

from __future__ import annotations

import pytest
from damage import flip_one_scale

from effnet_lab.analysis import layer_error, open_all
from effnet_lab.images import open_images
from effnet_lab.paths import data_dir
from effnet_lab.regress import check, layer_summary, read_parameters, record
from effnet_lab.regress.notebooks import find_notebook

LAYER = "blocks_2_project"


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """micro0 as the notebook exports it."""
    default = {name: p.default for name, p in read_parameters(find_notebook("02_quantization_error")).items()}
    calibration = open_images("scenes", split="calibration", limit=default["n_calibration"])
    images = open_images("scenes", limit=default["n_images"])
    folder = tmp_path_factory.mktemp("files")
    by_converter, *_ = open_all(["micro0"], folder, scheme=default["scheme"], calibration=calibration)
    return by_converter.files, images


def recorded(twins, out):
    (float_model, quantized), images = twins
    errors = layer_error(quantized, images, float_model=float_model).table
    record(errors, "layer_error", out, notebook="02_quantization_error", profile="smoke")
    return check(out, data_dir() / "baselines").table


def test_check_names_the_layer_whose_scale_was_flipped(twins, tmp_path):
    assert recorded(twins, tmp_path / "whole").empty
    flip_one_scale(twins[0][1], LAYER)
    moved = recorded(twins, tmp_path / "flipped")
    weights = moved[moved["what"].str.startswith("weight_")]
    assert set(weights["key"].str.split(" | ", regex=False).str[-1]) == {LAYER}
    (sentence,) = layer_summary(moved)
    assert f"look at layer {LAYER!r}" in sentence or f"{LAYER!r} (its own weights moved)" in sentence
