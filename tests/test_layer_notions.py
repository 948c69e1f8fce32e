"""The notions of layer error against other tools' numbers, and on pairs of files that were not made for each other."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lab.analysis import layer_error
from effnet_lab.analysis.match import match_ops
from effnet_lab.analysis.metrics import ErrorSums
from effnet_lab.analysis.pairs import TwinRunner
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, float_twin, read_graph, read_info
from effnet_lab.litert.flatbuffer import decode, pack, parse
from effnet_lab.litert.layer_names import computing
from effnet_lab.names import UserError

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


def test_names_of_quantization_aware_training_are_matched(files):
    quantized = renamed(files[INT8].read_bytes(), lambda _, name: name.replace("blocks_", "quant_blocks_"))
    twins = TwinRunner(files[FLOAT], quantized)
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
    twins = TwinRunner(pack(tree), scrambled)
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
    assert errors["effect_changed_top1"].between(0, 1).all()


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


def test_fused_metrics_are_numpys(files, scenes, errors):
    twins = TwinRunner(files[FLOAT], files[INT8])
    pair = twins.pairs[7]
    seen = [[], []]
    for batch, _ in scenes.batches(read_info(files[INT8]).preprocess):
        for image in batch:
            twins.run(image)
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

    table = layer_error(files[INT8], scenes, float_model=files[FLOAT], progress=stop_after_three)
    assert (table["n_images"] == 3).all()
    assert table.attrs["interrupted"]
    whole = layer_error(files[INT8], scenes.take(3), float_model=files[FLOAT])
    assert len(whole) == len(table)


@pytest.mark.parametrize("scheme", ["static_wi8_ai16", "static_wi8_ai8_per_tensor", "dynamic_wi8_afp32", "float16"])
def test_other_schemes_have_sensible_rows(files, scenes, scheme):
    table = layer_error(files[f"{scheme} converter"], scenes.take(2), float_model=files[FLOAT], notions=ALL)
    assert table.attrs["unmatched"] == []
    assert table.attrs["not_local"] == []
    assert (table["sqnr_accumulated_db"] > 5).all()
    assert (table["sqnr_local_db"] > 15).all()


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
        table = layer_error(files[INT8], scenes.take(2), float_model=given)
        ours = table["sqnr_accumulated_db"]
        np.testing.assert_allclose(ours, expected[: len(ours)], atol=0.05)
    assert table.attrs["unmatched"] == ["softmax"]  # the network itself ends with the logits
