"""Accuracy, classification and the preprocessing audit with networks whose answers are known by construction."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from PIL import Image

from effnet_lab import frames
from effnet_lab.evaluate import (
    Predictions,
    accuracy,
    audit_preprocess,
    classify,
    collect_predictions,
    compare_predictions,
    confusion,
    evaluate,
    open_predictor,
    per_class,
    reliability,
)
from effnet_lab.evaluate.class_order import class_order
from effnet_lab.evaluate.classify import find_pictures
from effnet_lab.evaluate.compare import describe_difference, images_needed
from effnet_lab.evaluate.image_stream import StageClock, stream_batches
from effnet_lab.evaluate.outputs import probabilities
from effnet_lab.evaluate.pipelines import Pipeline
from effnet_lab.images import ImageSet, Preprocess, open_images
from effnet_lab.images.labels import imagenet_synsets
from effnet_lab.intervals import difference_interval, mcnemar
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError

COLOURS = {
    "red": (230, 20, 20),
    "green": (20, 230, 20),
    "blue": (20, 20, 230),
    "grey": (90, 90, 90),
    "dark": (20, 20, 20),
}
PLAIN = Preprocess(size_px=8, crop=None, interpolation="nearest", mean=0.0, std=255.0)


class ColourNet:
    """Nearest of the five colours, as it looks when prepared in the right way; scores fall with the distance."""

    def __init__(self, preprocess=PLAIN, names=tuple(COLOURS), shift=0):
        self.info = ModelInfo(
            model="colours", scheme="float32", backend="", preprocess=preprocess, classes=tuple(names)
        )
        self.points = np.stack([PLAIN.normalise(np.array(colour)) for colour in COLOURS.values()])
        self.shift = shift
        self.batches = []

    def predict(self, batch):
        assert batch.dtype == np.float32
        self.batches.append(len(batch))
        means = batch.mean(axis=(1, 2))
        scores = -np.abs(means[:, None] - self.points).sum(-1)
        return np.roll(scores, self.shift, axis=1)


def colour_set(n=40, wrong=0, classes=tuple(COLOURS), positional=False):
    labels = np.arange(n) % 5
    shown = labels.copy()
    shown[:wrong] = (shown[:wrong] + 1) % 5
    pixels = np.array(list(COLOURS.values()), np.uint8)
    return ImageSet(
        name="colours", split="all", classes=classes, labels=labels.astype(np.int64), fingerprint="0" * 16,
        read=lambda i: np.full((12, 20, 3), pixels[shown[i]], np.uint8), positional=positional,
    )  # fmt: skip


# --- accuracy


def test_any_predictor_is_measured():
    net = ColourNet()
    table = evaluate(net, colour_set(70, wrong=7)).table
    frames.require(table, frames.ACCURACY, caller="test")
    row = table.iloc[0]
    assert (row["model"], row["scheme"], row["n_images"]) == ("colours", "float32", 70)
    assert (row["top1"], row["top5"]) == (0.9, 1.0)
    assert row["top1_lo"] < 0.9 < row["top1_hi"]
    assert net.batches == [32, 32, 6]


def test_accuracy_says_what_is_slow():
    images = colour_set(64)

    def slow(i):
        time.sleep(0.02)  # far more than the rest can take, also when others use the processor
        return images.read(i)

    clock = evaluate(ColourNet(), replace(images, read=slow)).clock
    assert clock.slowest == "decode"
    assert clock.seconds.keys() == {"decode", "preprocess", "inference"}
    assert clock.seconds["decode"] >= 64 * 0.02
    assert 0 < clock.images_per_s < 2 / 0.02

    class SlowNet(ColourNet):
        def predict(self, batch):
            time.sleep(0.2)
            return super().predict(batch)

    assert collect_predictions(SlowNet(), images).clock.slowest == "inference"


def test_decoding_overlaps_inference():
    """While the network has the first batch, pictures of the second are read: who waits for them gets them."""
    clock, images = StageClock(), colour_set(256)
    computing, read_meanwhile = Event(), Event()

    def read(i):
        if i >= 32:
            assert computing.wait(60)
            read_meanwhile.set()
        return images.read(i)

    for _ in stream_batches(read, 256, PLAIN, clock):
        computing.set()
        assert read_meanwhile.wait(60)
    assert clock.n_images == 256


def test_memory_is_bounded_and_order_is_kept():
    ahead, taken = [0], [0]

    def read(i):
        ahead[0] = max(ahead[0], i - taken[0])
        return np.full((8, 8, 3), i % 251, np.uint8)

    seen = []
    for batch in stream_batches(read, 300, PLAIN, StageClock()):
        taken[0] += len(batch)
        seen += np.rint(batch[:, 0, 0, 0] * 255).astype(int).tolist()
    assert seen == [i % 251 for i in range(300)]
    assert ahead[0] <= 96


def test_a_broken_picture_stops_the_stream():
    def read(i):
        if i == 40:
            raise UserError("Cannot decode x.jpg: the file is empty.")
        return np.zeros((8, 8, 3), np.uint8)

    with pytest.raises(UserError, match=r"x\.jpg"):
        list(stream_batches(read, 10_000, PLAIN, StageClock()))


def test_a_file_is_a_predictor_too(files):
    images = open_images("scenes", limit=40)
    path = files["static_wi8_ai8 converter"]
    direct, wrapped = evaluate(path, images).table, evaluate(open_predictor(path), images).table
    assert direct.equals(wrapped)
    assert open_predictor(wrapper := ColourNet()) is wrapper


# --- which output is which class


def test_outputs_of_positional_data():
    names = ("a", "b", "c")
    images = colour_set(10, classes=tuple("01234"), positional=True)
    assert class_order(("v", "w", "x", "y", "z"), images, 5).tolist() == [0, 1, 2, 3, 4]
    assert class_order((), images, 1000).tolist() == list(range(1000))
    assert class_order((), images, 1001)[:3].tolist() == [-1, 0, 1]  # the background stands first
    with pytest.raises(UserError, match="3 outputs, the images have labels up to 4"):
        class_order(names, images, 3)
    named = replace(images, classes=tuple(COLOURS))
    assert class_order(tuple(COLOURS)[::-1], named, 5).tolist() == [4, 3, 2, 1, 0]
    assert class_order(("red, scarlet", "x", "y", "z", "q"), named, 5).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="labels of the model do not match the classes of the images"):
        class_order(("v", "w", "x", "y", "z"), named, 5)


def test_folders_named_after_synsets_fit_an_imagenet_network():
    synsets = list(imagenet_synsets())
    images = colour_set(10, classes=(synsets[7], synsets[100], synsets[3], synsets[4], synsets[5]))
    order = class_order(("tench, Tinca tinca",) * 1000, images, 1000)
    assert (order[7], order[100], order[3], order[0]) == (0, 1, 2, -1)
    assert class_order((), images, 1001)[8] == 0


def test_outputs_are_matched_to_classes_by_name():
    images = colour_set(10, classes=tuple("abcde"))
    assert class_order(("b", "a", "c", "e", "d"), images, 5).tolist() == [1, 0, 2, 4, 3]
    assert class_order(("b", "a", "c", "e", "d", "z"), images, 6).tolist() == [
        1,
        0,
        2,
        4,
        3,
        -1,
    ]  # a class without images
    assert class_order(tuple("01234"), images, 5).tolist() == [0, 1, 2, 3, 4]  # mere numbers name nothing
    with pytest.raises(UserError, match=r"3 outputs, the images have 5 classes \(a, b, c, d, e\)\."):
        class_order((), images, 3)
    with pytest.raises(UserError, match=r"3 outputs, the images have 1 class \(a\)\."):
        class_order((), colour_set(10, classes=("a",)), 3)
    with pytest.raises(UserError, match="labels of the model do not match the classes of the images: z"):
        class_order(("a", "b", "c", "d", "z"), images, 5)


# --- answers: resumed, per class, confidence


def test_answers_are_continued_where_they_stopped(tmp_path):
    images, path = colour_set(100, wrong=9), tmp_path / "answers.npz"
    whole = collect_predictions(ColourNet(), images)

    class Stops(ColourNet):
        def predict(self, batch):
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().predict(batch)

    with pytest.raises(KeyboardInterrupt):
        collect_predictions(Stops(), images, resume=path)
    second = ColourNet()
    resumed = collect_predictions(second, images, resume=path)
    assert sum(second.batches) == 100 - 64
    assert (resumed.ranked == whole.ranked).all()
    assert (resumed.confidence == whole.confidence).all()
    third = ColourNet()
    assert accuracy(collect_predictions(third, images, resume=path))["top1"].item() == 0.91
    assert not third.batches
    with pytest.raises(UserError, match="belongs to another run: images"):
        collect_predictions(ColourNet(), replace(images, fingerprint="1" * 16), resume=path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not a file of answers"):
        collect_predictions(ColourNet(), images, resume=path)


def test_classes_confusion_and_their_sums():
    answers = collect_predictions(
        ColourNet(), colour_set(50, wrong=10)
    )  # two images of every class show the next colour
    classes, pairs = per_class(answers), confusion(answers)
    frames.require(classes, frames.PER_CLASS, caller="test")
    assert classes["top1"].tolist() == [0.8] * 5
    assert classes["precision"].tolist() == [0.8] * 5
    assert classes["taken_for"].tolist() == ["green", "blue", "grey", "dark", "red"]
    assert pairs["n_images"].sum() == 50
    assert pairs.query("label == predicted")["n_images"].tolist() == [8] * 5


def test_calibration_error_equals_sklearns_curve():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 4000).astype(np.float32)
    hits = rng.random(4000) < confidence**2  # too sure of itself
    images = replace(colour_set(4000), labels=np.where(hits, 0, 1))
    ranked = np.zeros((4000, 5), np.int32)
    answers = Predictions(
        info=ColourNet().info, images=images, ranked=ranked, confidence=confidence, clock=StageClock()
    )
    share, sure = calibration_curve(hits, confidence, n_bins=15)
    rows = reliability(answers).query("n_images > 0")
    assert rows["top1"].to_numpy() == pytest.approx(share)
    assert rows["confidence"].to_numpy() == pytest.approx(sure, rel=1e-5)
    expected = (rows["n_images"].to_numpy() * np.abs(share - sure)).sum() / 4000
    assert accuracy(answers)["calibration_error"].item() == pytest.approx(expected, rel=1e-5)
    honest = replace(answers, images=replace(images, labels=np.where(rng.random(4000) < confidence, 0, 1)))
    assert accuracy(honest)["calibration_error"].item() < 0.03 < expected


# --- two networks on the same images


def made(hits):
    """Predictions that are right where `hits` says."""
    images = replace(colour_set(len(hits)), fingerprint="2" * 16)
    ranked = np.where(np.asarray(hits), images.labels, (images.labels + 1) % 5)[:, None].repeat(5, axis=1)
    return Predictions(
        info=ColourNet().info,
        images=images,
        ranked=ranked,
        confidence=np.ones(len(hits), np.float32),
        clock=StageClock(),
    )


def test_compared_on_the_same_images():
    first, second = np.ones(734, bool), np.ones(734, bool)
    first[:9], second[7:14] = False, False  # 7 right only there, 5 only here
    table = compare_predictions(made(first), made(second))
    frames.require(table, frames.COMPARISON, caller="test")
    row = table.iloc[0]
    assert (row["n_only_this"], row["n_only_other"]) == (5, 7)
    assert row["difference"] == pytest.approx(-2 / 734)
    assert row["difference_lo"] < row["difference"] < row["difference_hi"]
    assert row["p_value"] == pytest.approx(0.7744140625)  # R: binom.test(5, 12)
    assert re.fullmatch(
        r"float32 loses 0\.3 points \(-0\.\d to 1\.\d\): not distinguishable on 734 images; 1\d,000 would settle it",
        describe_difference(table),
    )
    with pytest.raises(UserError, match="on the same images"):
        compare_predictions(made(first), made(second[:700]))


def test_the_interval_covers_the_true_difference():
    """The Dirichlet posterior's interval at 95 %: the truth lies inside in at least 92 of 100 draws."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        kind = rng.choice(3, 500, p=(0.04, 0.08, 0.88))  # right only here, only there, the same
        low, high = difference_interval(kind != 1, kind != 0)
        inside += low <= 0.04 - 0.08 <= high
    assert inside >= 0.92 * 300


