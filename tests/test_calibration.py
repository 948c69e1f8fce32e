"""Calibration statistics against the AI Edge Quantizer's own, and what merging must keep."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from effnet_lab import frames
from effnet_lab.evaluate import evaluate
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, embed_info, read_graph, read_info
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.models import load_model
from effnet_lab.names import UserError
from effnet_lab.quantize import calibration as collecting
from effnet_lab.quantize import get_scheme, requantize, write_files
from effnet_lab.quantize.ai_edge import CLIPPING
from effnet_lab.quantize.calibration import Statistics, collect, compare, merge, network_digest
from effnet_lab.quantize.range_choice import BINS
from effnet_lab.quantize.range_choice import METHODS as RULES
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.quiet import quiet
from effnet_lab.studies import calibration_study, enough
from effnet_lab.studies.calibration import METHODS, draw_subsets

N = 12


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Float file, images, preprocessing and statistics of the smallest network."""
    from effnet_lab.quantize import get_scheme, write_files

    model = load_model("micro0")
    folder = tmp_path_factory.mktemp("float")
    write_files(model, [(get_scheme("float32"), "converter")], folder)
    content = next(folder.glob("*.tflite")).read_bytes()
    images = open_images("scenes", split="calibration", limit=N)
    return content, images, model.preprocess, collect(content, images, model.preprocess)


def with_bias(content: bytes, layer: str, value: float) -> bytes:
    """The same network, but for the first bias of one layer."""
    graph, tree = read_graph(content), parse(content)
    (tensor,) = (name for name, short in layer_names(graph).items() if short == layer)
    index = graph.produced[tensor].inputs[2]
    buffer = tree.buffers[tree.subgraphs[0].tensors[index].buffer]
    bias = np.frombuffer(bytes(buffer.data), np.float32).copy()
    bias[0] = value
    buffer.data = np.frombuffer(bias.tobytes(), np.uint8)
    return pack(tree)


