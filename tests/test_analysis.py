"""Layer error: definitions on numbers done by hand, then against AI Edge Quantizer's own comparison."""

from __future__ import annotations

import numpy as np
import pytest
from damage import flip_one_scale

from effnet_lab import frames
from effnet_lab.analysis import HistogramOf, Twins, layer_histogram, sqnr_db
from effnet_lab.analysis import layer_error as measure
from effnet_lab.analysis.metrics import ErrorSums, channel_sqnr_db
from effnet_lab.images import open_images
from effnet_lab.litert import read_info
from effnet_lab.names import UserError
from effnet_lab.scaling import get_spec, layer_counts


def layer_error(*files, **options):
    """The table alone."""
    return measure(*files, **options).table


FLOAT, INT8, AEQ = "float32 converter", "static_wi8_ai8 converter", "static_wi8_ai8 ai_edge_quantizer"


@pytest.fixture(scope="module")
def scenes():
    return open_images("scenes", limit=12)


@pytest.fixture(scope="module")
def errors(files, scenes):
    return layer_error(files[INT8], scenes, float_model=files[FLOAT])


def test_metrics_by_hand():
    a, b = np.array([3.0, 4.0]), np.array([3.0, 4.5])
    sums = ErrorSums.of(a, b)
    assert sums.sqnr_db == pytest.approx(20.0)  # 25 / 0.25
    assert sums.mse == pytest.approx(0.125)
    assert sums.cosine == pytest.approx(27.0 / (5.0 * np.hypot(3.0, 4.5)))


def test_infinities_and_nan():
    assert sqnr_db(np.ones(3), np.ones(3)) == float("inf")
    assert sqnr_db(np.zeros(3), np.ones(3)) == float("-inf")
    assert np.isnan(ErrorSums.of(np.zeros(3), np.ones(3)).cosine)
    with pytest.raises(ValueError, match="must be finite"):
        sqnr_db(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match=r"one shape. Got \(3,\) and \(2,\)"):
        sqnr_db(np.ones(3), np.ones(2))


def test_joined_sums_are_those_of_all_values():
    a, b = ErrorSums.of(np.array([3.0, -1.0]), np.array([3.5, -1.0])), ErrorSums.of(np.array([-7.0]), np.array([-7.25]))
    for joined in (a + b, b + a):
        assert (joined.low, joined.high, joined.max_error) == (-7.0, 3.0, 0.5)
        assert (joined.count, joined.error, joined.error2) == (3, 0.25, 0.3125)
        assert (joined.reference2, joined.product) == (59.0, 10.5 + 1 + 50.75)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_on_either_side(bad):
    for pair in (([1.0, bad], [1.0, 1.0]), ([1.0, 1.0], [1.0, bad])):
        with pytest.raises(ValueError, match="must be finite"):
            ErrorSums.of(*map(np.array, pair))


def test_streaming_is_the_same_as_all_at_once():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 40))
    streamed = sum((ErrorSums.of(x, y) for x, y in zip(a, b, strict=True)), ErrorSums())
    assert streamed.sqnr_db == pytest.approx(sqnr_db(a, b))


def test_sqnr_of_a_uniform_quantizer_gains_six_db_per_bit():
    """Bennett 1948: each bit halves the step, and the noise power is step**2 / 12."""
    signal = np.random.default_rng(0).uniform(-1, 1, 1_000_000)
    by_bits = [sqnr_db(signal, np.round(signal * 2 ** (bits - 1)) / 2 ** (bits - 1)) for bits in (6, 7, 8)]
    np.testing.assert_allclose(np.diff(by_bits), 6.02, atol=0.05)


def test_channels_are_judged_alone():
    a = np.ones((4, 3))
    b = a.copy()
    b[:, 1] += 0.1
    assert channel_sqnr_db(a, b, axis=1) == pytest.approx([np.inf, 20.0, np.inf])


def test_every_layer_of_the_network_has_a_row(errors):
    frames.require(errors, frames.LAYER_ERROR, caller="test")
    counted = layer_counts(get_spec("micro0"), classes=10)
    assert errors["layer"].tolist() == [*counted["layer"], "softmax"]
    assert errors["op"].tolist() == [*counted["op"], "softmax"]
    assert errors["sqnr_accumulated_db"].between(5, 60).all()
    assert errors["cosine"].between(0.8, 1).all()
    has_kernel = errors["op"].isin(["conv", "depthwise", "dense"])
    assert (errors["weight_sqnr_db"].notna() == has_kernel).all()
    assert (errors["weight_worst_channel_sqnr_db"] <= errors["weight_sqnr_db"])[has_kernel].all()


def test_mse_is_the_mean_of_ai_edge_quantizers_metric_over_the_images(files, scenes):
    """Their formula on the values that our interpreters hold; their whole tool is the golden in test_layer_notions."""
    from ai_edge_quantizer.utils.validation_utils import mean_squared_difference

    image_set = scenes.take(4)
    info = read_info(files[INT8])
    ours = layer_error(files[INT8], image_set, float_model=files[FLOAT]).set_index("layer")["mse"]
    twins = Twins(files[INT8], files[FLOAT])
    theirs = {pair.layer: [] for pair in twins.pairs}
    for batch, _ in image_set.batches(info.preprocess):
        for image in batch:
            twins.run((image,))
            for pair in twins.pairs:
                reference, quantized = twins.values(pair)
                theirs[pair.layer].append(mean_squared_difference(reference, quantized))
    for layer, values in theirs.items():
        assert ours[layer] == pytest.approx(np.mean(values), rel=1e-3), layer


def test_without_a_float_file_the_weights_are_exact(files, scenes):
    table = layer_error(files[INT8], scenes.take(3))
    assert (table["weight_sqnr_db"].dropna() == np.inf).all()
    assert table["sqnr_accumulated_db"].between(5, 70).all()


@pytest.mark.parametrize("layer", ["stem_conv", "blocks_1_dwconv", "blocks_4_project", "head_conv"])
def test_one_flipped_weight_scale_shows_in_that_layer_alone(files, scenes, errors, tmp_path, layer):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(files[INT8].read_bytes())
    flip_one_scale(broken, layer)
    table = layer_error(broken, scenes, float_model=files[FLOAT])
    moved = errors["weight_worst_channel_sqnr_db"] - table["weight_worst_channel_sqnr_db"] > 0.1
    assert table.loc[moved, "layer"].tolist() == [layer]
    # the code of every weight is off by a tenth: 20 dB
    assert table.loc[moved, "weight_worst_channel_sqnr_db"].item() == pytest.approx(20.0, abs=1.0)


def test_histograms_count_every_value(files, scenes):
    few = scenes.take(3)
    table = layer_histogram(files[INT8], few, ["stem_conv"], float_model=files[FLOAT])
    assert table.groupby("computed_in")["count"].sum().to_dict() == dict.fromkeys(
        ("float", "quantized"), 3 * 16 * 16 * 8
    )
    assert (table["bin_right"] > table["bin_left"]).all()
    opened = [Twins(files[name], files[FLOAT]) for name in (INT8, AEQ)]
    asked = HistogramOf(opened, few)("micro0", "static_wi8_ai8", "converter", "stem_conv")
    assert asked.equals(table)
    with pytest.raises(UserError, match="Unknown model 'micro9'"):
        HistogramOf(opened, few)("micro9", "static_wi8_ai8", "converter", "stem_conv")


@pytest.mark.real
def test_models_of_different_networks_are_refused(files, shared):
    with pytest.raises(UserError, match="share no activation by name"):
        Twins(shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite", files[FLOAT])
