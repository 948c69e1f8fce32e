"""The notions of layer error against other tools' numbers, and on pairs of files that were not made for each other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from signals import stopped_at_line

from effnet_lab.analysis import Twins, op_by_op
from effnet_lab.analysis import layer_error as measure
from effnet_lab.analysis.ends import EndWatcher, losses_of
from effnet_lab.analysis.error_sums import DeadChannels, LogitErrors, end_of
from effnet_lab.analysis.match import match_ops
from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.metrics import ErrorSums
from effnet_lab.analysis.plan import WHOLE
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, float_twin, read_graph, read_info
from effnet_lab.litert.flatbuffer import decode, pack, parse
from effnet_lab.litert.io_types import with_io
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.litert.runner import DelegateError
from effnet_lab.names import UserError
from effnet_lab.quantize import parse_recipe, write_files
from effnet_lab.studies.inspection.pictures import AnswerWatcher


def layer_error(*files, **options) -> pd.DataFrame:
    """The table alone."""
    return measure(*files, **options).table


FLOAT, INT8 = "float32 converter", "static_wi8_ai8 converter"
ALL = ("accumulated", "local", "effect", "split")


@pytest.fixture(scope="module")
def scenes():
    return open_images("scenes", limit=5)


@pytest.fixture(scope="module")
def errors(files, scenes):
    return layer_error(files[INT8], scenes, float_model=files[FLOAT], notions=ALL)


def renamed(content, rename):
    """The file with other tensor names."""
    tree = parse(content)
    for i, tensor in enumerate(tree.subgraphs[0].tensors):
        tensor.name = rename(i, decode(tensor.name)).encode()
    return pack(tree)


@pytest.mark.parametrize("share", ["all", "half"])
def test_scrambled_names_are_matched_by_structure(files, share):
    rng = np.random.default_rng(0)
    quantized = files[INT8].read_bytes()
    scrambled = renamed(quantized, lambda i, name: name if share == "half" and i % 2 else f"x{rng.integers(1 << 40)}")
    graph, ours = read_graph(files[FLOAT]), read_graph(quantized)
    truth = {op.index: found.index for op in ours.ops if (found := match_ops(ours, graph).get(op.index))}
    matched = match_ops(read_graph(scrambled), graph)
    assert {index: op.index for index, op in matched.items()} == truth
    assert len(truth) == len(computing(ours))


@pytest.mark.parametrize("name", ["", "x"])
def test_stripped_names_are_matched_by_structure(files, scenes, tmp_path, name):
    """TensorFlow Lite Micro's users strip the names of their files to save flash."""
    pair = {}
    for which, path in (("float", files[FLOAT]), ("quantized", files[INT8])):
        pair[which] = tmp_path / f"{which}.tflite"
        pair[which].write_bytes(renamed(path.read_bytes(), lambda *_: name))
    named = layer_error(files[INT8], scenes, float_model=files[FLOAT])
    found = measure(pair["quantized"], scenes, float_model=pair["float"])
    stripped = found.table
    assert stripped["layer"].is_unique
    assert not found.unmatched
    columns = ["op", "sqnr_accumulated_db", "mse"]
    pd.testing.assert_frame_equal(stripped[columns], named[columns])


def test_names_of_quantization_aware_training_are_matched(files):
    quantized = renamed(files[INT8].read_bytes(), lambda _, name: name.replace("blocks_", "quant_blocks_"))
    twins = Twins(quantized, files[FLOAT])
    assert twins.unmatched == ()
    assert all(
        pair.layer.replace("quant_", "") in pair.reference.name for pair in twins.pairs if "blocks" in pair.layer
    )