def test_values_are_counted_as_numpy_counts_them():
    """Lowest, highest, and bins over plus and minus the next power of two; the ends, zeros and tiny values, too."""
    rng = np.random.default_rng(0)
    edges = [[-1.0, 1.0], [0.0, 0.0], [1e-38, 3.0], [-4.0, 3.999999], [255.0, 256.0], [-(2.0**-60), 2.0**-70]]
    many = [rng.normal(0, 10.0**k, 5_000) for k in range(-6, 7)] + [np.maximum(rng.normal(size=999), 0), *edges]
    for values in (np.asarray(one, np.float32).reshape(1, -1, 1) for one in many):
        counts = np.zeros(BINS, np.int64)
        low, high, exponent = collecting._observe(values, counts)
        assert (low, high) == (values.min(), values.max())
        assert np.abs(values).max() < 2.0**exponent
        places = ((values.ravel() * np.float32(2.0**-exponent) + 1) * np.float32(BINS // 2)).astype(np.int32)
        assert np.array_equal(counts, np.bincount(np.minimum(places, BINS - 1), minlength=BINS))
    for wrong in (np.nan, np.inf, -np.inf):
        for place in (0, 5, 9):
            values = np.ones(10, np.float32)
            values[place] = wrong
            counts = np.zeros(BINS, np.int64)
            assert np.isnan(collecting._observe(values, counts)[0])
            assert not counts.any()


def test_minmax_is_the_converters(setting, tmp_path):
    """All but two kinds: a softmax has a fixed scale, and the first operand of an add is logged again when the add has
    written its result into the same memory (github.com/tensorflow/tensorflow/issues/127842): its range covers both.
    """
    from effnet_lab.quantize import write_files

    content, images, _preprocess, statistics = setting
    (path,) = write_files(load_model("micro0"), [(get_scheme("int8"), "converter")], tmp_path, calibration=images)
    theirs = {tensor.name: tensor for tensor in read_graph(path).tensors if tensor.quantized and tensor.data is None}
    ranges, graph = statistics.ranges("minmax"), read_graph(content)
    expected = dict(ranges)
    for op in (op for op in graph.ops if op.kind == "add"):
        first, result = graph.tensors[op.inputs[0]].name, graph.tensors[op.outputs[0]].name
        expected[first] = tuple(pick(ranges[name][i] for name in (first, result)) for i, pick in enumerate((min, max)))
    assert expected != ranges
    (softmax,) = (name for name, op in graph.produced.items() if op.kind == "softmax")
    assert theirs.keys() == ranges.keys()
    for name in theirs.keys() - {softmax}:
        low, high = min(expected[name][0], 0.0), max(expected[name][1], 0.0)
        scale = (high - low) / 255
        assert theirs[name].scale[0] == pytest.approx(scale, rel=1e-4), name
        assert abs(theirs[name].zero_point[0] - (-128 - low / scale)) <= 0.51, name  # zero is nudged onto a code
    assert theirs[softmax].scale[0] == 1 / 256


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


def test_tfrecords_calibrate_as_their_files_do(setting, tmp_path):
    import tensorflow as tf

    content, images, preprocess, _statistics = setting
    (tmp_path / "loose").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "train.tfrecord")) as writer:
        for i in range(N):
            path = tmp_path / "loose" / f"{i:02d}.jpg"
            Image.fromarray(images.read(i)).save(path, quality=95)
            feature = {"image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()]))}
            feature["image/class/label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    loose = collect(content, open_images(tmp_path / "loose", "calibration"), preprocess)
    records = collect(content, open_images(tmp_path / "train.tfrecord", "all"), preprocess)
    assert records.images == loose.images
    assert records.ranges() == loose.ranges()


def test_bad_input_is_one_line(setting, tmp_path):
    content, images, preprocess, statistics = setting
    with pytest.raises(UserError, match="no calibration image"):
        collect(content, images.pick(np.array([], np.int64)), preprocess)
    with pytest.raises(UserError, match="takes images of shape"):
        collect(content, images, dataclasses.replace(preprocess, size_px=preprocess.size_px + 1))
    with pytest.raises(UserError, match="mean must lie within"):
        collect(content, images, dataclasses.replace(preprocess, mean=float("nan")))
    with pytest.raises(UserError, match="minmax"):
        statistics.ranges("minmx")
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="does not contain calibration statistics"):
        Statistics.load(tmp_path / "bad.npz")


def test_a_layer_that_is_not_a_number_is_named(setting):
    content, images, preprocess, _statistics = setting
    with pytest.raises(UserError, match="layer 'blocks_1_project' gave NaN or infinity on image 0 of scenes"):
        collect(with_bias(content, "blocks_1_project", float("nan")), images, preprocess)


def test_statistics_belong_to_the_network_and_not_to_the_file(setting, tmp_path):
    content, images, preprocess, statistics = setting
    renamed = embed_info(content, dataclasses.replace(read_info(content), model="another name"))
    assert renamed != content
    assert network_digest(read_graph(renamed)) == statistics.model
    rows = np.arange(2)
    assert merge(collect(renamed, images.pick(rows), preprocess), collect(content, images.pick(rows + 2), preprocess))
    other, path = with_bias(content, "blocks_1_project", 1.0), tmp_path / "other.tflite"
    path.write_bytes(other)
    with pytest.raises(UserError, match="belong to another network"):
        write_files(
            path,
            [(get_scheme("int8"), "ai_edge_quantizer")],
            tmp_path / "out",
            calibration=Ranging(statistics=statistics),
        )
    assert not (tmp_path / "out").exists()


def test_comparing(setting):
    content, images, preprocess, whole = setting
    half = collect(content, images.pick(np.arange(N // 2)), preprocess)
    table = compare(half, whole)
    frames.require(table, frames.RANGES, caller="test")
    assert table["width_ratio"].max() <= 1 + 1e-6
    assert table["width_ratio"].min() < 0.99
    assert compare(whole, whole)["width_ratio"].to_numpy() == pytest.approx(1)
    assert table["layer"].iloc[0] == "input"
    with pytest.raises(UserError, match="built differently"):
        compare(half, dataclasses.replace(whole, layers=whole.layers[:-1], tensors=whole.tensors[:-1]))


def test_octav_clips_weights_for_finer_steps(setting):
    content, _images, _preprocess, statistics = setting
    reference, lost = read_graph(content), {}
    for clipping in ("minmax", "octav"):
        graph = read_graph(requantize(content, get_scheme("int4"), statistics.ranges(), clipping=clipping))
        assert all(graph.tensors[op.outputs[0]].dtype == np.int8 for op in graph.ops)
        lost[clipping] = {
            name: float(((kernel.real(kernel.data) - reference.weights(reference.produced[name]).data) ** 2).sum())
            for name, op in graph.produced.items()
            if (kernel := graph.weights(op)) is not None and kernel.dtype != np.int8 and name in reference.produced
        }
    assert len(lost["octav"]) > 5
    assert sum(lost["octav"].values()) < 0.95 * sum(lost["minmax"].values())
    with pytest.raises(UserError, match="octav"):
        requantize(content, get_scheme("int8"), statistics.ranges(), clipping="octv")


def test_draws_are_disjoint_where_the_pool_allows():
    draws = list(draw_subsets(24, (1, 6, 12, 24, 99), 4, ("minmax", "mse"), 0))
    assert [draw.method for draw in draws if draw.drawn == "all"] == ["minmax", "mse"]
    assert [(len(draw.rows), draw.drawn) for draw in draws[2:]] == [
        (size, drawn) for size, drawn in ((1, "disjoint"), (6, "disjoint"), (12, "bootstrap")) for _ in range(4)
    ]
    six = np.concatenate([draw.rows for draw in draws if len(draw.rows) == 6])
    assert len(set(six)) == 24


def test_the_study_knows_every_rule():
    assert set(METHODS) == RULES.keys() | {"octav"}
    assert {clipping for _method, clipping in METHODS.values()} == CLIPPING.keys()


@pytest.fixture(scope="module")
def study(setting, tmp_path_factory):
    """Few images, all methods."""
    path = tmp_path_factory.mktemp("study") / "micro0.tflite"
    path.write_bytes(setting[0])
    pool, evaluation = open_images("scenes", split="calibration", limit=32), open_images("scenes", limit=80)
    return path, pool, evaluation, *calibration_study(path, pool, evaluation, sizes=(1, 4, 16), draws=3)


def test_study_of_ranges(study):
    _path, _pool, _evaluation, ranges, _accuracy = study
    whole = ranges[ranges["drawn"] == "all"].set_index("method")["relative_width"]
    assert whole["minmax"].to_numpy() == pytest.approx(1)
    assert whole["octav"].to_numpy() == pytest.approx(1)
    for narrower in ("moving_average", "percentile", "mse"):
        assert whole[narrower].max() <= 1 + 1e-5
        assert whole[narrower].min() < 0.95
    drawn = ranges[ranges["method"] == "minmax"]
    assert drawn["relative_width"].max() <= 1 + 1e-6
    assert drawn.groupby("n_calibration")["relative_width"].mean().is_monotonic_increasing


def test_study_of_accuracy_is_that_of_the_exported_file(study, tmp_path):
    path, pool, evaluation, _ranges, accuracy = study
    assert accuracy["p_value"].isna().to_list() == [True] + [False] * (len(accuracy) - 1)
    assert set(accuracy["n_images"]) == {80}
    for method in ("minmax", "moving_average"):
        ranging = Ranging(images=pool, method=method)
        (out,) = write_files(path, [(get_scheme("int8"), "ai_edge_quantizer")], tmp_path / method, calibration=ranging)
        expected = evaluate(out, evaluation).table[["top1", "top1_lo", "top1_hi"]].iloc[0].to_list()
        row = accuracy[(accuracy["method"] == method) & (accuracy["drawn"] == "all")]
        assert row[["top1", "top1_lo", "top1_hi"]].iloc[0].to_list() == pytest.approx(expected)


def made(widths: dict[int, float], p_values: dict[int, float], n: int = 100) -> tuple:
    """Frames of two layers and two draws per size; all n images give 90 %."""
    key = {"model": "m", "method": "minmax"}
    file = {"scheme": "s", "backend": "b", "data": "d", "n_images": 500, "top1": 0.9, "top1_lo": 0.87, "top1_hi": 0.93}
    ranges = [
        key | {"n_calibration": size, "draw": draw, "layer_index": i, "layer": layer, "relative_width": width * factor}
        | {"drawn": "disjoint", "low": 0.0, "high": 1.0}
        for size, width in widths.items() for draw, factor in ((0, 1.0), (1, 1.0))
        for i, (layer, width) in enumerate((("a", 1.0), ("b", width)))
    ]  # fmt: skip
    accuracy = [key | file | {"n_calibration": n, "draw": 0, "drawn": "all"}]
    for size in widths:
        for draw, p in ((0, 1.0), (1, p_values.get(size, 1.0))):
            row = {"n_calibration": size, "draw": draw, "drawn": "disjoint", "p_value": p, "difference_lo": -0.013}
            accuracy.append(key | file | row)
    return frames.build(frames.CALIBRATION_RANGES, ranges), frames.build(frames.CALIBRATION_ACCURACY, accuracy)


def test_when_there_are_enough():
    widths = {5: 0.6, 10: 0.96, 20: 0.97, 50: 0.99, 80: 1.0}
    said = enough(*made(widths, {}))
    assert said.startswith("10 images are enough: the worst layer (b) has 96% of its width with all 100")
    assert "90.0% to 90.0% against 90.0% in 2 draws" in said
    assert said.endswith(
        "cannot be told apart on 500 images (the intervals of the difference reach down to -1.3 points)."
    )
    assert enough(*made(widths, {10: 0.024})).startswith("20 images")  # 0.048 after the correction for two draws
    assert enough(*made(widths, {10: 0.026})).startswith("10 images")
    assert enough(*made(widths | {20: 0.9}, {})).startswith("50 images")  # what holds must go on holding
    assert enough(*made(widths, {}), within=0.5).startswith("5 images")
    never = enough(*made(widths | {50: 0.9}, {}))  # 80 shares most of its images with the 100
    assert never.startswith("100 images are not shown to be enough: with 50, the worst layer (b) has 90%")
    assert never.endswith("Collect more. Top-1 alone is settled from 5 on.")
    assert "can be told apart (p = 0.002)" in enough(*made(widths, {50: 0.001}))


def test_a_study_that_cannot_be(study):
    path, pool, evaluation, *_ = study
    with pytest.raises(UserError, match="evaluation"):
        calibration_study(path, evaluation, evaluation)
    with pytest.raises(UserError, match="at least 2 calibration images"):
        calibration_study(path, pool.take(1), evaluation)
    with pytest.raises(UserError, match="Did you mean 'percentile'"):
        calibration_study(path, pool, evaluation, methods=["percentil"])
    with pytest.raises(UserError, match="at most half"):
        enough(*made({80: 1.0}, {}))


def test_figures_show_every_draw(study):
    from effnet_lab.view import plot_calibration_accuracy, plot_calibration_methods, plot_calibration_ranges

    *_, ranges, accuracy = study
    lines = [trace for trace in plot_calibration_ranges(ranges).data if trace.showlegend is not False]
    assert [list(trace.x) for trace in lines] == [[1, 4, 16, 32]] * 2
    assert all(trace.y[-1] == pytest.approx(1) for trace in lines)
    assert lines[1].name.startswith("worst layer")
    assert sum(len(trace.x) for trace in plot_calibration_accuracy(accuracy).data) == 3 * 3 + 1
    (methods,) = plot_calibration_methods(accuracy).data
    assert list(methods.y) == ["minmax", "moving average", "percentile", "mse", "octav"]


def test_the_command_collects_merges_and_compares(setting, tmp_path, capsys):
    from effnet_lab.cli.calibrating import calibrate

    source = tmp_path / "micro0.tflite"
    source.write_bytes(setting[0])
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    calibrate(weights=str(source), data="scenes", limit=4, out=a)
    calibrate(weights=str(source), data="scenes", split="train", limit=3, out=b, merge=a)
    assert Statistics.load(b).n_images == 7
    assert Statistics.load(b).split == "calibration+train"
    capsys.readouterr()
    calibrate(out=a, against=b, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert {row["n_images"] for row in shown} == {4}
    assert max(row["width_ratio"] for row in shown) <= 1 + 1e-6
    with pytest.raises(UserError, match="in both"):
        calibrate(weights=str(source), data="scenes", limit=4, out=tmp_path / "c.npz", merge=a)
    assert not (tmp_path / "c.npz").exists()
    for wrong, says in (
        ({"data": "scenes"}, "--weights"),
        ({"data": "scenes", "weights": "micro0", "split": "evaluation"}, "must not be"),
    ):
        with pytest.raises(UserError, match=says):
            calibrate(out=tmp_path / "c.npz", **wrong)
