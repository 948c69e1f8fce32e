"""Quantization-aware training: what is quantized, saved and resumed without loss, and the int8 file it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from effnet_lab.analysis import Twins
from effnet_lab.evaluate import collect_predictions, compare_predictions
from effnet_lab.images import open_images
from effnet_lab.litert import read_graph, read_info
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.models import load_model, save_model
from effnet_lab.models.fake_quant import fake_quantize, set_ranges, strip_fake_quant
from effnet_lab.models.variables import variables
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.quantize import targets, write_files
from effnet_lab.scaling import MICRO, layer_counts
from effnet_lab.training import fine_tune, resume, train_from_scratch, train_qat
from effnet_lab.training.from_scratch import predict
from effnet_lab.training.recipes import hold_out
from effnet_lab.training.state import state_path

TINY = replace(MICRO["micro0"], name="tiny", depth=0.1, drop_connect=0.2)


@pytest.fixture(scope="module")
def digits():
    """A few images to train on, and some to look at."""
    return hold_out(open_images("digits", "train", limit=200))


@pytest.fixture(scope="module")
def tiny(digits):
    return train_from_scratch(TINY, digits[0], validation=digits[1], epochs=2, seed=0, batch=16)[0]


@pytest.fixture(scope="module")
def micro0():
    """The embedded network after a few steps of quantization-aware training."""
    shown, held_out = hold_out(open_images("scenes?n=400", "train"))
    return train_qat(load_model("micro0"), shown, validation=held_out, epochs=1)[0]


@pytest.fixture(scope="module")
def written(micro0, tmp_path_factory):
    """Its float and its int8 file."""
    return write_files(micro0, targets(["float32", "int8"], ["converter"]), tmp_path_factory.mktemp("written"))


def calibrated(model, layers=None):
    """With fake quantization and ranges, not trained."""
    quantized, images = fake_quantize(model, layers), open_images("digits", "train", limit=40)
    set_ranges(quantized, model, (x for x, _ in images.batches(model.preprocess, 20)))
    return quantized


# --- the file


def test_the_int8_file_answers_as_the_fake_quantized_network(micro0, written):
    images = open_images("scenes", limit=500)
    float_file, quantized = written
    keras, file = collect_predictions(micro0, images), collect_predictions(quantized, images)
    compared = compare_predictions(file, keras).iloc[0]
    assert compared["difference_lo"] <= 0 <= compared["difference_hi"]
    assert compared["agreement"] > 0.97
    info = read_info(quantized)
    assert (info.scheme, info.backend, info.io, info.calibration) == ("static_wi8_ai8", "qat", "int8", None)
    names = list(layer_names(read_graph(quantized)).values())
    assert names[:-1] == layer_counts(micro0.spec, 10)["layer"].tolist()
    assert not Twins(quantized, float_file).unmatched  # its float twin has the same names


def test_the_file_has_the_trained_ranges(micro0, written):
    graph, trained = read_graph(written[1]), variables(micro0.keras)
    names = {layer: tensor for tensor, layer in layer_names(graph).items()}
    for layer, keras in (("blocks_1_project", "blocks_1_project_bn"), ("blocks_0_add", "blocks_0_add")):
        tensor = graph.tensors[graph.produced[names[layer]].outputs[0]]
        low, high = (float(trained[f"{keras}/output_{end}"].numpy()) for end in ("min", "max"))
        assert 255 * float(tensor.scale[0]) == pytest.approx(high - low, rel=0.01)


def test_chosen_layers_only(tiny, tmp_path):
    model = calibrated(tiny, ["block:1", "op:dense"])
    chosen = {name for name in layer_counts(TINY, 10)["layer"] if name.startswith("blocks_1_")} | {"head_dense"}
    assert set(model.fake_quantized) == chosen
    (path,) = write_files(model, targets(["int8"], ["converter"]), tmp_path)
    graph = read_graph(path)
    names = layer_names(graph)
    integer = {names[t] for t, op in computing(graph) if graph.weights(op) and graph.weights(op).dtype == np.int8}
    assert integer == {name for name in chosen if not name.endswith("_add")}
    images = open_images("digits", limit=200)
    compared = compare_predictions(collect_predictions(path, images), collect_predictions(model, images)).iloc[0]
    assert compared["difference_lo"] <= 0 <= compared["difference_hi"]
    assert read_info(path).recipe.startswith("blocks_1_")


def test_other_formats_start_from_the_trained_weights(tiny, tmp_path):
    model = calibrated(tiny)
    path, _hybrid = write_files(model, targets(["float32", "dynamic"], ["converter"]), tmp_path)
    images = open_images("digits", limit=50)
    stripped = strip_fake_quant(model)
    assert stripped.fake_quantized == ()
    expected = predict(stripped, images).argmax(axis=1)
    np.testing.assert_array_equal(collect_predictions(path, images).ranked[:, 0], expected)
    with pytest.raises(UserError, match=r"needs calibration images"):
        write_files(model, targets(["int16x8"], ["converter"]), tmp_path)


# --- the ranges


def test_a_fresh_network_answers_as_the_float_one():
    model, images = load_model("micro0"), open_images("scenes", limit=300)
    quantized = fake_quantize(model)
    before = predict(quantized, images).argmax(axis=1) == images.labels
    calibration = open_images("scenes", "calibration", limit=96)
    set_ranges(quantized, model, (x for x, _ in calibration.batches(model.preprocess, 32)))
    after = predict(quantized, images).argmax(axis=1) == images.labels
    assert before.mean() < 0.3  # every range is [-6, 6]
    assert after.mean() > np.mean(predict(model, images).argmax(axis=1) == images.labels) - 0.03
    assert to_bytes(strip_fake_quant(quantized)) == to_bytes(model)  # weights and statistics are the float network's


# --- saved and resumed


@pytest.mark.parametrize("layers", [None, ["blocks_1_*"]], ids=["whole", "chosen"])
def test_save_and_load_are_exact(tiny, tmp_path, layers):
    model, images = calibrated(tiny, layers), open_images("digits", limit=40)
    save_model(model, tmp_path / "q.safetensors")
    again = load_model(tmp_path / "q.safetensors")
    assert again.fake_quantized == model.fake_quantized
    assert to_bytes(again) == to_bytes(model)
    np.testing.assert_array_equal(predict(again, images), predict(model, images))
    with pytest.raises(UserError, match=r"Save it as \.safetensors"):
        save_model(model, tmp_path / "q.keras")
    assert not (tmp_path / "q.keras").exists()


def test_a_resumed_run_is_the_uninterrupted_one(tiny, digits, tmp_path):
    """With fake quantization, too: test_training_runs kills a run in each stage."""
    shown, held_out = digits
    out = tmp_path / "run.safetensors"
    options = {"validation": held_out, "epochs": 2, "batch": 16, "out": out}

    def stop(row):
        raise KeyboardInterrupt

    whole, history = fine_tune(tiny, shown, **options)
    assert state_path(out).exists(), "the weights are not written yet"
    with pytest.raises(KeyboardInterrupt):
        fine_tune(tiny, shown, progress=stop, **options)
    with pytest.raises(UserError, match="other images"):
        resume(out, shown.take(60), validation=held_out)
    seen = []
    resumed, again = resume(out, shown, validation=held_out, progress=seen.append)
    assert [row["epoch"] for row in seen] == [2]
    assert to_bytes(resumed) == to_bytes(whole)
    assert again.equals(history)
    state_path(out).unlink()
    with pytest.raises(UserError, match="no unfinished run"):
        resume(out, shown, validation=held_out)


# --- from any weights


def test_fine_tuning_puts_a_head_on_where_the_classes_differ(tiny, digits):
    named = replace(digits[0], classes=tuple("abcdefghij"))
    start = to_bytes(tiny)
    model, history = fine_tune(tiny, named, validation=replace(digits[1], classes=named.classes), epochs=2)
    assert model.classes == named.classes
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert to_bytes(tiny) == start


def test_mistakes(tiny):
    with pytest.raises(UserError, match=r"No layer matches 'blocks_9_\*'. Did you mean"):
        fake_quantize(tiny, ["blocks_9_*"])


def test_swish_and_gates_compute_as_their_int8_file(tmp_path):
    """The toolkit has no scheme for them."""
    model = load_model("micro1_swish_se")
    quantized, images = fake_quantize(model), open_images("scenes", limit=120)
    calibration = open_images("scenes", "calibration", limit=64)
    set_ranges(quantized, model, (x for x, _ in calibration.batches(model.preprocess, 32)))
    (path,) = write_files(quantized, targets(["int8"], ["converter"]), tmp_path)
    file, keras = collect_predictions(path, images), collect_predictions(quantized, images)
    assert compare_predictions(file, keras).iloc[0]["agreement"] > 0.97
    assert file.hits.mean() > 0.85
    graph = read_graph(path)
    types = {str(graph.tensors[op.outputs[0]].dtype) for op in graph.ops if op.kind in ("conv", "mul", "logistic")}
    assert types == {"int8"}
