"""Repairs: equalization leaves the float network what it is, biases and clipping do what they say, and int8 gains from it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from damage import spread_depthwise

from effnet_lab import cli, frames
from effnet_lab.analysis.repair import (
    best_threshold,
    channel_ranges,
    clip_outliers,
    correct_biases,
    equalize,
    mean_shifts,
    mean_window,
    measure_moments,
    repair_stages,
)
from effnet_lab.analysis.repair.scale_groups import channel_groups
from effnet_lab.evaluate import collect_predictions, compare_predictions
from effnet_lab.images import ImageSet, Preprocess, open_images
from effnet_lab.intervals import wilson
from effnet_lab.litert import Runner, float_twin, read_graph, read_info
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.options import Options, op_options
from effnet_lab.names import UserError
from effnet_lab.quantize import get_scheme, requantize
from effnet_lab.quiet import quiet
from effnet_lab.studies import repair_gain
from effnet_lab.view import plot_channel_ranges, plot_repair

CALIBRATION = 100
HEADROOM = 1.5  # the default


class Case:
    """One float network, its calibration images and what they show, and held-out images."""

    def __init__(self, content: bytes, preprocess: Preprocess, calibration: ImageSet, held_out: ImageSet) -> None:
        self.content, self.preprocess, self.calibration = content, preprocess, calibration
        self.moments = measure_moments(content, calibration, preprocess)
        self.batch = np.concatenate([batch for batch, _ in held_out.batches(preprocess)])
        self.labels = held_out.labels

    def quantize(self, content: bytes, scheme: str = "int8-per-tensor") -> bytes:
        """Static int8 with min-max ranges of the calibration images."""
        seen = measure_moments(content, self.calibration, self.preprocess)
        ranges = {name: (min(m.low.min(), 0), max(m.high.max(), 0)) for name, m in seen.items()}
        return requantize(content, get_scheme(scheme), ranges)

    def top1(self, content: bytes) -> float:
        """Top-1 on the held-out images."""
        return float((Runner(content).predict(self.batch).argmax(axis=1) == self.labels).mean())

    def within(self, factor: float) -> np.ndarray:
        """Which held-out images keep every activation within so many times what calibration saw, bool (n,)."""
        runner = Runner(self.content, keep_all=True)
        inside = []
        for image in self.batch:
            runner.feed(image)
            runner.invoke()
            peaks = (
                (runner.activation(runner.graph.tensors[op.outputs[0]]), name)
                for name, op in runner.graph.produced.items()
            )
            inside.append(
                all((np.abs(x).reshape(-1, x.shape[-1]) <= factor * self.moments[name].peak).all() for x, name in peaks)
            )
        return np.array(inside)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """micro2 in float32."""
    from effnet_lab.models import load_model
    from effnet_lab.quantize import targets, write_files

    out = tmp_path_factory.mktemp("float") / "micro2.tflite"
    return write_files(load_model("micro2"), targets(["float32"], ["converter"]), out)[0]


@pytest.fixture(scope="module")
def content(path) -> bytes:
    return path.read_bytes()


@pytest.fixture(scope="module")
def case(path) -> Case:
    calibration = open_images("scenes", split="calibration", limit=CALIBRATION)
    return Case(path.read_bytes(), read_info(path).preprocess, calibration, open_images("scenes", limit=500))


@pytest.fixture(scope="module")
def damaged(case) -> Case:
    """The same function with depthwise channels spread over nine octaves."""
    content = spread_depthwise(case.content, case.moments)
    return Case(content, case.preprocess, case.calibration, open_images("scenes", limit=500))


def convert(model) -> bytes:
    """A small Keras model to .tflite."""
    import tensorflow as tf

    with quiet():
        return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def ones(side: int, n: int = 2) -> ImageSet:
    """Images of grey level 1 everywhere."""
    return ImageSet(
        name="ones", split="calibration", classes=("a",), labels=np.zeros(n, np.int64),
        read=lambda i: np.ones((side, side, 3), np.uint8), fingerprint="ones",
    )  # fmt: skip


PLAIN = Preprocess(size_px=4, crop=None, interpolation="nearest", mean=0.0, std=1.0)


# editing a file


def test_only_the_named_tensor_changes(content):
    graph = read_graph(content)
    stored = [tensor for tensor in graph.tensors if tensor.data is not None]
    chosen = stored[3]
    edited = read_graph(with_constants(content, {chosen.name: chosen.data * 2}))
    for before, after in zip(graph.tensors, edited.tensors, strict=True):
        if before.data is not None:
            factor = 2 if before.name == chosen.name else 1
            np.testing.assert_array_equal(after.data, before.data * np.asarray(factor, before.dtype))
    assert edited.ops == graph.ops


def test_tensors_that_share_their_bytes_are_told_apart(content):
    tree, graph = parse(content), read_graph(content)
    biases = [graph.tensors[op.inputs[2]] for op in graph.ops if graph.weights(op) is not None]
    first, second = next((a, b) for a in biases for b in biases if a.index < b.index and a.shape == b.shape)
    stored = tree.subgraphs[0].tensors
    stored[second.index].buffer = stored[first.index].buffer
    edited = read_graph(with_constants(pack(tree), {first.name: first.data + 1}))
    np.testing.assert_array_equal(edited.tensors[first.index].data, first.data + 1)
    np.testing.assert_array_equal(edited.tensors[second.index].data, first.data)


def test_an_edit_that_does_not_fit_is_refused(content):
    kernel = next(t for t in read_graph(content).tensors if t.data is not None and len(t.shape) == 4)
    with pytest.raises(ValueError, match="0 stored tensors are called 'nothing'"):
        with_constants(content, {"nothing": kernel.data})
    with pytest.raises(ValueError, match="Got float64"):
        with_constants(content, {kernel.name: kernel.data.astype(np.float64)})
    with pytest.raises(ValueError, match=r"Got float32 \(1,"):
        with_constants(content, {kernel.name: kernel.data[:1, :1]})


# what is measured


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("window", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2)])
@pytest.mark.parametrize("same", [True, False])
def test_mean_output_of_a_convolution_is_its_kernel_on_the_mean_window(side, window, stride, dilation, same):
    """Against TensorFlow's own convolution, with its padding."""
    import tensorflow as tf

    rng = np.random.default_rng(side)
    images, kernel = rng.normal(size=(5, side, side, 3)), rng.normal(size=(window, window, 3, 4))
    expected = tf.nn.conv2d(images, kernel, stride, "SAME" if same else "VALID", dilations=dilation).numpy()
    options = Options(fused="none", stride=(stride,) * 2, dilation=(dilation,) * 2, same=same)
    taps = mean_window(images.mean(axis=0), (window, window), options)
    np.testing.assert_allclose(np.einsum("hwc,hwco->o", taps, kernel), expected.mean(axis=(0, 1, 2)), atol=1e-12)