def test_no_difference_seen_is_not_no_difference():
    """Up to about three images in a hundred may differ and go unseen in a hundred: the rule of three."""
    same = np.ones(100, bool)
    low, high = difference_interval(same, same)
    assert 0.0175 < high < 0.0362
    assert -low == pytest.approx(high, rel=0.1)
    assert "exclude a difference of more than 2." in describe_difference(compare_predictions(made(same), made(same)))


@pytest.mark.parametrize("shares", [(0.04, 0.08), (0.002, 0.002), (0.0, 0.01)])
def test_the_interval_covers_rare_differences_too(shares):
    rng, inside = np.random.default_rng(3), 0
    for _ in range(300):
        kind = rng.choice(3, 500, p=(*shares, 1 - sum(shares)))
        low, high = difference_interval(kind != 1, kind != 0)
        inside += low <= shares[0] - shares[1] <= high
    assert inside >= 0.92 * 300


def test_images_needed_reach_their_power():
    """With as many images as it says, McNemar's test finds the difference in four of five draws."""
    rng = np.random.default_rng(2)
    pilot = np.array([0] * 40 + [1] * 70 + [2] * 890)
    n = int(images_needed(pilot != 1, pilot != 0))
    found = 0
    for _ in range(400):
        kind = rng.choice(3, n, p=(0.04, 0.07, 0.89))
        found += mcnemar(kind != 1, kind != 0) < 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.07)


