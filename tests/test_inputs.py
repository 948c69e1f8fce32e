"""What a network takes: known, stated or asked for; and inputs that are no pictures."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from signals import stopped_at_line
from typer.testing import CliRunner

from effnet_lab import cli
from effnet_lab.evaluate import classify, evaluate
from effnet_lab.evaluate.classify import find_pictures
from effnet_lab.evaluate.kept_answers import Answers
from effnet_lab.images import ImageSet, Preprocess, StatedInput, open_samples
from effnet_lab.images.inputs import InputSlot
from effnet_lab.litert import (
    ModelInfo,
    Runner,
    describe,
    embed_info,
    float_twin,
    pair_preprocess,
    read_info,
    settle,
    settle_pair,
)
from effnet_lab.litert.flatbuffer import parse
from effnet_lab.litert.standard_metadata import ENTRY, read_normalisation
from effnet_lab.names import UserError

GUESS = Preprocess(size_px=32, origin="guessed", framing="default")
KNOWN = Preprocess(size_px=32, mean=0.0, std=1.0, origin="input scale", framing="default")
FLOAT_RESNET, INT8_RESNET = "mlcommons__pretrainedResnet.tflite", "mlcommons__pretrainedResnet_quant.tflite"


def card(preprocess, name="net"):
    return ModelInfo(model=name, scheme="float32", backend="", preprocess=preprocess, classes=())


@pytest.fixture
def wild(shared):
    return shared / "fixtures" / "wild"


@pytest.fixture
def grey_squares():
    """Eight pictures of one grey each, unlabelled, 40 x 40 px."""
    return ImageSet(
        name="greys", split="all", classes=(), labels=np.zeros(8, np.int64), fingerprint="g" * 16,
        read=lambda i: np.full((40, 40, 3), 30 * i, np.uint8),
    )  # fmt: skip


# --- where the values come from


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "origin", "mean", "std"),
    [
        ("google-coral__mobilenet_v1_0.25_128_quant", "metadata", 127.5, 127.5),
        ("mit-han-lab__vww", "first ops", 127.5, 127.5),  # QUANTIZE behind a float input: -1.003 to .996
        (FLOAT_RESNET.removesuffix(".tflite"), "guessed", 127.0, 128.0),
        (INT8_RESNET.removesuffix(".tflite"), "input scale", 0.0, 1.0),
        ("mlcommons__vww_96_int8", "input scale", 0.0, 255.0),
        ("tensorflow__person_detect", "input scale", 127.5, 127.5),
        # trained with torchvision's mean and std per channel, as published with the network
        ("tensorflow__mobilenet_v2_quantized_1x3x224x224", "input scale", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ],
)  # fmt: skip
def test_values_are_read_off_a_file(wild, file, origin, mean, std):
    found = read_info(wild / f"{file}.tflite").preprocess
    assert (found.origin, found.mean, found.std, found.framing) == (origin, mean, std, "default")


@pytest.mark.real
@pytest.mark.parametrize(
    "file",
    ["mlcommons__kws_ref_model", "tensorflow__hello_world_int8", "tensorflow__keyword_scrambled_8bit", "esphome__vad"],
)
def test_what_is_no_picture_is_shown_none(wild, file, grey_squares):
    assert read_info(wild / f"{file}.tflite").preprocess is None
    if file != "tensorflow__keyword_scrambled_8bit":  # kills a plain interpreter
        with pytest.raises(UserError, match="takes no single pictures"):
            classify(grey_squares, wild / f"{file}.tflite")


@pytest.mark.real
def test_channels_first_and_one_channel(wild):
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    first = read_info(wild / "tensorflow__mobilenet_v2_quantized_1x3x224x224.tflite").preprocess
    values = first(picture)
    assert values.shape == (3, 224, 224)
    expected = (first.resize(picture)[..., 1].astype(np.float64) / 255 - 0.456) / 0.224  # torchvision's, of green
    np.testing.assert_allclose(values[1], expected, atol=1e-5)
    grey = read_info(wild / "tensorflow__person_detect.tflite").preprocess
    assert grey(picture).shape == (96, 96, 1)
    luma = np.asarray(Image.fromarray(grey.resize(picture)).convert("L"), np.float64)  # Pillow's, rounded down
    np.testing.assert_allclose(grey(picture)[..., 0] * 127.5 + 127.5, luma, atol=1.0)


def test_pictures_of_the_input_s_size_are_taken_whole_unless_a_crop_is_known():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    default = Preprocess(size_px=32, framing="default")
    assert (default.resize(picture) == picture).all()
    assert (replace(default, framing="stated").resize(picture) != picture).any()
    assert default.window(64, 64) == (4, 4, 56, 56)


@pytest.mark.parametrize(("height", "width"), [(100, 100), (120, 80), (75, 300)])
def test_a_window_keeps_the_proportions_of_the_input(height, width):
    top, left, down, across = Preprocess(size_px=48, width_px=96, crop=0.5).window(height, width)
    assert down == pytest.approx(across / 2, abs=1)
    assert max(down / height, across / width) == pytest.approx(0.5, abs=0.02)
    assert (abs(2 * top + down - height), abs(2 * left + across - width)) <= (1, 1)


# --- a guess is said, refused where it counts, and written nowhere as fact


def test_a_guess_is_said_in_one_line(caplog):
    with caplog.at_level(logging.WARNING):
        assert settle(card(GUESS)).preprocess == GUESS
    (said,) = caplog.messages
    assert "is a guess" in said
    assert "audit-preprocess" in said
    caplog.clear()
    settle(card(KNOWN))
    assert not caplog.messages


def test_what_is_stated_is_read_back_as_it_is_written():
    said = StatedInput(input_range=(-1, 1), size=96, crop=0.875, channels="BGR", guess=True)
    assert said.written() == {"input_range": "-1..1", "size": 96, "crop": "0.875", "channels": "BGR", "guess": True}
    assert StatedInput(**said.written()).over(GUESS) == said.over(GUESS)
    assert StatedInput(mean=(1, 2, 3), std=0.5).written() == {"mean": "1,2,3", "std": "0.5"}
    assert StatedInput(guess=True).written() == {"guess": True}
    assert StatedInput().written() == {}


def test_what_rests_on_a_guess_is_refused():
    with pytest.raises(UserError, match=r"an accuracy at \(x-127\)/128 RGB would be a guess"):
        settle(card(GUESS), measures="an accuracy")
    assert settle(card(GUESS), StatedInput(guess=True), measures="an accuracy").preprocess.origin == "guessed"
    stated = settle(card(GUESS), StatedInput(input_range="0..255"), measures="an accuracy").preprocess
    assert (stated.mean, stated.std, stated.origin) == (0.0, 1.0, "stated")
    with pytest.raises(UserError, match="would be a guess"):  # a crop says nothing about the values
        settle(card(GUESS), StatedInput(crop="none"), measures="an accuracy")


def test_what_is_stated_must_fit_the_network():
    for stated, match in (
        (StatedInput(size=64), "takes pictures of 32 x 32 px: a .tflite file has a fixed size.* Got 64 x 64 px"),
        (StatedInput(channels="grey"), "takes RGB pictures"),
    ):
        with pytest.raises(UserError, match=match):
            settle(card(KNOWN), stated)
    with pytest.raises(UserError, match="takes no pictures"):
        settle(card(None), StatedInput(mean=1, std=2))


@pytest.mark.parametrize(
    ("stated", "match"),
    [
        ({"input_range": "0-255"}, "two numbers"),
        ({"input_range": "1..0"}, "two numbers"),
        ({"input_range": "0..1", "mean": 3}, "either"),
        ({"mean": "a"}, "one number in grey levels"),
        ({"std": "1,2"}, "one number in grey levels"),
        ({"std": 0}, "std must be > 0"),
        ({"crop": "half"}, "share of the shorter side"),
        ({"channels": "RBG"}, "Unknown channels"),
        ({"interpolation": "cubic"}, "Unknown interpolation"),
    ],
)
def test_a_statement_that_makes_no_sense(stated, match):
    with pytest.raises(UserError, match=match):
        StatedInput(**stated)


@given(st.floats(-300, 300), st.floats(0.01, 1000))
def test_an_input_range_is_what_black_and_white_become(low, width):
    preprocess = StatedInput(input_range=(low, low + width)).over(GUESS)
    ends = preprocess.normalise(np.array([[[0.0], [255.0]]])).ravel()
    np.testing.assert_allclose(ends, [low, low + width], atol=1e-3 * max(1.0, width, abs(low)))


@pytest.mark.real
def test_a_guess_is_written_as_a_guess(wild, tmp_path):
    source = wild / FLOAT_RESNET
    written = tmp_path / "again.tflite"
    written.write_bytes(embed_info(source.read_bytes(), read_info(source)))
    assert read_info(written).preprocess.origin == "guessed"
    tree = parse(written)
    entries = {entry.name: entry.buffer for entry in tree.metadata}
    assert read_normalisation(bytes(tree.buffers[entries[ENTRY.encode()]].data)) is None
    stated = settle(read_info(source), StatedInput(input_range="0..255"))
    written.write_bytes(embed_info(source.read_bytes(), stated))
    again = read_info(written).preprocess
    assert (again.origin, again.mean, again.std) == ("embedded", 0.0, 1.0)


# --- a pair is fed alike


def test_a_guess_follows_what_is_known_of_the_other():
    for pair in ((GUESS, KNOWN), (KNOWN, GUESS)):
        ours, theirs = pair_preprocess(*pair, twins=False)
        assert ours == theirs == KNOWN
        assert ours.origin == theirs.origin == "input scale"
    other = replace(KNOWN, mean=127.5, std=127.5, origin="embedded")
    assert pair_preprocess(KNOWN, other, twins=False) == (KNOWN, other)  # two networks, each as it was trained
    assert pair_preprocess(KNOWN, other, twins=True) == (other, other)  # one network: the surer origin
    larger = replace(KNOWN, size_px=64)
    assert pair_preprocess(GUESS, larger, twins=True) == (GUESS, larger)


def test_one_guess_for_both_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        settle_pair(card(GUESS, "a"), card(GUESS, "b"))
    assert len(caplog.messages) == 1


@pytest.mark.real
def test_both_files_of_a_pair_see_the_same(wild, grey_squares):
    """Fed differently, the two agree on a third of the pictures; the float file itself says nothing of its range."""
    digits = open_samples("digits", limit=40).unlabelled()
    found = evaluate(wild / FLOAT_RESNET, digits, against=wild / INT8_RESNET)
    assert len(found.fed) == 1
    assert "0..255 RGB (input scale)" in found.fed[0]
    assert found.outputs["agreement"].item() >= 0.75
    assert found.outputs["sqnr_outputs_db"].item() > 10
    assert found.table.empty
    with pytest.raises(UserError, match="has no labels, so accuracy cannot be measured"):
        evaluate(wild / FLOAT_RESNET, grey_squares)


@pytest.mark.real
def test_answers_of_a_pair_are_continued_where_they_stopped(wild, tmp_path):
    """Killed softly in its first second, in a process of its own; what was answered is not computed again."""
    pair = [wild / INT8_RESNET, wild / FLOAT_RESNET]
    script = f"""