def test_an_inserted_layer_is_listed_and_the_others_keep_theirs(files, scenes):
    tree = parse(files[FLOAT].read_bytes())
    main = tree.subgraphs[0]
    place = next(i for i, op in enumerate(main.operators) if i > 5)
    old = main.operators[place].inputs[0]
    twin = parse(files[FLOAT].read_bytes()).subgraphs[0].tensors[old]
    twin.name, twin.buffer = b"inserted", 0
    main.tensors.append(twin)
    source = parse(files[FLOAT].read_bytes())
    code = source.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = 98  # LEAKY_RELU, of which slope 1 changes nothing
    code.version = 1
    tree.operatorCodes.append(code)
    from ai_edge_litert import schema_py_generated as schema

    options = schema.LeakyReluOptionsT()
    options.alpha = 1.0
    op = schema.OperatorT(
        opcodeIndex=len(tree.operatorCodes) - 1, inputs=[int(old)], outputs=[len(main.tensors) - 1],
        builtinOptionsType=schema.BuiltinOptions.LeakyReluOptions, builtinOptions=options,
    )  # fmt: skip
    main.operators[place].inputs = [len(main.tensors) - 1, *map(int, main.operators[place].inputs[1:])]
    main.operators.insert(place, op)
    scrambled = renamed(files[INT8].read_bytes(), lambda i, _: f"n{i}")
    twins = Twins(scrambled, pack(tree))
    assert twins.unmatched == ()
    assert [name for name in twins.unmatched_reference if "inserted" not in name] == []
    assert len(twins.unmatched_reference) == 1


def test_local_and_accumulated_agree_where_nothing_came_before(errors):
    first = errors.iloc[0]
    assert first["sqnr_local_db"] == pytest.approx(first["sqnr_accumulated_db"], abs=0.3)
    assert errors["sqnr_local_db"].mean() > errors["sqnr_accumulated_db"].mean() + 3


def test_effect_of_one_op_is_that_of_a_network_with_this_op_alone_in_integers(files, scenes, errors):
    """The last dense layer has nothing behind it: its effect on the logits is its local error."""
    dense = errors[errors["op"] == "dense"].iloc[0]
    assert dense["sqnr_effect_db"] == pytest.approx(dense["sqnr_local_db"], abs=1e-3)
    softmax = errors[errors["op"] == "softmax"].iloc[0]
    assert softmax["sqnr_effect_db"] == np.inf  # the logits stand before it


def test_the_effect_of_every_op_is_that_of_the_float_network_with_this_op_in_integers(files, scenes, errors):
    """Once op by op, in chunks; here as one network per op, image after image."""
    twins = Twins(files[INT8], files[FLOAT])
    losses = losses_of(twins, twins.alone, twins.samples(scenes))
    assert len(losses) == len(errors) == 32
    assert all(loss.n_images == len(scenes) for loss in losses)
    np.testing.assert_allclose(errors["sqnr_effect_db"], [loss.sqnr_db for loss in losses], atol=1e-3)
    assert errors["effect_changed_top1"].tolist() == [loss.changed / len(scenes) for loss in losses]


def test_chunks_of_logits_add_up():
    """By hand: logits (3, 4) and (0, 12), of which one op moves the second image to (13, 12)."""
    key, chunks = (7, WHOLE), [LogitErrors([(7, WHOLE)]) for _ in range(3)]
    moved = [[3.0, 4.0], [13.0, 12.0], [3.0, 4.5]]
    for chunk, truth, other in zip(chunks, [[3.0, 4.0], [0.0, 12.0], [3.0, 4.0]], moved, strict=True):
        chunk.see_end(key, end_of(np.float32(other), np.float32(other)))
        chunk.close([np.float32(truth)], [np.float32(truth)])
    whole = chunks[0] + chunks[1] + chunks[2]
    assert whole.n_images == 3
    assert whole.signal == 25 + 144 + 25
    assert whole.noise[key] == 169.25
    assert whole.changed[key] == 1
    assert whole.effect_db(key) == pytest.approx(10 * np.log10(194 / 169.25))
    pair = SimpleNamespace(reference_op=SimpleNamespace(index=7))
    assert whole.row(pair) == {"sqnr_effect_db": whole.effect_db(key), "effect_changed_top1": 1 / 3}