# --- classify


@pytest.fixture
def pictures(tmp_path):
    for name, colour in COLOURS.items():
        Image.new("RGB", (9, 9), colour).save(tmp_path / f"{name}.png")
    return tmp_path


def test_classify_many(pictures):
    table = classify([pictures / "*.png"], ColourNet(), top=2)
    assert table.columns.tolist() == list(frames.CLASSIFICATION.columns)
    assert len(table) == 10
    assert table["rank"].tolist() == [1, 2] * 5
    first = table[table["rank"] == 1]
    assert [f"{label}.png" for label in first["label"]] == [file.rsplit("/", 1)[-1] for file in first["file"]]
    assert table["score"].between(0, 1).all()


def test_classify_more_than_a_batch_and_more_than_all_classes(pictures):
    for i in range(35):
        (pictures / f"more{i}.png").write_bytes((pictures / "blue.png").read_bytes())
    assert len(classify([pictures, pictures / "blue.png"], ColourNet(), top=1)) == 40  # each picture once
    table = classify([pictures], ColourNet(), top=9, labels=tuple("abcde"))
    assert len(table) == 40 * 5
    assert table["rank"].max() == 5
    assert table[table["file"] == str(pictures / "blue.png")].iloc[0]["label"] == "c"
    assert classify([pictures / "blue.png"], ColourNet(names=()), top=1)["label"].tolist() == ["2"]


