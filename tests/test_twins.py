"""A pair of files: opened once, checked before anything is measured, and fed with inputs of every kind."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema

from effnet_lab import cli
from effnet_lab.analysis import Twins, explain, layer_channels, layer_error, layer_histogram, verdicts
from effnet_lab.evaluate import evaluate
from effnet_lab.images import open_images
from effnet_lab.litert import read_graph, runner
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.names import UserError
from effnet_lab.studies import twin_accuracy

FLOAT, INT8, DYNAMIC = "float32 converter", "static_wi8_ai8 converter", "dynamic_wi8_afp32 converter"


@pytest.fixture(scope="module")
def scenes():
    return open_images("scenes", limit=4)


@pytest.fixture
def opened(monkeypatch) -> dict[str, int]:
    """How many files are parsed and how many interpreters opened, from here on."""
    count = {"parsed": 0, "interpreters": 0}
    read, interpreter = schema.ModelT.InitFromPackedBuf, runner.Interpreter

    def counted_read(*args):
        count["parsed"] += 1
        return read(*args)

    def counted_interpreter(*args, **more):
        count["interpreters"] += 1
        return interpreter(*args, **more)

    monkeypatch.setattr(schema.ModelT, "InitFromPackedBuf", staticmethod(counted_read))
    monkeypatch.setattr(runner, "Interpreter", counted_interpreter)
    return count


def test_a_verdict_opens_each_file_once(files, scenes, opened):
    """Before: the files were parsed 5 times and 36 interpreters opened, for the 32 ops of this network."""
    found = verdicts(files[INT8], scenes, float_model=files[FLOAT])
    weakest = 1 + 3  # the float network to its end, and with one of the three weakest layers in integers
    assert opened["parsed"] == 2
    assert opened["interpreters"] == 2 + (weakest if set(found.table["verdict"]) == {"healthy"} else 0)


def test_many_questions_about_one_pair_open_it_once(files, scenes, opened):
    """Nothing is parsed twice, and the numbers are those of the files."""
    twins, two = Twins(files[INT8], files[FLOAT]), scenes.take(2)
    table = layer_error(twins, two, notions=("accumulated", "local")).table
    layer_histogram(twins, two, ["stem_conv"])
    layer_channels(twins, two, ["stem_conv"])
    explained = explain(twins, two, layer="stem_conv", at=(3, 2, 1))
    assert opened == {
        "parsed": 2,
        "interpreters": 3,
    }  # the float network, the same beside its ops in integers, the quantized one
    judged = verdicts(twins, two)
    assert opened["parsed"] == 2
    again = layer_error(files[INT8], two, float_model=files[FLOAT], notions=("accumulated", "local")).table
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(judged.table, verdicts(files[INT8], two, float_model=files[FLOAT]).table)
    pd.testing.assert_frame_equal(explained, explain(files[INT8], two, layer="stem_conv", at=(3, 2, 1)))


def test_pictures_of_some_classes_only_have_a_top1(files):
    """A twin is made without the labels of its file; without them three classes are not found among ten outputs."""
    whole = open_images("scenes", limit=40)
    few = replace(whole.pick(np.flatnonzero(whole.labels < 3)), classes=whole.classes[:3])
    found = twin_accuracy(Twins(files[INT8]), few)
    assert (found.reason, len(found.comparison)) == ("", 1)
    assert found.table["scheme"].tolist() == ["static_wi8_ai8", "float32"]
    assert found.table["top1"][0] == evaluate(files[INT8], few).table["top1"].item()


def refused(quantized, float_model, scenes) -> str:
    with pytest.raises(UserError) as error:
        layer_error(quantized, scenes, float_model=float_model)
    assert len(str(error.value)) <= 300
    return str(error.value)


def test_what_is_no_pair_is_named(files, scenes):
    assert "two files are swapped" in refused(files[FLOAT], files[INT8], scenes)
    assert "not a float network: it computes in integers" in refused(files[INT8], files[INT8], scenes)
    assert "not a float network: it holds integer weights" in refused(files[INT8], files[DYNAMIC], scenes)
    assert "is quantized: its weights and activations are float32" in refused(files[FLOAT], files[FLOAT], scenes)
    assert "is quantized: its weights and activations are float32" in refused(files[FLOAT], None, scenes)


def spoil_kernels(path, share: float) -> bytes:
    """The quantized file with the weights of so many of its layers in another order."""
    content, rng = path.read_bytes(), np.random.default_rng(0)
    graph = read_graph(content)
    kernels = [graph.weights(op) for op in graph.ops if graph.weights(op) is not None]
    chosen = kernels[: round(share * len(kernels))]
    return with_constants(content, {k.name: rng.permutation(k.data.ravel()).reshape(k.shape) for k in chosen})


def test_shuffled_weights_are_no_pair_and_a_few_shuffled_layers_are(files, scenes, tmp_path):
    path = tmp_path / "shuffled.tflite"
    path.write_bytes(spoil_kernels(files[INT8], 0.8))
    said = refused(path, files[FLOAT], scenes)
    assert "another training, or shuffled weights" in said
    assert "--anyway" in said
    anyway = layer_error(path, scenes, float_model=files[FLOAT], anyway=True).table
    assert anyway["pairing"].str.startswith("not a pair: The weights do not correlate").all()
    path.write_bytes(spoil_kernels(files[INT8], 0.1))
    found = verdicts(path, scenes, float_model=files[FLOAT])
    graph = read_graph(files[INT8])
    n = round(0.1 * sum(graph.weights(op) is not None for op in graph.ops))
    assert (found.table["verdict"] == "defective").sum() == n
    assert found.smallest_correlation[0] in set(found.table.loc[found.table["verdict"] == "defective", "layer"])
    assert found.smallest_correlation[1] < 0.5


def test_the_table_says_what_the_float_network_is(files, scenes):
    pair = layer_error(files[INT8], scenes, float_model=files[FLOAT])
    assert set(pair.table["pairing"]) == {"float file"}
    assert pair.smallest_correlation[1] == pair.table["weight_correlation"].min() > 0.99
    alone = layer_error(files[INT8], scenes)
    assert set(alone.table["pairing"]) == {"own weights"}
    assert alone.table["weight_correlation"].isna().all()


WILD = {  # quantized, float: what is said
    ("kws_ref_model", "kws_ref_model_float32"): "not a float network: it holds integer weights",
    ("vww_96_float", "vww_96_int8"): "swapped",
    ("vww_96_int8", "pretrainedResnet"): "not the same network",
}


@pytest.mark.real
@pytest.mark.parametrize(("quantized", "reference"), WILD)
def test_false_pairs_from_the_wild(shared, scenes, quantized, reference):
    paths = [shared / "fixtures" / "wild" / f"mlcommons__{name}.tflite" for name in (quantized, reference)]
    assert WILD[quantized, reference] in refused(*paths, scenes)


@pytest.mark.real
def test_another_training_is_no_pair(shared):
    folder = shared / "fixtures" / "wild"
    said = refused(
        folder / "tensorflow__hello_world_int8.tflite", folder / "tensorflow__hello_world_float.tflite", "scenes"
    )
    assert "do not correlate in 3 of 3 layers (smallest: -0.09" in said


@pytest.mark.real
def test_true_pairs_from_the_wild(shared):
    folder = shared / "fixtures" / "wild"
    for quantized, reference in (("vww_96_int8", "vww_96_float"), ("pretrainedResnet_quant", "pretrainedResnet")):
        twins = Twins(folder / f"mlcommons__{quantized}.tflite", folder / f"mlcommons__{reference}.tflite")
        assert twins.pairing.objection == ""
        assert twins.pairing.smallest[1] > 0.999
        assert twins.info.preprocess.origin == "input scale"  # the float file's own would be a guess


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shape"), [("mlcommons__kws_ref_model", (5, 49, 10, 1)), ("tensorflow__hello_world_int8", (9, 1))]
)
def test_inputs_that_are_no_pictures(shared, tmp_path, name, shape):
    path, values = shared / "fixtures" / "wild" / f"{name}.tflite", tmp_path / "values.npy"
    np.save(values, np.random.default_rng(0).uniform(0, 6, shape).astype(np.float32))
    table = layer_error(path, values, notions=("accumulated", "local", "effect")).table
    assert (table["n_images"] == len(np.load(values))).all()
    assert table[["sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_db"]].notna().all(axis=None)
    assert table["effect_changed_top1"].isna().all() == (name == "tensorflow__hello_world_int8")  # it has no classes
    assert "At the logits" in verdicts(path, values).closing[-1]
    with pytest.raises(UserError, match=r"not one picture of a known size.*--inputs"):
        layer_error(path, "scenes")


def two_in_two_out(path) -> bytes:
    """The network beside itself: two inputs, two outputs."""
    tree = parse(path)
    main = tree.subgraphs[0]
    first = len(main.tensors)
    again = parse(path).subgraphs[0]
    for tensor in again.tensors:
        tensor.name = b"second/" + tensor.name
    main.tensors += again.tensors
    for op in again.operators:
        op.inputs = [int(i) + first if i >= 0 else -1 for i in op.inputs]
        op.outputs = [int(i) + first for i in op.outputs]
    main.operators += again.operators
    main.inputs = [int(i) for i in (*main.inputs, again.inputs[0] + first)]
    main.outputs = [int(i) for i in (*main.outputs, again.outputs[0] + first)]
    tree.metadata = tree.signatureDefs = None
    return pack(tree)


def test_several_inputs_and_outputs(files, scenes, tmp_path):
    paths = [tmp_path / "int8.tflite", tmp_path / "float.tflite"]
    for path, name in zip(paths, (INT8, FLOAT), strict=True):
        path.write_bytes(two_in_two_out(files[name]))
    alone = Twins(files[INT8], files[FLOAT])
    pixels = np.stack([sample[0] for sample in alone.samples(scenes)])
    np.savez(tmp_path / "both.npz", a=pixels, b=pixels[::-1])
    both = layer_error(paths[0], tmp_path / "both.npz", float_model=paths[1], notions=("accumulated", "local")).table
    one = layer_error(files[INT8], scenes, float_model=files[FLOAT], notions=("accumulated", "local")).table
    assert len(both) == 2 * len(one)
    for half in (both.iloc[: len(one)], both.iloc[len(one) :]):
        for column in ("sqnr_accumulated_db", "sqnr_local_db"):
            np.testing.assert_allclose(half[column], one[column], atol=1e-3)


@pytest.mark.real
def test_a_network_with_state_is_refused_for_that_reason(shared):
    with pytest.raises(UserError, match="keeps state from one input to the next"):
        Twins(shared / "fixtures" / "wild" / "esphome__vad.tflite")


def test_the_commands_refuse_and_go_on_anyway(files, tmp_path, monkeypatch, capfd):
    path = tmp_path / "shuffled.tflite"
    path.write_bytes(spoil_kernels(files[INT8], 0.8))
    args = ["--quantized", path, "--float", files[FLOAT], "--images", "scenes", "--limit", "2"]
    for command in ("layer-error", "verdicts"):
        for more, code in (([], 2), (["--anyway"], 0)):
            monkeypatch.setattr(sys, "argv", ["effnet-lab", command, *map(str, args), *more])
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert (stop.value.code or 0) == code
            assert "do not correlate in" in capfd.readouterr().err


def test_channels_add_up_to_the_layer(files, scenes):
    few, twins = scenes.take(3), Twins(files[INT8], files[FLOAT])
    rows = layer_channels(twins, few, ["stem_conv"])
    pair = twins.pairs[0]
    values = []
    for sample in twins.samples(few):
        twins.run(sample)
        values.append([one.astype(np.float64).reshape(-1, 8) for one in twins.values(pair)])
    reference, quantized = (np.concatenate(each) for each in zip(*values, strict=True))
    sqnr = 10 * np.log10((reference**2).sum(0) / ((reference - quantized) ** 2).sum(0))
    assert rows["sqnr_accumulated_db"].to_numpy() == pytest.approx(sqnr)
    assert rows["float_min"].to_numpy() == pytest.approx(reference.min(0))
    assert rows["float_max"].to_numpy() == pytest.approx(reference.max(0))
    assert rows["channel"].tolist() == list(range(8))