def test_a_channel_is_dead_when_it_has_shown_one_code_only():
    none = DeadChannels.unknown()
    once = none.join(none.after(np.int8([[1, 2, 3]])))
    assert np.isnan(once.count)  # of one value each, nobody can say
    twice = once.join(once.after(np.int8([[1, 5, 3]])))
    assert twice.count == 2
    for known in (none, once, twice):  # an image may be looked at before those ahead of it are counted
        assert twice.join(known.after(np.int8([[1, 5, 4], [2, 5, 4]]))).count == 0
        assert twice.join(known.after(np.int8([[1, 7, 3], [1, 5, 9]]))).channels.tolist() == [0]


def test_the_split_is_of_the_whole(errors):
    """Independent errors add: the noise of both is about that of weights and activations; and the worse one dominates."""
    rows = errors.dropna(subset="sqnr_effect_weights_db")
    assert rows["op"].isin(["conv", "depthwise", "dense"]).all()
    parts = 10 ** (-rows["sqnr_effect_weights_db"] / 10) + 10 ** (-rows["sqnr_effect_activations_db"] / 10)
    apart = rows["sqnr_effect_db"] + 10 * np.log10(parts)
    assert apart.abs().median() < 1.5


def test_what_was_not_asked_for_is_nan(files, scenes, errors):
    table = layer_error(files[INT8], scenes.take(2), float_model=files[FLOAT])
    assert table[["sqnr_local_db", "local_mse", "sqnr_effect_db", "sqnr_effect_weights_db"]].isna().all(axis=None)
    local = layer_error(files[INT8], scenes, float_model=files[FLOAT], notions=("local",))
    assert local["sqnr_accumulated_db"].isna().all()
    np.testing.assert_allclose(local["sqnr_local_db"], errors["sqnr_local_db"], rtol=1e-6)
    with pytest.raises(UserError, match=r"Unknown notion of error 'locale'\. Did you mean 'local'"):
        layer_error(files[INT8], scenes, notions=("locale",))
    with pytest.raises(UserError, match="Use local_inputs 'float'"):
        layer_error(files[INT8], scenes, notions=("local", "effect"), local_inputs="quantized")
    with pytest.raises(UserError, match="Did you mean 'quantized'"):
        layer_error(files[INT8], scenes, notions=("local",), local_inputs="quantised")


def test_fused_metrics_are_numpys(files, scenes, errors):
    twins = Twins(files[INT8], files[FLOAT])
    pair = twins.pairs[7]
    seen = [[], []]
    for batch, _ in scenes.batches(read_info(files[INT8]).preprocess):
        for image in batch:
            twins.run((image,))
            for values, one in zip(seen, twins.values(pair), strict=True):
                values.append(one.astype(np.float64))
    a, b = (np.stack(values) for values in seen)
    row = errors.iloc[7]
    assert row["mse"] == pytest.approx(((b - a) ** 2).mean(), rel=1e-5)
    assert row["bias"] == pytest.approx((b - a).mean(), abs=1e-7)
    assert row["max_error"] == pytest.approx(np.abs(b - a).max(), rel=1e-6)
    assert row["cosine"] == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()), abs=1e-7)
    assert (row["float_min"], row["float_max"]) == (a.min(), a.max())
    assert row["n_dead_channels"] == (np.ptp(b.reshape(-1, b.shape[-1]), axis=0) == 0).sum()
    assert row["rmse_over_scale"] == pytest.approx(np.sqrt(((b - a) ** 2).mean()) / row["scale"], rel=1e-5)
    assert row["effective_bits"] == pytest.approx((row["sqnr_accumulated_db"] - 1.76) / 6.02)


def test_rounding_alone_has_the_ideal_error_over_scale():
    values = np.random.default_rng(0).uniform(-1, 1, 200_000)
    sums = ErrorSums.of(values, np.round(values * 64) / 64)
    assert sums.rmse * 64 == pytest.approx(1 / np.sqrt(12), rel=0.01)


def test_saturation_counts_what_the_codes_cannot_express(files):
    tensor = Runner(files[INT8]).input
    top = tensor.real(np.array([127]))[0]
    sums, codes = ErrorSums(), np.full(4, 127, np.int8)
    sums.see(np.array([top, top * 1.5, 0.0, top + 0.4 * tensor.scale[0]], np.float32), codes, tensor)
    assert sums.saturation_share == 0.25