def test_classify_refuses(pictures):
    net = ColourNet()
    for paths, match in (
        ([pictures / "*.gif"], "matches no picture"),
        ([pictures / "none.png"], "Cannot read .*none.png"),
        ([], "No picture given"),
    ):
        with pytest.raises(UserError, match=match):
            classify(paths, net)
    with pytest.raises(UserError, match="top must be >= 1"):
        classify([pictures], net, top=0)
    with pytest.raises(UserError, match="2 labels for 5 outputs"):
        classify([pictures], net, labels=("a", "b"))


def test_a_name_with_brackets_is_a_file(tmp_path):
    path = tmp_path / "a[1].png"
    Image.new("RGB", (2, 2)).save(path)
    assert find_pictures([path]) == [path]


def test_probabilities():
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert probabilities(logits).sum(axis=1) == pytest.approx([1, 1])
    assert probabilities(logits)[1] == pytest.approx([1 / 3] * 3)
    coarse = np.array([[250, 5, 0]]) / 256
    assert (probabilities(coarse) == coarse).all()


# --- the audit


def test_mcnemar():
    from scipy.stats import binom

    rng = np.random.default_rng(0)
    first, second = rng.random(60) < 0.8, rng.random(60) < 0.6
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)))
    assert mcnemar(first, first) == 1.0
    assert mcnemar(first, second) == mcnemar(second, first)