def test_moments_are_those_of_the_images(case):
    runner = Runner(case.content)
    images = np.concatenate([batch for batch, _ in case.calibration.batches(case.preprocess)])
    scores, moments = runner.predict(images).astype(np.float64), case.moments[runner.output.name]
    np.testing.assert_allclose(moments.mean, scores.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.mean_square, np.square(scores).mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal((moments.low, moments.high), (scores.min(axis=0), scores.max(axis=0)))


# equalization


def test_groups_are_tied_by_additions(content):
    graph = read_graph(content)
    groups = channel_groups(graph, op_options(content))
    kinds = [({op.index for op in group.producers}, len(group.relu6)) for group in groups]
    assert ({0, 2}, 1) in kinds, "the first block adds its linear output to the stem's, which ReLU6 has cut off"
    assert ({12, 15}, 0) in kinds, "a skip around one block ties two projections"
    layers = {op.index for op in graph.ops if graph.weights(op) is not None}
    assert set().union(*(produced for produced, _ in kinds)) == layers - {max(layers)}, "all but the classifier"


def test_linear_scales_are_exact_for_every_input(case):
    """With infinite headroom nothing rests on the calibration images: noise far outside of them comes out bit for bit."""
    exact = equalize(case.content, case.moments, headroom=math.inf)
    assert exact != case.content
    noise = np.random.default_rng(0).normal(scale=30, size=(30, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(Runner(exact).predict(noise), Runner(case.content).predict(noise))


def test_scales_before_relu6_are_exact_within_what_calibration_saw(case):
    equalized = equalize(case.content, case.moments)
    before, after = Runner(case.content).predict(case.batch), Runner(equalized).predict(case.batch)
    inside = case.within(HEADROOM)
    assert inside.sum() > 300
    np.testing.assert_array_equal(after[inside], before[inside])
    noise = np.random.default_rng(0).normal(scale=30, size=(30, 64, 64, 3)).astype(np.float32)
    assert not np.array_equal(Runner(equalized).predict(noise), Runner(case.content).predict(noise))


def test_without_headroom_the_calibration_images_still_come_out_bit_for_bit(case):
    images = np.concatenate([batch for batch, _ in case.calibration.batches(case.preprocess)])
    equalized = equalize(case.content, case.moments, headroom=1.0)
    np.testing.assert_array_equal(Runner(equalized).predict(images), Runner(case.content).predict(images))


def test_no_channel_that_is_cut_off_moves(case):
    moved = measure_moments(equalize(case.content, case.moments), case.calibration, case.preprocess)
    cut = 0
    for group in channel_groups(read_graph(case.content), op_options(case.content)):
        for i in group.relu6:
            name = read_graph(case.content).tensors[i].name
            high = case.moments[name].high >= 6
            np.testing.assert_array_equal(moved[name].high[high], 6)
            assert (moved[name].high[~high] < 6).all()
            cut += int(high.sum())
    assert cut > 50, "nothing was cut off: the test shows nothing"


def test_scales_of_one_pair_are_the_papers():
    """s = sqrt(r1 r2) / r2 (Nagel et al. 2019, eq. 11), here with s multiplied before: up to one factor, and rounding."""
    import tf_keras

    rng = np.random.default_rng(1)
    first, second = np.zeros((1, 1, 3, 16)), rng.normal(size=(1, 1, 16, 5))
    first[0, 0, 0] = np.exp2(rng.uniform(-6, 0, 16)) * rng.choice([-1, 1], 16)
    conv = {"kernel_size": 1, "use_bias": False}
    model = tf_keras.Sequential(
        [tf_keras.Input((4, 4, 3), 1), tf_keras.layers.Conv2D(16, **conv), tf_keras.layers.Conv2D(5, **conv)]
    )
    model.set_weights([first, second])
    content = convert(model)
    graph = read_graph(content)
    after = read_graph(equalize(content, measure_moments(content, ones(4), PLAIN)))
    before, scaled = ({t.name: t.data for t in g.tensors if t.data is not None} for g in (graph, after))
    name = graph.weights(graph.ops[0]).name
    octaves = np.log2(scaled[name][:, 0, 0, 0] / before[name][:, 0, 0, 0])
    np.testing.assert_array_equal(octaves, np.rint(octaves))
    r1, r2 = np.abs(first[0, 0, 0]), np.abs(second[0, 0]).max(axis=1)
    error = octaves - np.log2(np.sqrt(r1 * r2) / r1)
    assert np.ptp(error) <= 1.0 + 1e-3
    assert np.ptp(octaves) > 2


def test_what_does_not_commute_with_a_factor_is_left_alone():
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [tf_keras.Input((4, 4, 3), 1), layers.Conv2D(8, 1, activation="swish"), layers.Conv2D(8, 3), layers.Softmax()]
    )
    content = convert(model)
    moments = measure_moments(content, ones(4), PLAIN)
    assert channel_groups(read_graph(content), op_options(content)) == []
    assert read_graph(equalize(content, moments)).ops == read_graph(content).ops
    image = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(Runner(equalize(content, moments)).predict(image), Runner(content).predict(image))


def test_equalization_restores_what_was_only_scaled_badly(damaged):
    """Float as before, per-tensor int8 near chance; repaired, it is as good as the float network within the interval."""
    scores = Runner(damaged.content).predict(damaged.batch)
    right, n = (scores.argmax(axis=1) == damaged.labels).mean(), len(damaged.labels)
    assert right > 0.88
    assert damaged.top1(damaged.quantize(damaged.content)) < 0.3
    repaired = equalize(damaged.content, damaged.moments)
    low, _high = wilson(round(right * n), n)
    assert damaged.top1(damaged.quantize(repaired)) > low
    assert np.mean(Runner(repaired).predict(damaged.batch).argmax(axis=1) == scores.argmax(axis=1)) == 1


def test_equalized_channels_fill_their_tensors(damaged):
    before = channel_ranges(damaged.content, model="micro2", steps="none")
    after = channel_ranges(equalize(damaged.content, damaged.moments), model="micro2", steps="equalize")
    depthwise = [table[(table["op"] == "depthwise") & (table["share"] > 0)]["bits_left"] for table in (before, after)]
    assert depthwise[1].median() > depthwise[0].median() + 2
    assert (before.groupby("layer")["share"].max() == 1).all()


@pytest.mark.real
def test_a_real_network_is_equalized_exactly(shared, flowers_cache):
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    content, preprocess = float_twin(path), read_info(path).preprocess
    seen = open_images("flowers160", split="calibration", limit=20)
    moments = measure_moments(content, seen, preprocess)
    batch = next(seen.batches(preprocess))[0]
    noise = np.random.default_rng(0).normal(scale=30, size=(4, *batch.shape[1:])).astype(np.float32)
    equalized, exact = equalize(content, moments), equalize(content, moments, headroom=math.inf)
    for repaired, images in ((equalized, batch), (exact, batch), (exact, noise)):
        np.testing.assert_array_equal(Runner(repaired).predict(images), Runner(content).predict(images))


# biases


def shifts_on(quantized: bytes, case: Case, moments: dict) -> np.ndarray:
    """Mean error of every channel of every layer, in units of the layer's spread."""
    graph = read_graph(case.content)
    parts = []
    for name, shift in mean_shifts(quantized, case.content, moments).items():
        spread = np.sqrt(moments[graph.tensors[graph.produced[name].outputs[0]].name].mean_square.mean())
        parts.append(np.abs(shift) / spread)
    return np.concatenate(parts)


def assert_only_rounding_is_left(corrected: bytes, case: Case) -> None:
    """On the calibration images a layer errs by half a step of its bias at most, on average."""
    graph = read_graph(corrected)
    shifts = mean_shifts(corrected, case.content, case.moments)
    assert len(shifts) == sum(graph.weights(op) is not None for op in graph.ops)
    for name, shift in shifts.items():
        assert (np.abs(shift) <= 0.501 * graph.tensors[graph.produced[name].inputs[2]].scale).all(), name


def test_mean_error_of_each_layer_vanishes_on_held_out_images(case):
    quantized = case.quantize(case.content)
    corrected = correct_biases(quantized, case.content, case.moments)
    unseen = measure_moments(case.content, open_images("scenes", limit=200), case.preprocess)
    before, after = shifts_on(quantized, case, unseen), shifts_on(corrected, case, unseen)
    assert after.mean() < before.mean() / 5
    assert_only_rounding_is_left(corrected, case)


def test_mean_error_of_the_running_network_falls(case):
    """Seen by the interpreter: the linear outputs of the whole int8 network, against the float one."""
    quantized = case.quantize(case.content)
    means = {}
    for name, content in {
        "float": case.content,
        "int8": quantized,
        "corrected": correct_biases(quantized, case.content, case.moments),
    }.items():
        runner = Runner(content, keep_all=True)
        linear = [
            runner.graph.produced[runner_name]
            for runner_name, op in read_graph(case.content).produced.items()
            if op.kind == "conv" and op_options(case.content)[op.index].fused == "none"
        ]
        sums = [0.0] * len(linear)
        for image in case.batch[:200]:
            runner.feed(image)
            runner.invoke()
            values = (runner.activation(runner.graph.tensors[op.outputs[0]]) for op in linear)
            sums = [total + value.mean(axis=(0, 1, 2)) / 200 for total, value in zip(sums, values, strict=True)]
        means[name] = np.concatenate(sums)
    assert len(means["float"]) > 100
    error = {name: np.abs(means[name] - means["float"]).mean() for name in ("int8", "corrected")}
    assert error["corrected"] < 0.7 * error["int8"]


def test_only_biases_of_the_quantized_file_move(case):
    quantized = case.quantize(case.content)
    before, after = read_graph(quantized), read_graph(correct_biases(quantized, case.content, case.moments))
    biases = {op.inputs[2] for op in before.ops if before.weights(op) is not None}
    moved = {
        t.index for t, u in zip(before.tensors, after.tensors, strict=True)
        if t.data is not None and not np.array_equal(t.data, u.data)
    }  # fmt: skip
    assert moved
    assert moved <= biases


def test_biases_of_per_channel_files_are_corrected_too(case):
    quantized = case.quantize(case.content, "int8")
    corrected = correct_biases(quantized, case.content, case.moments)
    assert_only_rounding_is_left(corrected, case)


# clipping


@pytest.mark.parametrize(("bits", "step"), [(3, 0.6508), (4, 0.3534)])
def test_threshold_of_a_gaussian_is_the_known_optimum(bits, step):
    """Equally spaced levels, 7 and 15: Max, "Quantizing for Minimum Distortion", IRE Trans. IT-6, 1960, table II."""
    weights = np.random.default_rng(0).standard_normal(300_000)
    assert best_threshold(weights, bits=bits) == pytest.approx((2 ** (bits - 1) - 1) * step, rel=0.045)  # of the grid


def test_without_outliers_nothing_is_clipped(content, case):
    graph = read_graph(content)
    rng = np.random.default_rng(0)
    kernels = {
        k.name: rng.uniform(-1, 1, k.shape).astype(np.float32)
        for op in graph.ops
        if (k := graph.weights(op)) is not None
    }
    even = with_constants(content, kernels)
    clipped = clip_outliers(even, case.moments)
    np.testing.assert_array_equal(Runner(clipped).predict(case.batch[:20]), Runner(even).predict(case.batch[:20]))


def test_weights_below_the_threshold_do_not_move(case):
    before, after = read_graph(case.content), read_graph(clip_outliers(case.content, case.moments))
    clipped = 0
    for op in before.ops:
        if (kernel := before.weights(op)) is not None:
            new = after.tensors[kernel.index].data
            moved = new != kernel.data
            assert (np.abs(new[moved]) == np.abs(new).max()).all()
            clipped += int(moved.any())
    assert clipped


def test_an_outlier_no_longer_coarsens_the_rest(case):
    """One weight of a channel that carries little grows to 60 times the largest: the others lose six bits, and win them back."""
    graph = read_graph(case.content)
    op = [op for op in graph.ops if op.kind == "conv"][5]
    kernel, source = graph.weights(op), graph.tensors[op.inputs[0]].name
    quietest = int(case.moments[source].mean_square.argmin())
    spoiled = kernel.data.copy()
    spoiled[0, 0, 0, quietest] = 60 * np.abs(kernel.data).max()
    content = with_constants(case.content, {kernel.name: spoiled})
    moments = measure_moments(content, case.calibration, case.preprocess)
    rest = np.ones(kernel.shape, bool)
    rest[0, 0, 0, quietest] = False

    def rest_db(float_content: bytes) -> float:
        stored = read_graph(case.quantize(float_content)).tensors
        (rounded,) = [t for t in stored if t.name == kernel.name]
        noise = (rounded.real(rounded.data) - kernel.data)[rest]
        return 10 * math.log10(np.square(kernel.data[rest], dtype=np.float64).sum() / np.square(noise).sum())

    assert rest_db(clip_outliers(content, moments)) > rest_db(content) + 15


# all together


def answers_of(case: Case, content: bytes, name: str, folder):
    from effnet_lab.litert import ModelInfo, embed_info

    scheme = read_graph(content).scheme
    classes = tuple("0123456789")
    info = ModelInfo(model="micro2", scheme=scheme, backend="", preprocess=case.preprocess, classes=classes)
    path = folder / f"{name}.tflite"
    path.write_bytes(embed_info(content, info))
    return collect_predictions(path, open_images("scenes", limit=300))


def test_stages_and_their_gain(damaged, tmp_path):
    stages = list(
        repair_stages(
            damaged.content, damaged.calibration, damaged.preprocess, damaged.quantize, steps=["bias", "equalize"]
        )
    )
    assert [stage.name for stage in stages] == ["none", "equalize", "equalize+bias"]
    answers = {stage.name: answers_of(damaged, stage.quantized, stage.name, tmp_path) for stage in stages}
    gain = repair_gain(answers).set_index("steps")
    assert gain.loc["none", ["difference", "p_value"]].isna().all()
    assert gain.loc["equalize", "difference"] > 0.5
    assert gain.loc["equalize", "p_value"] < 1e-6
    expected = compare_predictions(answers["equalize+bias"], answers["none"]).iloc[0]
    assert gain.loc["equalize+bias", "p_value"] == expected["p_value"]
    with pytest.raises(UserError, match="There is no 'none' among the repairs"):
        repair_gain({"equalize": answers["equalize"]})


def test_wrong_input_is_refused(case):
    with pytest.raises(UserError, match="must not be evaluation images"):
        repair_stages(case.content, open_images("scenes", limit=5), case.preprocess, case.quantize)
    with pytest.raises(UserError, match="Did you mean 'equalize'"):
        repair_stages(case.content, case.calibration, case.preprocess, case.quantize, steps=["equalise"])
    with pytest.raises(UserError, match=r"start from a float32 file\. Got static_wi8_ai8"):
        repair_stages(case.quantize(case.content), case.calibration, case.preprocess, case.quantize)
    with pytest.raises(UserError, match=r"headroom must be at least 1.* Got 0.5"):
        equalize(case.content, case.moments, headroom=0.5)


def test_what_is_not_a_number_is_said(case):
    graph = read_graph(case.content)
    bias = graph.tensors[graph.ops[0].inputs[2]]
    broken = with_constants(case.content, {bias.name: np.full_like(bias.data, np.nan)})
    with pytest.raises(UserError, match="is not finite on a calibration image"):
        measure_moments(broken, case.calibration, case.preprocess)


# figures


def gain_frame():
    row = {"model": "m", "scheme": "int8", "backend": "", "data": "d", "n_images": 100, "p_value": 0.01}
    tops = {"none": 0.5, "equalize": 0.8, "equalize+clip": 0.81, "float": 0.9}
    rows = [
        row | {"steps": steps, "top1": top1, "top1_lo": top1 - 0.1, "top1_hi": top1 + 0.05}
        | {"difference": top1 - 0.5, "difference_lo": top1 - 0.6, "difference_hi": top1 - 0.4}
        | ({"scheme": "float32"} if steps == "float" else {})
        for steps, top1 in tops.items()
    ]  # fmt: skip
    return frames.build(frames.REPAIR, rows)


def test_plot_repair_shows_the_intervals_and_the_float_network():
    fig = plot_repair(gain_frame())
    (trace,) = fig.data
    assert list(trace.x) == ["none", "equalize", "equalize<br>+ clip"]
    np.testing.assert_allclose(trace.error_y.arrayminus, 0.1)
    np.testing.assert_allclose(trace.error_y.array, 0.05)
    assert fig.layout.shapes[0].y0 == 0.9
    assert "90.00%" in fig.layout.annotations[0].text


def test_plot_channel_ranges_has_a_box_per_layer_and_stage(case):
    table = channel_ranges(case.content, model="micro2", steps="none")
    fig = plot_channel_ranges(
        frames.build(
            frames.CHANNEL_RANGES, [*table.to_dict("records"), *table.assign(steps="equalize").to_dict("records")]
        )
    )
    assert [trace.name for trace in fig.data] == ["as it is", "after equalize"]
    assert len(set(fig.data[0].x)) == table["layer"].nunique()


# the command


@pytest.fixture
def call(monkeypatch, capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["effnet-lab", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return int(stop.value.code or 0), *capfd.readouterr()

    return run


def test_command_writes_the_repaired_file_and_what_each_step_gains(call, path, tmp_path):
    out = tmp_path / "repaired.tflite"
    code, printed, err = call(
        "repair", "--float", path, "--data", "scenes", "--limit-data", 60, "--limit", 100, "--steps", "bias,equalize",
        "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, err
    rows = json.loads(printed)
    assert [row["tried"] for row in rows] == ["", "", "equalize", "bias"]
    taken = [row for row in rows if row["decision"] == "taken"]
    assert [row["steps"] for row in rows[:3]] == ["float", "none", "equalize"]
    assert rows[3]["steps"] == ("equalize+bias" if rows[2] in taken else "bias")
    for row in rows[2:]:
        assert (row["decision"] == "taken") == (row["held_out_gain_lo"] > 0), row
        assert row["n_held_out"] == 25
    assert [f"{row['tried']} is {row['decision']}. {row['reason']}" for row in rows[2:]] == err.splitlines()[-2:]
    last = [rows[1], *taken][-1]
    assert {row["n_images"] for row in rows} == {60}
    assert rows[1]["difference"] is None
    assert rows[1]["p_value"] is None
    info = read_info(out)
    assert info.key == {name: last[name] for name in frames.MODEL_FILE}
    assert info.preprocess == read_info(path).preprocess
    graph = read_graph(out)
    assert {kernel.scale.size for op in graph.ops if (kernel := graph.weights(op)) is not None} == {1}
    hits = collect_predictions(out, open_images("scenes", limit=60)).hits
    assert hits.mean() == last["top1"], "the file that lies there is not the one that was measured"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either as --float FILE or as --weights NAME"),
        (["--float", "no.tflite", "--weights", "micro2"], "either as --float FILE or as --weights NAME"),
        (["--float", "no.tflite"], "no.tflite"),
        (["--weights", "micro2", "--format", "dynamic"], "Repairs are for static formats"),
        (["--weights", "micro2", "--steps", "equalise"], "Did you mean 'equalize'?"),
    ],
)
def test_wrong_commands_are_refused_in_one_line(call, tmp_path, args, message):
    out = tmp_path / "out.tflite"
    code, printed, err = call("repair", *args, "--data", "scenes", "--out", out)
    assert (code, printed) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [("repair", "--steps", "bias"), ("mixed-precision", "--max-bytes", "50000")], ids=lambda words: words[0]
)
def test_a_quantized_file_that_keeps_state_is_refused_by_its_name(call, tmp_path, shared, command):
    """Its float twin would end the interpreter, under a name that nobody gave it."""
    file, inputs = shared / "fixtures" / "wild" / "esphome__vad.tflite", tmp_path / "inputs.npy"
    np.save(inputs, np.zeros((12, 3, 40), np.float32))
    words = [*command, "--weights", file, "--data", inputs, "--calibration", inputs, "--out", tmp_path / "out.tflite"]
    code, _, err = call(*words)
    assert code == 2
    assert "esphome__vad.tflite keeps state" in err
    assert len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["inputs.npy"]


def test_what_else_lies_in_the_folder_of_a_repair_stays(call, path, tmp_path):
    """The float file itself, under the name that one gives it; and the same command goes on there."""
    (tmp_path / "float.tflite").write_bytes(path.read_bytes())
    words = ["repair", "--float", tmp_path / "float.tflite", "--data", "scenes", "--limit-data", 40, "--limit", 16, "--steps",
             "bias", "--out", tmp_path / "out.tflite", "--resume", tmp_path]  # fmt: skip
    first, again = call(*words), call(*words)
    assert first[0] == again[0] == 0, first
    assert first[1] == again[1]
    assert (tmp_path / "float.tflite").read_bytes() == path.read_bytes()
    assert [one.name for one in sorted(tmp_path.glob("*.tflite"))] == ["float.tflite", "out.tflite"]
    assert {one.name for one in tmp_path.glob("*.npz")} == {"float.answers.npz", "none.answers.npz", "bias.answers.npz"}
