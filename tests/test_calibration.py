"""Calibration statistics against the AI Edge Quantizer's own, and what merging must keep."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from effnet_lab.images import open_images
from effnet_lab.litert import Runner
from effnet_lab.models import load_model
from effnet_lab.names import UserError
from effnet_lab.quantize.calibration import Statistics, collect, merge
from effnet_lab.quiet import quiet

N = 12


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Float file, images, preprocessing and statistics of the smallest network."""
    from effnet_lab.quantize import export, get_scheme

    model = load_model("micro0")
    folder = tmp_path_factory.mktemp("float")
    export(model, [(get_scheme("float32"), "converter")], folder)
    content = next(folder.glob("*.tflite")).read_bytes()
    images = open_images("scenes", split="calibration", limit=N)
    return content, images, model.preprocess, collect(content, images, model.preprocess)


def test_moving_average_is_the_quantizers(setting):
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    content, images, preprocess, statistics = setting
    quantizer = Quantizer(content, recipe.static_wi8_ai8())
    feed = [{"x": batch} for batch, _labels in images.batches(preprocess, size=1)]
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")
        from ai_edge_litert.interpreter import Interpreter

        (key,) = Interpreter(model_content=content).get_signature_runner("serving_default").get_input_details()
        theirs = quantizer.calibrate({"serving_default": [{key: row["x"]} for row in feed]})
    ours = statistics.ranges("moving_average")
    compared = [name for name in ours if name in theirs and "min" in theirs[name]]
    assert len(compared) > 5
    for name in compared:
        assert ours[name] == pytest.approx(
            (float(np.min(theirs[name]["min"])), float(np.max(theirs[name]["max"]))), rel=1e-4, abs=1e-5
        )


def test_merging_is_collecting_at_once(setting, tmp_path):
    content, images, preprocess, whole = setting
    halves = [collect(content, images.pick(rows), preprocess) for rows in np.split(np.arange(N), 2)]
    both = merge(*halves)
    both.save(tmp_path / "s.npz")
    again = Statistics.load(tmp_path / "s.npz")
    assert again.fingerprint == whole.fingerprint
    for method in ("minmax", "moving_average", "percentile", "mse"):
        assert again.ranges(method) == whole.ranges(method)
    with pytest.raises(UserError, match="in both"):
        merge(whole, halves[0])
    with pytest.raises(UserError, match="different networks"):
        merge(whole, dataclasses.replace(halves[0], model="0"))


def test_ranges_hold_the_input_and_the_output_and_narrow(setting):
    content, _images, _preprocess, statistics = setting
    runner = Runner(content)
    widest = statistics.ranges()
    assert {runner.input.name, runner.output.name} <= widest.keys()
    for method in ("percentile", "mse", "moving_average"):
        for name, (low, high) in statistics.ranges(method).items():
            assert low >= widest[name][0] - 1e-5
            assert high <= widest[name][1] + 1e-5


def test_bad_input_is_one_line(setting, tmp_path):
    content, images, preprocess, statistics = setting
    with pytest.raises(UserError, match="no calibration image"):
        collect(content, images.pick(np.array([], np.int64)), preprocess)
    with pytest.raises(UserError, match="takes images of shape"):
        collect(content, images, dataclasses.replace(preprocess, size_px=preprocess.size_px + 1))
    with pytest.raises(UserError, match="NaN or infinity on image 0"):
        collect(content, images, dataclasses.replace(preprocess, mean=float("nan")))
    with pytest.raises(UserError, match="minmax"):
        statistics.ranges("minmx")
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="holds no calibration statistics"):
        Statistics.load(tmp_path / "bad.npz")