def test_an_interrupt_keeps_what_is_finished(files, scenes):
    def stop_after_three(images, total):
        for i, image in enumerate(images):
            if i == 3:
                raise KeyboardInterrupt
            yield image

    found = measure(files[INT8], scenes, float_model=files[FLOAT], progress=stop_after_three)
    assert (found.table["n_images"] == 3).all()
    assert found.interrupted
    first_three = layer_error(files[INT8], scenes.pick(np.arange(3)), float_model=files[FLOAT])
    pd.testing.assert_frame_equal(found.table, first_three)
    assert not measure(files[INT8], scenes.take(1), float_model=files[FLOAT]).interrupted


def test_a_file_alone_has_exact_weights_and_all_notions(files, scenes):
    table = layer_error(files[INT8], scenes.take(2), notions=ALL)
    weights = table["sqnr_effect_weights_db"].dropna()
    assert (weights == np.inf).all()
    assert len(float_twin(files[INT8])) > 0


def test_a_keras_model_is_a_float_model(files, scenes):
    from effnet_lab.models import load_model

    model = load_model("micro0")
    expected = layer_error(files[INT8], scenes.take(2), float_model=files[FLOAT])["sqnr_accumulated_db"]
    for given in ("micro0", model.keras):
        found = measure(files[INT8], scenes.take(2), float_model=given)
        ours = found.table["sqnr_accumulated_db"]
        np.testing.assert_allclose(ours, expected[: len(ours)], atol=0.05)
    assert found.unmatched == ("softmax",)  # the network itself ends with the logits


def feed(images, preprocess):
    """One image after the other, as TensorFlow's tools want them."""
    return ([image[None]] for batch, _ in images.batches(preprocess) for image in batch)