def test_the_audit_finds_the_channel_order():
    yours = Pipeline(preprocess=PLAIN, channels="BGR")
    audit = audit_preprocess(ColourNet(), colour_set(60), yours)
    best = audit.table.iloc[0]
    assert (best["normalisation"], best["channels"], best["label_offset"], best["top1"]) == ("[0, 1]", "RGB", 0, 1.0)
    assert audit.sentence == "Your pipeline (B) loses 40 points against (A): channel order"
    assert "cannot be told apart on 60 images" in audit.ties
    assert "interpolation" in audit.ties
    assert "normalisation" not in audit.ties
    assert audit.table["rank"].tolist() == list(range(1, len(audit.table) + 1))
    assert not audit.table.duplicated(["normalisation", "crop", "interpolation", "channels", "label_offset"]).any()


@pytest.mark.parametrize("shift", [1, -1])
def test_the_audit_finds_the_label_offset(shift):
    images = colour_set(60)
    few = replace(images.pick(np.flatnonzero((images.labels > 0) & (images.labels < 4))))
    audit = audit_preprocess(ColourNet(shift=shift, names=()), few)
    assert audit.table.iloc[0]["label_offset"] == -shift
    assert audit.sentence == "Your pipeline (B) loses 100 points against (A): label offset"


def test_the_audit_finds_a_wrong_statement():
    stated = replace(PLAIN, mean=127.0, std=128.0)
    audit = audit_preprocess(ColourNet(stated), colour_set(60))
    assert audit.table.iloc[0]["normalisation"] == "[0, 1]"
    assert "against (A): normalisation" in audit.sentence
    assert audit.table[audit.table["mark"] == "B"]["normalisation"].tolist() == ["(x-127)/128"]


def test_the_audit_confirms_a_right_pipeline():
    audit = audit_preprocess(ColourNet(), colour_set(60))
    assert audit.sentence.startswith("Your pipeline (A) is the best of")
    assert audit.table["mark"].tolist().count("A") == 1
    assert not (audit.table["mark"] == "B").any()


def test_near_normalisations_cannot_be_told_apart():
    class Tpu(ColourNet):
        def predict(self, batch):
            return super().predict((batch * 128 + 127) / 255)

    original = replace(PLAIN, mean=127.0, std=128.0)
    audit = audit_preprocess(Tpu(original), colour_set(60), Pipeline(preprocess=replace(PLAIN, mean=127.5, std=127.5)))
    assert "(x-127)/128 or x/127.5-1" in audit.ties or "x/127.5-1 or (x-127)/128" in audit.ties


def test_the_audit_wants_the_models_size():
    with pytest.raises(UserError, match=r"takes 8 px\. Got a pipeline for 9 px"):
        audit_preprocess(ColourNet(), colour_set(10), Pipeline(preprocess=replace(PLAIN, size_px=9)))


@pytest.mark.real
def test_the_audit_of_a_network_nobody_here_made(shared, flowers_cache):
    """Model Maker's flowers network: [0, 1], RGB; its labels count from 0. BGR loses 18 points on these photographs."""
    predictor = open_predictor(shared / "fixtures/litert/flowers_lite0_int8.tflite")
    bgr = Pipeline(preprocess=predictor.info.preprocess, channels="BGR")
    audit = audit_preprocess(predictor, open_images("flowers160", limit=120), bgr)
    best = audit.table.iloc[0]
    assert (best["normalisation"], best["channels"], best["label_offset"]) == ("[0, 1]", "RGB", 0)
    assert best["top1"] > 0.9
    assert audit.sentence.endswith("points against (A): channel order")
    assert "cannot be told apart on 120 images" in audit.ties
    tied = audit.table[audit.table["tied"] & (audit.table["n_images"] == 120)]
    assert set(tied["normalisation"]) == {"[0, 1]"}
    assert set(tied["channels"]) == {"RGB"}
