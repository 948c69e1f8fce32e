"""The sums behind every notion of error, against numpy and by hand, on tensors and networks that exist on paper."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hand_made import tensor

from effnet_lab.analysis.error_sums import Accumulated, DeadChannels, Local, LogitErrors, end_of
from effnet_lab.analysis.metrics import (
    IDEAL_RMSE_OVER_SCALE,
    ErrorSums,
    KernelSums,
    adder,
    channel_sqnr_db,
    expressible,
    require_finite,
    sqnr_db,
)
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE
from effnet_lab.decibels import decibels, decibels_each

A, B = np.array([3.0, -4.0, 0.0]), np.array([3.0, -4.5, 1.0])


# --- one pair of tensors


def test_every_sum_by_hand():
    sums = ErrorSums.of(A, B)
    assert (sums.count, sums.reference2, sums.quantized2, sums.product) == (3, 25.0, 9 + 20.25 + 1, 9 + 18)
    assert (sums.error2, sums.error, sums.max_error) == (1.25, 0.5, 1.0)
    assert (sums.low, sums.high, sums.outside) == (-4.0, 3.0, 0)


def test_every_measure_by_hand():
    sums = ErrorSums.of(A, B)
    assert sums.sqnr_db == pytest.approx(10 * math.log10(25 / 1.25))
    assert (sums.mse, sums.rmse, sums.bias) == pytest.approx((1.25 / 3, math.sqrt(1.25 / 3), 0.5 / 3))
    assert sums.cosine == pytest.approx(27 / (5 * math.sqrt(30.25)))
    assert sums.effective_bits == pytest.approx((10 * math.log10(20) - 1.76) / 6.02)


def test_a_full_scale_sine_on_eight_bits_has_eight_effective_bits():
    """IEEE 1241: SNR = 6.02 N + 1.76 dB."""
    sine = np.sin(np.arange(100_000) * 0.7310585)
    rounded = np.clip(np.round(sine * 127.5), -128, 127) / 127.5
    assert ErrorSums.of(sine, rounded).effective_bits == pytest.approx(8.0, abs=0.05)


def test_rounding_alone_costs_a_known_share_of_a_step():
    values = np.linspace(-100.0, 100.0, 100_001)
    assert ErrorSums.of(values, np.round(values)).rmse == pytest.approx(IDEAL_RMSE_OVER_SCALE, rel=1e-3)


def test_nothing_has_no_mean():
    nothing = ErrorSums()
    assert all(
        math.isnan(value)
        for value in (nothing.mse, nothing.rmse, nothing.bias, nothing.cosine, nothing.saturation_share)
    )
    assert (nothing.count, nothing.low, nothing.high) == (0, math.inf, -math.inf)


@pytest.mark.parametrize(
    ("signal", "noise", "db"),
    [(100.0, 1.0, 20.0), (1.0, 100.0, -20.0), (1.0, 0.0, math.inf), (0.0, 1.0, -math.inf), (0.0, 0.0, math.inf)],
)
def test_decibels(signal, noise, db):
    assert decibels(signal, noise) == db


def test_decibels_of_several():
    found = decibels_each(np.array([100.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert found.tolist() == pytest.approx([20.0, math.inf, -math.inf, math.nan], nan_ok=True)


def test_the_angle_to_nothing_is_no_number():
    assert math.isnan(ErrorSums.of(np.zeros(3), np.ones(3)).cosine)
    assert math.isnan(ErrorSums.of(np.ones(3), np.zeros(3)).cosine)
    assert ErrorSums.of(np.ones(3) * 1e-3, np.ones(3)).cosine == pytest.approx(1.0)


def test_joined_sums_are_those_of_all():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 1000))
    joined = ErrorSums.of(a[:3], b[:3]) + ErrorSums.of(a[3:], b[3:])
    whole = ErrorSums.of(a, b)
    assert joined.values == pytest.approx(whole.values, rel=1e-6)
    assert joined.max_error == np.abs(a - b).astype(np.float32).max()
    parts = ErrorSums.of(np.array([5.0, -5.0]), np.array([5.0, 0.0])), ErrorSums.of(np.array([1.0]), np.array([2.0]))
    for one, other in (parts, parts[::-1]):
        assert ((one + other).low, (one + other).high, (one + other).max_error) == (-5.0, 5.0, 5.0)
    again = ErrorSums()
    again.see(a[:3], b[:3])
    again.see(a[3:], b[3:])
    assert again.values == pytest.approx(whole.values, rel=1e-6)


@pytest.mark.parametrize(("reference", "quantized"), [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (1.0, -np.inf)])
def test_what_is_not_finite_is_refused(reference, quantized):
    with pytest.raises(ValueError, match="must be finite"):
        sqnr_db(np.array([1.0, reference]), np.array([1.0, quantized]))


def test_sums_of_many_pairs_are_all_asked():
    sums = np.stack([ErrorSums.of(A, B).values] * 3)
    require_finite(sums)
    sums[1, 1] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        require_finite(sums)


def test_shapes_have_to_be_one():
    for measure in (sqnr_db, lambda a, b: channel_sqnr_db(a, b, axis=0)):
        with pytest.raises(ValueError, match=r"one shape. Got \(3,\) and \(2,\)"):
            measure(np.ones(3), np.ones(2))


# --- codes


def coded(scale=0.5, zero=-3, dtype="int8", shape=(2, 3), **more):
    return tensor(0, "t", shape, dtype, scale=[scale], zero_point=[zero], **more)


def test_codes_are_what_they_stand_for():
    codes, reference = np.array([[-3, 0, 127], [-128, 5, 1]], np.int8), np.full((2, 3), 2.0)
    by_codes = ErrorSums()
    by_codes.see(reference, codes, coded())
    assert by_codes.values[:6] == pytest.approx(ErrorSums.of(reference, 0.5 * (codes.astype(float) + 3)).values[:6])


def test_a_scale_for_each_channel():
    per_channel = tensor(0, "t", (2, 2), "int8", scale=[0.5, 2.0], zero_point=[0, 1])
    object.__setattr__(per_channel, "axis", 1)
    sums = ErrorSums()
    sums.see(np.zeros((2, 2)), np.array([[2, 2], [4, 3]], np.int8), per_channel)
    assert sums.quantized2 == 1 + 4 + 4 + 16  # 1, 2 and 2, 4
    assert sums.outside == 0


def test_real_values_without_codes():
    sums = np.array(ErrorSums().values)
    adder(tensor(0, "t", (3,)))(A, B.astype(np.float32), sums)
    assert sums == pytest.approx(ErrorSums.of(A, B).values)


def test_half_a_step_beyond_the_ends_is_expressible():
    """Codes -128 to 127 less a zero point of -3: -125 to 130 steps of a half."""
    assert expressible(coded()) == (-125.5 * 0.5, 130.5 * 0.5)
    assert expressible(coded(dtype="uint8", zero=3)) == (-3.5 * 0.5, 252.5 * 0.5)
    sums = ErrorSums()
    sums.see(np.array([[-62.75, -62.8, 65.25], [65.3, 0.0, 1.0]]), np.zeros((2, 3), np.int8), coded())
    assert sums.outside == 2
    assert sums.saturation_share == pytest.approx(2 / 6)


# --- channels and kernels


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_are_judged_alone(axis):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    others = tuple(i for i in range(3) if i != axis)
    by_numpy = 10 * np.log10((a.astype(float) ** 2).sum(others) / ((a - b).astype(float) ** 2).sum(others))
    assert channel_sqnr_db(a, b, axis) == pytest.approx(by_numpy, rel=1e-5)


def kernel(codes, dtype="int8", scale=(0.5,), zero=(0,), axis=0):
    codes = np.asarray(codes, dtype)
    made = tensor(0, "w", codes.shape, dtype, scale=scale, zero_point=zero, data=codes)
    object.__setattr__(made, "axis", axis)
    return made


def test_a_kernel_as_a_whole_and_its_worst_channel():
    floats = kernel([[1.0, 2.0], [3.0, 5.0]], "float32", (), ())
    whole, worst = KernelSums.of_kernels(floats, kernel([[2, 4], [6, 8]]), 0).sqnr_db  # 1, 2 and 3, 4
    assert whole == pytest.approx(10 * math.log10((1 + 4 + 9 + 25) / 1))
    assert worst == pytest.approx(10 * math.log10((9 + 25) / 1))
    assert KernelSums.of_kernels(floats, kernel([[2, 4], [3, 4]], scale=(0.5, 1.0), zero=(0, 0)), 0).sqnr_db[
        1
    ] == pytest.approx(worst)
    assert KernelSums.of_kernels(floats, kernel([[2, 4], [6, 10]], zero=(0,)), 0).sqnr_db == (math.inf, math.inf)
    assert KernelSums.of_kernels(floats, kernel([[3, 5], [7, 11]], zero=(1,)), 0).sqnr_db == (math.inf, math.inf)
    assert KernelSums.of_kernels(floats, floats, 0).sqnr_db == (math.inf, math.inf)
    columns = KernelSums.of_kernels(floats, kernel([[2, 4], [6, 8]]), 1).sqnr_db[1]
    assert columns == pytest.approx(10 * math.log10((4 + 25) / 1))


def test_float16_and_four_bits():
    import ml_dtypes

    floats = kernel([[1.0, 2.0], [3.0, 3.5]], "float32", (), ())
    assert KernelSums.of_kernels(floats, kernel([[1.0, 2.0], [3.0, 3.5]], "float16", (), ()), 0).sqnr_db[0] == math.inf
    four = tensor(0, "w", (2, 2), "int8", scale=[0.5], zero_point=[0], data=np.array([[2, 4], [6, 7]], ml_dtypes.int4))
    object.__setattr__(four, "dtype", np.dtype(ml_dtypes.int4))
    assert KernelSums.of_kernels(floats, four, 0).sqnr_db == (math.inf, math.inf)


# --- channels with one code


def dead(*images) -> float:
    channels = DeadChannels.unknown()
    for image in images:
        channels = channels.join(channels.after(np.asarray(image, np.int8)))
    return channels.count


def test_a_channel_is_dead_while_it_shows_one_code():
    assert dead([[1, 2, 3], [1, 5, 3]]) == 2
    assert dead([[1, 2, 3], [1, 2, 3]], [[1, 2, 4]]) == 2
    assert dead([[1, 2, 3]], [[2, 3, 4]]) == 0
    assert dead([[1, 2], [3, 4]], [[1, 2]], [[1, 2]]) == 0  # what has moved stays alive
    assert dead([[1, 2, 3], [1, 2, 3]], [[1, 2]]) == 2  # fewer of them on another image


def test_one_value_of_each_says_nothing():
    assert math.isnan(dead([[1, 2, 3]]))
    assert dead([[1, 2, 3]], [[1, 2, 3]]) == 3
    assert math.isnan(dead())


# --- streams over images


def pair(index: int, scale=0.5, shape=(1, 4), op: int = 0):
    quantized = coded(scale, 0, shape=shape) if scale else tensor(index, "t", shape)
    return SimpleNamespace(index=index, quantized=quantized, reference_op=SimpleNamespace(index=op))


class PaperTwins:
    """Two networks that hold what a test says: by layer, float values and codes."""

    def __init__(self, **held) -> None:
        self.held = held

    def float_values(self, one) -> np.ndarray:
        return np.asarray(self.held[f"float{one.index}"], np.float32)

    def codes(self, one) -> np.ndarray:
        return np.asarray(self.held[f"codes{one.index}"], one.quantized.dtype)

    local_codes = codes


FIRST = PaperTwins(float3=[[1.0, 2.0, 0.0, 4.0]], codes3=[[2, 4, 0, 7]], float5=[[1.0, 1.0]], codes5=[[1.5, 1.0]])
SECOND = PaperTwins(float3=[[3.0, 2.0, 0.0, 4.0]], codes3=[[2, 4, 0, 8]], float5=[[2.0, 1.0]], codes5=[[2.0, 3.0]])
PAIRS = pair(3), pair(5, None, (1, 2))


@pytest.mark.parametrize("name", ["sqnr_accumulated_db", "sqnr_local_db"])
def test_what_is_kept_counts(name):
    kind, prefix = (Local, "local_") if "local" in name else (Accumulated, "")
    watching = kind(PAIRS)
    watching.kept = watching.after([watching.see(FIRST)])
    once = watching.row(PAIRS[0])
    assert once[name] == pytest.approx(10 * math.log10(21 / 0.25))
    watching.see(SECOND)
    assert watching.row(PAIRS[0]) == pytest.approx(once, nan_ok=True)  # not kept yet
    watching.kept = watching.after([watching.see(SECOND)])
    both = watching.row(PAIRS[0])
    assert both[name] == pytest.approx(10 * math.log10((21 + 29) / (0.25 + 4)))
    assert both[f"{prefix}mse"] == pytest.approx(4.25 / 8)
    assert both[f"{prefix}bias"] == pytest.approx((-0.5 - 2) / 8)
    assert both[f"{prefix}rmse_over_scale"] == pytest.approx(math.sqrt(4.25 / 8) / 0.5)
    other = watching.row(PAIRS[1])
    assert other[name] == pytest.approx(10 * math.log10((2 + 5) / (0.25 + 4)))
    assert math.isnan(other[f"{prefix}rmse_over_scale"])  # it has no scale


def test_the_accumulated_columns():
    watching = Accumulated(PAIRS)
    for twins in (FIRST, SECOND):
        watching.kept = watching.after([watching.see(twins)])
    row = watching.row(PAIRS[0])
    assert (row["float_min"], row["float_max"], row["max_error"]) == (0.0, 4.0, 2.0)
    assert row["n_dead_channels"] == 3
    assert row["saturation_share"] == 0.0
    assert row["effective_bits"] == pytest.approx((row["sqnr_accumulated_db"] - 1.76) / 6.02)
    assert row["cosine"] == pytest.approx((1 + 4 + 14 + 3 + 4 + 16) / math.sqrt(50 * (1 + 4 + 12.25 + 1 + 4 + 16)))
    assert math.isnan(watching.row(PAIRS[1])["n_dead_channels"])


def test_a_map_has_its_channels_last():
    one = pair(3, shape=(1, 2, 2, 3))
    watching = Accumulated([one])
    shown = PaperTwins(float3=np.zeros((1, 2, 2, 3)), codes3=[[[[1, 2, 3], [1, 5, 3]], [[1, 2, 3], [1, 2, 3]]]])
    watching.kept = watching.after([watching.see(shown)])
    assert watching.row(one)["n_dead_channels"] == 2


def test_a_scalar_has_no_channels():
    watching = Accumulated([pair(3, shape=())])
    watching.kept = watching.after([watching.see(PaperTwins(float3=2.0, codes3=4))])
    assert math.isnan(watching.row(pair(3))["n_dead_channels"])


def test_an_image_with_nan_is_refused():
    for watcher in (Accumulated, Local):
        watching = watcher(PAIRS)
        with pytest.raises(ValueError, match="must be finite"):
            watching.see(PaperTwins(float3=[[np.nan] * 4], codes3=[[0] * 4], float5=[[1.0, 1.0]], codes5=[[1.0, 1.0]]))


def test_a_layer_that_cannot_run_alone_has_no_local_columns():
    assert Local(PAIRS[:1]).row(PAIRS[1]) == {}


# --- the effect at the logits


def ended(*images: tuple[float, float], logits, answers) -> LogitErrors:
    """Two images whose float network ends at (3, 4) and (1, 0); op 7 alone in integers ends at `images`."""
    errors = LogitErrors([(7, WHOLE), (7, WEIGHTS)])
    for end in images:
        errors.see_end((7, WHOLE), end_of(np.array([end]), np.array([end])))
        errors.see_end((7, WEIGHTS), end_of(np.array([end]) * 0 + 1, np.array([[1.0, 0.0]])))
    errors.close([np.array([one]) for one in logits], [np.array([one]) for one in answers])
    return errors


FLOAT = [(3.0, 4.0), (1.0, 0.0)]


def test_the_effect_of_one_op():
    """Errors (0, 2) and (0, .5); the first image changes its class, from the second to the first."""
    errors = ended((3.0, 2.0), (1.0, 0.5), logits=FLOAT, answers=FLOAT)
    row = errors.row(pair(0, op=7))
    assert row["sqnr_effect_db"] == pytest.approx(10 * math.log10((9 + 16 + 1) / (4 + 0.25)))
    assert row["effect_changed_top1"] == 0.5
    assert row["sqnr_effect_weights_db"] == pytest.approx(10 * math.log10(26 / (4 + 9 + 0 + 1)))
    assert "sqnr_effect_activations_db" not in row
    assert errors.row(pair(0, op=8)) == {}


def test_the_share_of_changed_answers_is_of_all_images():
    """One of three images, and only one op that is followed."""
    three = [*FLOAT, (5.0, 1.0)]
    errors = ended((3.0, 2.0), (1.0, 0.5), (5.0, 1.0), logits=three, answers=three)
    assert errors.row(pair(0, op=7))["effect_changed_top1"] == 1 / 3


def test_chunks_of_images_are_joined():
    first, second = (
        ended((3.0, 2.0), logits=FLOAT[:1], answers=FLOAT[:1]),
        ended((1.0, 0.5), logits=FLOAT[1:], answers=FLOAT[1:]),
    )
    joined, whole = first + second, ended((3.0, 2.0), (1.0, 0.5), logits=FLOAT, answers=FLOAT)
    assert joined.row(pair(0, op=7)) == pytest.approx(whole.row(pair(0, op=7)))
    assert (joined.n_images, joined.signal) == (2, 26.0)
    assert (LogitErrors() + first).row(pair(0, op=7)) == first.row(pair(0, op=7))


def test_the_class_is_of_the_output_and_not_of_the_logits():
    """A softmax may come between, or the network may end elsewhere."""
    errors = LogitErrors([(7, WHOLE)])
    errors.see_end((7, WHOLE), end_of(np.array([[9.0, 0.0]]), np.array([[0.1, 0.9]])))
    errors.close([np.array([[9.0, 0.0]])], [np.array([[0.2, 0.8]])])
    assert errors.row(pair(0, op=7)) == {"sqnr_effect_db": math.inf, "effect_changed_top1": 0.0}


def test_each_image_has_one_end():
    errors = LogitErrors([(7, WHOLE)])
    errors.see_end((7, WHOLE), end_of(np.ones(2), np.ones(2)))
    with pytest.raises(ValueError, match="longer"):
        errors.close(FLOAT_ARRAYS, FLOAT_ARRAYS)


FLOAT_ARRAYS = [np.array([one]) for one in FLOAT]


def test_the_split_of_an_effect():
    errors = LogitErrors([(7, WEIGHTS), (7, ACTIVATIONS)])
    errors.see_end((7, WEIGHTS), end_of(np.array([3.0, 3.0]), np.array([0.0, 1.0])))
    errors.see_end((7, ACTIVATIONS), end_of(np.array([3.0, 4.0]), np.array([0.0, 1.0])))
    errors.close(FLOAT_ARRAYS[:1], FLOAT_ARRAYS[:1])
    assert errors.row(pair(0, op=7)) == {
        "sqnr_effect_weights_db": pytest.approx(10 * math.log10(25)), "sqnr_effect_activations_db": math.inf,
    }  # fmt: skip