@pytest.mark.filterwarnings("ignore:[^$]*tf.lite.Interpreter is deprecated")  # the golden tool uses it
def test_local_error_is_quantization_debuggers(files, scenes, tmp_path):
    """Golden: QuantizationDebugger's default run, which starts from the quantized network's own activations."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    preprocess = read_info(files[FLOAT]).preprocess
    seen = open_images("scenes", split="calibration", limit=20)
    calibrated = Calibrator(files[FLOAT].read_bytes()).calibrate(lambda: feed(seen, preprocess))
    path = tmp_path / "quantized.tflite"
    path.write_bytes(mlir_quantize(calibrated))
    debugger = tf.lite.experimental.QuantizationDebugger(
        quant_debug_model_content=mlir_quantize(calibrated, enable_numeric_verify=True),
        debug_dataset=lambda: feed(scenes, preprocess),
    )
    debugger.run()
    theirs = list(debugger.layer_statistics.values())  # in forward order; names have got numbers at the end
    ours = layer_error(path, scenes, float_model=files[FLOAT], notions=("local",), local_inputs="quantized")
    assert len(theirs) == len(ours) == 32
    for row, golden in zip(ours.itertuples(), theirs, strict=True):
        floor = (1e-4 * row.scale) ** 2  # the mean of one pixel is exact, in one of the two but for float32's rounding
        assert row.local_mse == pytest.approx(golden["mean_squared_error"], rel=0.01, abs=floor), row.layer
        assert row.local_bias == pytest.approx(golden["mean_error"], rel=0.01, abs=1e-3 * row.scale), row.layer
    usual = layer_error(path, scenes, float_model=files[FLOAT], notions=("local",))
    assert usual["local_mse"][0] == pytest.approx(ours["local_mse"][0], rel=1e-6)  # nothing came before
    through = usual[usual["op"] == "add"]["local_mse"] / ours[ours["op"] == "add"]["local_mse"]
    assert (through > 2).all()  # an add has hardly an error but that of its inputs' rounding


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors.*")  # the golden tool means to
def test_accumulated_error_is_ai_edge_quantizers(files, scenes, errors):
    """Golden: `Quantizer.validate` from file to table, on its own interpreters."""
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    preprocess = read_info(files[INT8]).preprocess
    samples = [{"images": image} for (image,) in feed(scenes, preprocess)]
    tool = Quantizer(str(files[FLOAT]), recipe.static_wi8_ai8(), previous_quantized_model=str(files[INT8]))
    found = tool.validate({"serving_default": samples}, num_threads=1).get_all_tensor_results()
    twins = Twins(files[INT8], files[FLOAT])
    assert len(twins.pairs) == len(errors) == 32
    for pair, ours in zip(twins.pairs, errors["mse"], strict=True):
        assert ours == pytest.approx(found[pair.reference.name]["mse"], rel=0.01), pair.layer


def test_where_xnnpack_refuses_the_plain_kernels_run_and_the_table_says_so(files, scenes, tmp_path):
    """A ReLU6 that never fires in calibration has an output scale of about 1e-8."""
    tree = parse(files[INT8].read_bytes())
    graph = read_graph(files[INT8])
    name = next(name for name, layer in layer_names(graph).items() if layer == "blocks_4_dwconv")
    tensor = tree.subgraphs[0].tensors[graph.produced[name].outputs[0]]
    tensor.quantization.scale = np.array([1e-8], np.float32)
    path = tmp_path / "dead.tflite"
    path.write_bytes(pack(tree))
    with pytest.raises(DelegateError, match="effnet-lab lint"):
        Runner(path).predict(np.zeros((1, 32, 32, 3), np.float32))
    for notions in (("accumulated",), ("local",), ("effect",), ALL):
        table = layer_error(path, scenes.take(2), float_model=files[FLOAT], notions=notions)
        assert (table["kernels"] == "builtin").all()
        assert (table["n_images"] == 2).all()
    assert table.loc[table["layer"] == "blocks_4_dwconv", "saturation_share"].item() > 0.2
    healthy = layer_error(files[INT8], scenes.take(2), float_model=files[FLOAT])
    assert (healthy["kernels"] == "xnnpack").all()


def test_an_interrupt_keeps_the_images_that_all_ops_have_seen(files, scenes, errors, monkeypatch):
    monkeypatch.setattr(op_by_op, "MOST_IMAGES", 2)
    bar, stop = [], 50

    def stopped(work, total):
        bar.append(total)
        for i, do in enumerate(work):
            if i == stop:
                raise KeyboardInterrupt
            yield do

    options = {"float_model": files[FLOAT], "notions": ("accumulated", "local", "effect")}
    found = measure(files[INT8], scenes, progress=stopped, **options)
    table = found.table
    assert bar == [3 * (32 + 1)]  # chunks of images, each through every op and once through the whole
    assert (table["n_images"] == 2).all()
    assert found.interrupted
    pd.testing.assert_frame_equal(table, layer_error(files[INT8], scenes.take(2), **options))
    stop = 30  # in the first chunk
    with pytest.raises(KeyboardInterrupt):  # nothing is finished
        layer_error(files[INT8], scenes, progress=stopped, **options)


def test_what_waits_between_two_ops_stays_within_its_bound(files, scenes, monkeypatch):
    twins = Twins(files[INT8], files[FLOAT])
    plan = twins.plan((WHOLE,))
    monkeypatch.setattr(op_by_op, "CHUNK_BYTES", 3 * plan.bytes_per_image() + 1)
    assert op_by_op.chunk_size(plan) == 3
    images = np.stack([image for (image,) in feed(scenes, read_info(files[INT8]).preprocess)])[:3, 0]
    walk, most = op_by_op.OpWalk(plan, [(image,) for image in images], "xnnpack", LogitErrors()), 0
    for do in walk:
        do()
        most = max(most, sum(values.nbytes for state in walk.states for values in state.values()))
    assert 0.3 * op_by_op.CHUNK_BYTES < most <= op_by_op.CHUNK_BYTES
    assert all(state.keys() == {plan.logits, *plan.outputs} for state in walk.states)
    monkeypatch.setattr(op_by_op, "CHUNK_BYTES", 1)
    assert op_by_op.chunk_size(plan) == 1  # an image larger than the bound goes alone


OTHERS = ("static_wi8_ai16 converter", "static_wi8_ai8_per_tensor converter", "dynamic_wi8_afp32 converter",
          "float16 converter", "static_wi4_ai8 ai_edge_quantizer", "weight_only_wi8_afp32 ai_edge_quantizer",
          "static_wi8_ai8 ai_edge_quantizer")  # fmt: skip


@pytest.mark.parametrize("name", [*OTHERS, "float islands", "uint8", "float32"])
def test_files_of_other_kinds_have_sensible_rows(files, scenes, tmp_path, name):
    path = tmp_path / "other.tflite"
    if name in ("uint8", "float32"):
        path.write_bytes(with_io(files[INT8].read_bytes(), name))
    elif name == "float islands":
        recipe = parse_recipe("int8; op:depthwise=float32; head_dense=float16")
        calibration = open_images("scenes", split="calibration", limit=10)
        write_files(files[FLOAT], [(recipe, "ai_edge_quantizer")], path, calibration=calibration)
    else:
        path = files[name]
    found = measure(path, scenes.take(2), float_model=files[FLOAT], notions=ALL)
    table = found.table
    assert found.unmatched == found.unmatched_float == found.not_local == ()
    assert len(table) == 32
    assert (table["sqnr_accumulated_db"] > 5).all()
    assert (
        table["sqnr_local_db"] > (10 if name in ("float islands", "static_wi4_ai8 ai_edge_quantizer") else 15)
    ).all()
    assert table["sqnr_effect_db"].notna().all()
    if name == "float islands":
        islands = table[table["op"] == "depthwise"]
        assert (islands["sqnr_local_db"] > 100).all()  # nothing of them is rounded
        assert (islands["sqnr_accumulated_db"] < 60).all()
        assert islands["scale"].isna().all()


@pytest.mark.real
def test_a_file_from_elsewhere_with_uint8_input(shared, flowers_cache):
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    found = measure(path, open_images("flowers160", limit=2), notions=("accumulated", "local"))
    table = found.table
    assert len(table) == 63  # the normalisation is part of the graph
    assert found.unmatched == found.unmatched_float == found.not_local == ()
    assert table["op"].tolist()[:3] == ["mul", "add", "conv"]
    assert table["sqnr_accumulated_db"][2:].between(3, 60).all()
    assert table["sqnr_local_db"][2:].between(10, 70).all()


def test_a_signal_between_any_two_lines_counts_an_image_for_all_or_for_none(files, scenes, monkeypatch):
    """The answers, the ends and the sums of the table hold the same images, wherever the second is interrupted."""
    twins, images = Twins(files[INT8], files[FLOAT]), scenes.take(2)

    def measured(n=2):
        ends, answers = EndWatcher(twins), AnswerWatcher()
        measuring = Measuring(twins, ("local",), watchers=(ends, answers), workers=1)
        measuring.run(images.take(n))
        return measuring.n_images, ends.kept, len(answers.kept), measuring.table("scenes")

    whole, counts, count = {n: measured(n=n) for n in (1, 2)}, [], 0
    keep = Measuring._keep
    while True:
        stopped, count = [], count + 1

        def interrupted(self, *seen, count=count, stopped=stopped):
            if self.n_images != 1:
                keep(self, *seen)
            else:
                stopped.append(stopped_at_line(count, lambda: keep(self, *seen)))
                if stopped[0]:
                    raise KeyboardInterrupt

        monkeypatch.setattr(Measuring, "_keep", interrupted)
        n_images, ends, n_answers, table = measured()
        assert n_images == n_answers == ends.n_images
        assert ends == whole[n_images][1]
        pd.testing.assert_frame_equal(table, whole[n_images][3])
        counts.append(n_images)
        if not stopped[0]:
            break
    assert sorted(counts) == counts
    assert set(counts) == {1, 2}
    assert len(counts) > 10