import os, signal
from effnet_lab.evaluate import evaluate
from effnet_lab.images import open_samples
from dataclasses import replace
images = open_samples("digits", limit=90).unlabelled()
read = images.read
def slow(i):
    if i == 80:
        os.kill(os.getpid(), signal.SIGTERM)
    return read(i)
evaluate({str(pair[0])!r}, replace(images, read=slow), against={str(pair[1])!r}, resume={str(tmp_path / "kept.npz")!r})
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    kept = np.load(tmp_path / "kept.npz")
    assert 0 < len(kept["ranked0"]) == len(kept["ranked1"]) < 90
    images = open_samples("digits", limit=90).unlabelled()
    resumed = evaluate(pair[0], images, against=pair[1], resume=tmp_path / "kept.npz")
    whole = evaluate(pair[0], images, against=pair[1])
    assert resumed.clock.n_images == 90 - len(kept["ranked0"])
    pd.testing.assert_frame_equal(resumed.outputs, whole.outputs)
    with pytest.raises(UserError, match="a run of 2 networks, this is one of 1"):
        evaluate(pair[0], open_samples("digits", limit=90), resume=tmp_path / "kept.npz")


def test_a_signal_between_any_two_lines_counts_an_answer_whole_or_not_at_all():
    said, output = [[(np.arange(5, dtype=np.int32), np.float32(0.5))]] * 2, [np.float32([0.1, 0.9])]

    def take():
        answers.take(said, answers.errors.plus(output, output))

    for count in range(1, 100):
        answers = Answers([[], []])
        take()
        stopped = stopped_at_line(count, take)
        assert len(answers) == len(answers.arrays(0)[0]) == len(answers.arrays(1)[0]) == answers.errors.sums[0, 0]
        if not stopped:
            break
    assert len(answers) == 2
    assert 5 < count < 99


@pytest.mark.real
def test_labels_of_other_classes_leave_the_agreement(wild, caplog):
    """Two networks for persons, shown digits."""
    with caplog.at_level(logging.WARNING):
        files = [wild / f"mlcommons__vww_96_{kind}.tflite" for kind in ("int8", "float")]
        found = evaluate(files[0], "digits", against=files[1], limit=10)
    assert "the two are compared without labels" in caplog.text
    assert (len(found.table), len(found.comparison), len(found.outputs)) == (0, 0, 1)
    assert found.outputs["agreement"].item() >= 0.9


def test_pictures_are_found_in_the_folders_of_a_folder(tmp_path):
    for name in ("a.png", "cats/b.png", "cats/small/c.png", ".hidden/d.png", "cats/.e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    found = [str(path.relative_to(tmp_path)) for path in find_pictures([tmp_path])]
    assert found == ["a.png", "cats/b.png", "cats/small/c.png"]


# --- inputs that are no pictures


def slot(shape, name="x", dtype="float32", scale=0.0, zero_point=0):
    return InputSlot((name,), shape, np.dtype(dtype), scale, zero_point)


def test_arrays_go_to_the_inputs_whose_names_they_have(tmp_path):
    rng = np.random.default_rng(0)
    sound, speed = rng.normal(size=(5, 49, 10, 1)), rng.normal(size=(5, 3))
    np.savez(tmp_path / "both.npz", speed=speed, sound=sound, labels=np.array([0, 1, 1, 0, 2]))
    samples = open_samples(tmp_path / "both.npz")
    assert (len(samples), samples.classes, samples.labels.tolist()) == (5, ("0", "1", "2"), [0, 1, 1, 0, 2])
    fitted = samples.fitted([slot((1, 49, 10, 1), "sound"), slot((1, 3), "speed")], "net")
    first = fitted.sample(2)
    assert [values.dtype for values in first] == ["float32", "float32"]
    np.testing.assert_allclose(first[0], sound[2], rtol=1e-6)
    np.testing.assert_allclose(first[1], speed[2], rtol=1e-6)
    by_place = samples.fitted([slot((1, 3), "a"), slot((1, 49, 10, 1), "b")], "net").sample(0)
    assert [values.shape for values in by_place] == [(3,), (49, 10, 1)]
    assert samples.pick([4, 0]).labels.tolist() == [2, 0]


def test_codes_and_numbers_are_told_apart(tmp_path):
    np.save(tmp_path / "c.npy", np.array([[-128], [0], [127]], np.int8))
    quantized = [slot((1, 1), dtype="int8", scale=0.5, zero_point=-128)]
    with pytest.raises(UserError, match="values=codes"):
        open_samples(tmp_path / "c.npy").fitted(quantized, "net")
    codes = open_samples(f"{tmp_path / 'c.npy'}?values=codes").fitted(quantized, "net")
    assert [float(values[0]) for (values,) in codes.samples()] == [0.0, 64.0, 127.5]
    real = open_samples(f"{tmp_path / 'c.npy'}?values=real").fitted(quantized, "net")
    assert [float(values[0]) for (values,) in real.samples()] == [-128.0, 0.0, 127.0]


def test_a_spectrogram_may_lack_or_have_an_axis_of_one(tmp_path):
    for shape in ((4, 49, 10), (4, 49, 10, 1), (4, 1, 49, 10, 1)):
        np.save(tmp_path / "s.npy", np.zeros(shape, np.float32))
        (values,) = open_samples(tmp_path / "s.npy").fitted([slot((1, 49, 10, 1))], "net").sample(0)
        assert values.shape == (49, 10, 1)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": np.zeros((4, 5, 5))}, r"takes \(49, 10, 1\)"),
        ({"x": np.zeros((4, 10, 49))}, r"takes \(49, 10, 1\)"),  # turned round is not reshaped without a word
        ({"x": np.zeros((4, 49, 10)), "y": np.zeros((4, 2))}, "takes 1 inputs"),
        ({"x": np.zeros((4, 49, 10)), "y": np.zeros((3, 2))}, "Give each the same number"),
        ({"x": np.full((4, 49, 10), np.nan)}, "NaN or infinity"),
        ({"x": np.array(["a"])}, "Give numbers"),
        ({"x": np.zeros((4, 49, 10)), "labels": np.zeros(3, int)}, "'labels' must be 4 whole numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, match):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=match):
        open_samples(tmp_path / "x.npz").fitted([slot((1, 49, 10, 1))], "net")


def test_files_that_are_no_arrays(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY nothing")
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    for name, match in (("x.npy", "Cannot read"), ("o.npy", "Cannot read"), ("none.npz", "There is no file")):
        with pytest.raises(UserError, match=match):
            open_samples(tmp_path / name)


@pytest.mark.real
@pytest.mark.parametrize(
    ("first", "second", "shape", "agrees"),
    [
        ("mlcommons__kws_ref_model", "mlcommons__kws_ref_model", (12, 49, 10, 1), 1.0),
        ("tensorflow__hello_world_int8", "tensorflow__hello_world_float", (12, 1), None),
        ("esphome__vad", "esphome__vad", (12, 3, 40), None),
    ],
)
def test_networks_that_take_no_pictures_are_compared(wild, tmp_path, first, second, shape, agrees):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(0, 3, shape).astype(np.float32))
    found = evaluate(wild / f"{first}.tflite", tmp_path / "x.npy", against=wild / f"{second}.tflite")
    row = found.outputs.iloc[0]
    assert (row["n_images"], found.fed) == (12, ("arrays, as they are",))
    equal = "12 samples: the outputs of the two networks are the same"
    assert (found.sentence == equal) == (first == second)
    if first == second:
        assert row["sqnr_outputs_db"] == np.inf
    else:
        assert 15 < row["sqnr_outputs_db"] < 40
    assert np.isnan(row["agreement"]) if agrees is None else row["agreement"] == agrees


def test_what_a_network_was_fed_with_is_said():
    said = "32 x 32 px, crop 0.875 of other sizes, Pillow's bicubic (defaults); 0..255 RGB (input scale)"
    assert describe(KNOWN) == said
    assert describe(None) == "arrays, as they are"
    assert (
        describe(replace(GUESS, crop=None, framing="stated"))
        == "32 x 32 px, no crop, Pillow's bicubic; (x-127)/128 RGB (a guess)"
    )


@pytest.mark.real
def test_labelled_arrays_give_an_accuracy(wild, tmp_path):
    """Labels that are the network's own answers: all are right; shifted by one: none."""
    sounds = np.random.default_rng(1).normal(-40, 20, (20, 49, 10, 1)).astype(np.float32)
    runner = Runner(wild / "mlcommons__kws_ref_model.tflite")
    answers = runner.predict(sounds).argmax(axis=1)
    for shift, top1 in ((0, 1.0), (1, 0.0)):
        np.savez(tmp_path / "x.npz", sounds=sounds, labels=(answers + shift) % 12)
        table = evaluate(wild / "mlcommons__kws_ref_model.tflite", tmp_path / "x.npz").table
        assert (table["top1"].item(), table["n_images"].item()) == (top1, 20)


@pytest.fixture(scope="module")
def keywords(shared, tmp_path_factory):
    """A float network of spectrograms, and arrays for it."""
    folder = tmp_path_factory.mktemp("keywords")
    (folder / "float.tflite").write_bytes(float_twin(shared / "fixtures/wild/mlcommons__kws_ref_model.tflite"))
    rng = np.random.default_rng(0)
    for name, n in (("calibration", 12), ("data", 24)):
        np.save(folder / f"{name}.npy", rng.normal(0, 30, (n, 49, 10, 1)).astype(np.float32))
    return folder


@pytest.mark.real
def test_a_network_of_spectrograms_from_calibration_to_repair(keywords, caplog):
    """Arrays calibrate, are measured on, and say what a repair gains: no pictures, no labels."""
    model, arrays, data = (str(keywords / name) for name in ("float.tflite", "calibration.npy", "data.npy"))
    run = CliRunner().invoke

    def done(*words: str) -> str:
        said = run(cli.app, [*words])
        assert said.exit_code == 0, said.exception
        return said.stdout

    done("calibrate", "--weights", model, "--inputs", arrays, "--out", str(keywords / "kept.npz"))
    with_statistics = str(keywords / "from_statistics.tflite")
    done("export", "--weights", model, "--statistics", str(keywords / "kept.npz"), "--out", with_statistics)
    int8 = str(keywords / "int8.tflite")
    done("export", "--weights", model, "--format", "int8", "--inputs", arrays, "--out", int8)
    info = read_info(int8)
    assert (info.calibration.name, info.calibration.n_images) == ("calibration.npy", 12)
    (row,) = json.loads(done("evaluate", int8, "--inputs", data, "--against", model, "--json"))
    assert row["agreement"] > 0.7
    repaired = str(keywords / "repaired.tflite")
    given = ("--float", model, "--calibration", arrays, "--data", data)
    out = done("repair", *given, "--steps", "bias", "--out", repaired, "--json")
    assert json.loads(out)[0]["top1"] == 1.0
    assert "the answers of the float network count as right" in caplog.text
    refused = run(cli.app, ["export", "--weights", model, "--inputs", arrays, "--calibration", "scenes", "--out", int8])
    assert str(refused.exception) == "Give either --calibration with images, or --inputs with arrays."
