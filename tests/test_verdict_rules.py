"""Every fault at its limit, and who is blamed for what, on layers made by hand. No network runs."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.analysis.ends import EndLoss
from effnet_lab.analysis.stored import StoredKernel
from effnet_lab.analysis.verdicts import defects, faults
from effnet_lab.analysis.verdicts.assign import examine_all, neighbours_db
from effnet_lab.analysis.verdicts.coarse import CAUSES, coarse, main_cause
from effnet_lab.analysis.verdicts.evidence import CodeGrid, Evidence, evidence_table
from effnet_lab.analysis.verdicts.fault import bits_between, name_channels, times
from effnet_lab.analysis.verdicts.words import row

FILE = {"model": "m", "scheme": "s", "backend": "b"}


def grid(low: float, high: float, bits: int = 8) -> CodeGrid:
    return CodeGrid(scale=(high - low) / (2**bits - 1), low=low, high=high)


def layer(
    name: str = "a", index: int = 0, *, op: str = "conv", on: CodeGrid | None = None, parents=(), **known
) -> Evidence:
    """A healthy layer of four channels from 0 to 1 whose local error is that of rounding, changed as `known` says."""
    step2 = (1 / 255) ** 2 / 12
    usual = {
        "channel_min": np.zeros(4), "channel_max": np.ones(4), "channel_energy": np.full(4, 100.0),
        "channel_clipped": np.zeros(4), "count": 1000, "images": 9, "rounding_energy": 1000 * step2,
        "bins": np.full(256, 4),
    }  # fmt: skip
    return Evidence(
        file=FILE, layer_index=index, layer=name, op=op, grid=grid(0.0, 1.0) if on is None else on,
        parents=tuple(parents), **(usual | known),
    )  # fmt: skip


def ranges(*ends: tuple[float, float], **known) -> Evidence:
    """A layer whose channels take these ranges."""
    low, high = (np.array(side, float) for side in zip(*ends, strict=True))
    n = len(ends)
    return layer(channel_min=low, channel_max=high, channel_energy=np.ones(n), channel_clipped=np.zeros(n), **known)


def kernel(**known) -> StoredKernel:
    usual = {
        "largest": np.ones(4), "float_largest": np.ones(4), "per_tensor": False, "correlation": np.full(4, 0.9999),
        "gain": np.ones(4), "difference": np.full(4, 1e-4), "rounding": np.full(4, 1e-4),
    }  # fmt: skip
    return StoredKernel(**(usual | known))


# --- grids and values


@pytest.mark.parametrize(("bits", "spare"), [(8, 0), (16, 8), (4, -4)])
def test_a_grid_knows_its_bits(bits, spare):
    assert grid(-1.0, 1.0, bits).spare_bits == spare
    assert grid(-1.0, 1.0, bits).step8 == pytest.approx(2 / 255, rel=0.07)


def test_values_are_put_on_the_grid():
    """Codes 0 to 255 for 0 to 255: 3.25 rounds by a quarter, 300 is cut by 45, 255.4 still rounds to the last code."""
    one = Evidence(file=FILE, layer_index=0, layer="a", op="conv", grid=grid(0.0, 255.0), parents=())
    one.see(np.array([[[3.25, 300.0], [255.4, -2.0]]], np.float32))
    assert (one.count, one.images, one.outside) == (4, 1, 2)
    assert one.rounding_energy == pytest.approx(0.25**2 + 0.4**2, rel=1e-4)
    assert one.clipped_energy == pytest.approx(45**2 + 2**2)
    assert one.channel_clipped.tolist() == pytest.approx([0, 45**2 + 2**2])
    assert one.bins[[3, 255, 0]].tolist() == [1, 2, 1]
    assert (one.low, one.high, one.reach) == (-2.0, 300.0, 302.0)
    assert one.energy == pytest.approx(3.25**2 + 300**2 + 255.4**2 + 2**2)
    assert one.clipped_images == 1
    one.see(np.array([[[300.0, 3.0]]], np.float32))
    assert (one.count, one.images, one.outside) == (6, 2, 3)
    assert one.output_sqnr_db == pytest.approx(10 * np.log10(one.energy / (one.clipped_energy + one.rounding_energy)))


def test_an_image_counts_as_clipped_when_clipping_makes_more_noise_than_rounding():
    for cut, clipped in ((0.8, 1), (0.59, 1), (0.565, 0), (0.55, 0)):  # 0.348 / 4 and 0.319 / 4 against 1 / 12
        one = Evidence(file=FILE, layer_index=0, layer="a", op="conv", grid=grid(0.0, 255.0), parents=())
        one.see(np.array([[255 + cut, 1, 2, 3]], np.float32))
        assert one.outside == 1
        assert one.clipped_images == clipped


def test_reach_includes_zero():
    assert ranges((2.0, 3.0)).reach == 3.0
    assert ranges((-3.0, -2.0)).reach == 3.0


@pytest.mark.parametrize(
    ("low", "high", "beyond"), [(0.0, 1.0, 0.0), (0.0, 1.5, 0.5), (-4.0, 1.0, 1.0), (-4.0, 1.5, 1.0), (-1.0, 2.0, 1.0)]
)
def test_how_far_values_pass_an_end(low, high, beyond):
    assert ranges((low, high), on=grid(-2.0, 1.0)).beyond == pytest.approx(beyond)


def test_without_a_grid_little_is_known():
    one = Evidence(file=FILE, layer_index=0, layer="a", op="conv", grid=None, parents=())
    one.see(np.array([[0.0, 5.1]], np.float32))
    assert math.isnan(one.output_sqnr_db)
    assert (one.beyond, one.outside, one.bins.sum()) == (0.0, 0, 0)
    assert one.step == pytest.approx(5.1 / 255)
    assert not [
        look for look in (faults.clipped, faults.wasted_range, faults.outlier_channel, faults.bimodal) if look(one)
    ]


@pytest.mark.parametrize("shape", [(), (1, 2, 2, 3)], ids=["a number", "a map"])
def test_values_of_any_shape_have_their_channels_last(shape):
    from hand_made import tensor

    one = Evidence(file=FILE, layer_index=0, layer="a", op="conv", grid=grid(0.0, 255.0), parents=())
    values = np.arange(1, 1 + math.prod(shape), dtype=np.float32).reshape(shape)
    one.see(values)
    one.see_alone(values, values.astype(np.int16), tensor(0, "a", shape, "int16", scale=[1.0], zero_point=[0]))
    channels = values.reshape(-1, *shape[-1:])
    assert np.atleast_1d(one.channel_max).tolist() == np.atleast_1d(channels.max(0)).tolist()
    assert one.local_max.shape == one.channel_max.shape
    assert one.local_error.tolist() == [0.0] * (shape[-1] if shape else 1)


def test_the_op_alone():
    from hand_made import tensor

    one = Evidence(file=FILE, layer_index=0, layer="a", op="conv", grid=grid(0.0, 255.0), parents=())
    values = np.array([[1.0, 4.0], [3.0, 4.0]], np.float32)
    one.see(values)
    one.see_alone(
        values,
        np.array([[-126, -125], [-126, -125]], np.int8),
        tensor(0, "a", dtype="int8", scale=[1.0], zero_point=[-128]),
    )
    assert one.local_error.tolist() == [0.0, -2.0]  # 2 for 1 and 3; 3 for 4 and 4
    assert one.local_error2.tolist() == [2.0, 2.0]
    assert (one.local_min.tolist(), one.local_max.tolist()) == ([-126, -125], [-126, -125])
    assert one.local_sqnr_db == pytest.approx(10 * np.log10((1 + 9 + 16 + 16) / 4))
    fork = one.fork()
    fork.see(10 * values)
    assert (one.high, fork.high, one.count, fork.count) == (4.0, 40.0, 4, 8)
    assert one.channel_energy.sum() == 42.0


def test_bits_of_noise_are_those_of_a_coarser_grid():
    """Three times the noise of rounding on top is four times: one bit."""
    one = layer(count=1000)
    assert one.bits_of(3 * 1000 * (1 / 255) ** 2 / 12) == pytest.approx(1.0)
    assert one.bits_of(0.0) == 0.0
    assert bits_between(8.0, 1.0) == 3.0
    assert bits_between(8.0, 0.0) == math.inf
    assert bits_between(0.0, 1.0) == 0.0


def test_channels_and_ratios_in_words():
    assert name_channels(np.array([3])) == "channel 3"
    assert name_channels(np.array([7, 3])) == "channels 3, 7"
    assert name_channels(np.arange(4)) == "channels 0, 1, 2, 3"
    assert name_channels(np.arange(5)) == "channels 0, 1, 2, 3 …"
    assert (times(999_999), times(1e6)) == ("999,999 times", "over a million times")


# --- dead


def constants(n: int, of: int, **known) -> Evidence:
    return ranges(*[(0.5, 0.5)] * n, *[(0.0, 1.0)] * (of - n), **known)


def test_half_of_the_channels_are_dead():
    found = faults.dead(constants(5, 10), np.zeros(10, bool))
    assert (found.verdict, found.evidence, found.bits_lost, found.margin) == ("dead", 0.5, 4.0, 0.0)
    assert found.channels == {0, 1, 2, 3, 4}
    assert found.sentence.startswith("5 of 10 channels are constant")
    assert faults.dead(constants(4, 10), np.zeros(10, bool)) is None
    assert faults.dead(constants(4, 4), np.zeros(4, bool)).sentence.startswith("All 4 channels are")


def test_what_is_inherited_or_pruned_is_nobodys_fault():
    assert faults.dead(constants(6, 10), np.arange(10) < 2) is None
    assert faults.dead(constants(7, 10), np.arange(10) < 2) is not None
    pruned = kernel(float_largest=np.array([0.0] * 2 + [1.0] * 8), largest=np.ones(10))
    assert faults.dead(constants(6, 10, kernel=pruned), np.zeros(10, bool)) is None
    assert faults.pruned_channels(constants(6, 10, kernel=pruned)).sum() == 2
    assert not faults.pruned_channels(constants(6, 10, kernel=kernel())).any()  # of another number of channels


def test_when_constants_say_nothing():
    assert faults.dead(constants(4, 4, op="softmax"), np.zeros(4, bool)) is None
    assert faults.dead(constants(4, 4, count=4), np.zeros(4, bool)) is None  # one value of each
    assert faults.dead(constants(4, 4, count=5), np.zeros(4, bool)) is not None


def test_float_noise_is_constant():
    assert faults.dead(ranges((1.0, 1.0 + 0.9e-6), (1.0, 1.0 + 0.9e-6)), np.zeros(2, bool)) is not None
    assert faults.dead(ranges((1.0, 1.0 + 3e-6), (1.0, 1.0 + 3e-6)), np.zeros(2, bool)) is None


def test_a_range_without_width_is_warned_of():
    assert "XNNPACK may refuse" in faults.dead(constants(4, 4, on=grid(0.0, 2e-4)), np.zeros(4, bool)).remedy
    assert "XNNPACK" not in faults.dead(constants(4, 4, on=grid(0.0, 3e-4)), np.zeros(4, bool)).remedy


# --- clipped

ROUNDING = 1000 * (1 / 255) ** 2 / 12  # of a thousand values on 256 codes from 0 to 1


def cut(times_rounding: float, *, images: int = 3, **known) -> Evidence:
    energy = times_rounding * ROUNDING
    return layer(
        clipped_energy=energy, clipped_images=images, outside=20, channel_clipped=np.full(4, energy / 4), **known
    )


def test_clipping_counts_from_one_bit_on_that_is_usual():
    found = faults.clipped(cut(3.01))
    assert found.bits_lost == pytest.approx(0.5 * np.log2(4.01))
    assert (found.verdict, found.evidence) == ("clipped", 0.02)
    assert "2.00% of the values do not fit, on 3 of 9 images" in found.sentence
    assert "75% of the error: 3 times the noise of rounding" in found.sentence
    assert faults.clipped(cut(2.99)) is None
    assert faults.clipped(cut(3.01, images=2)) is None  # less than a third of them
    assert faults.clipped(cut(0.0)) is None
    assert faults.clipped(cut(3.01, op="softmax")) is None


@pytest.mark.parametrize(("clipped", "images", "found"), [(2, 6, False), (3, 6, True), (2, 2, True), (1, 2, False)])
def test_what_is_usual_on_few_images(clipped, images, found):
    assert (faults.clipped(replace(cut(3.5, images=clipped), images=images)) is not None) == found


def test_rare_clipping_counts_where_it_goes_far():
    for ends, found in (((0.0, 1.46), True), ((0.0, 1.44), False)):
        one = replace(cut(9.0, images=1), channel_min=np.full(4, ends[0]), channel_max=np.full(4, ends[1]))
        assert (faults.clipped(one) is not None) == found


def test_any_clipping_counts_that_leaves_less_than_20_db():
    for times_noise, found in ((99.0, True), (101.0, False)):
        energy = times_noise * (2.0 + 1.0) * ROUNDING
        one = cut(2.0, images=1, channel_energy=np.full(4, energy / 4))
        assert (faults.clipped(one) is not None) == found


def test_clipping_has_to_make_half_of_the_error():
    assert faults.clipped(cut(8.0, rounding_energy=8.0 * ROUNDING)) is not None
    assert faults.clipped(cut(8.0, rounding_energy=8.1 * ROUNDING)) is None


def test_the_channel_that_is_cut_is_named():
    def found(*shares):
        one = cut(8.0)
        return faults.clipped(replace(one, channel_clipped=one.clipped_energy * np.array(shares)))

    assert found(0.1, 0.2, 0.5, 0.2).channels == {2}
    assert ", 50% of it in channel 2:" in found(0.1, 0.2, 0.5, 0.2).sentence
    assert found(0.1, 0.2, 0.49, 0.21).channels == frozenset()
    assert found(0.1, 0.9).channels == frozenset()  # of two channels one is nothing special


# --- wasted range


@pytest.mark.parametrize(
    ("top", "bits", "found"), [(1.41, 8, True), (1.42, 8, False), (16 / 2**11.6, 16, True), (16 / 2**11.4, 16, False)]
)
def test_a_range_is_wasted_from_three_and_a_half_bits_on(top, bits, found):
    fault = faults.wasted_range(ranges((0.0, top), (0.0, top / 2), on=grid(0.0, 16.0, bits)))
    assert (fault is not None) == found
    if found:
        assert fault.bits_lost == fault.evidence == pytest.approx(np.log2(16 / top))
        assert fault.margin == pytest.approx(np.log2(16 / top) - 3.5 - (bits - 8))
        assert f"they keep {bits - np.log2(16 / top):.1f} of {bits} bits" in fault.sentence


def test_ranges_that_are_prescribed_or_of_constants_are_not_wasted():
    assert faults.wasted_range(ranges((0.0, 0.1), (0.0, 0.1), op="softmax")) is None
    assert faults.wasted_range(ranges((0.1, 0.1), (0.1, 0.1))) is None
    assert faults.wasted_range(ranges((0.1, 0.1), (0.0, 0.05))) is None  # log2(1 / .1) = 3.3
    assert "they keep 0.0 of 8 bits" in faults.wasted_range(ranges((0.0, 1e-4), (0.0, 1e-4))).sentence


# --- outlier channels


def outlier(top: float, n: int = 15, m: int = 1, bits: int = 8, low: float = 0.0) -> Evidence:
    return ranges(*[(low, 1.0)] * n, *[(low, top)] * m, on=grid(low, top, bits))


def test_one_channel_takes_the_range():
    found = faults.outlier_channel(outlier(5.7))
    assert found.bits_lost == pytest.approx(np.log2(5.7))
    assert (found.channels, found.margin) == ({15}, pytest.approx(np.log2(5.7) - 2.5))
    assert found.sentence.startswith(
        "Channel 15 of 16 takes the range to 0 … 5.7; all others fit in 1, and keep 5.5 of 8"
    )
    assert faults.outlier_channel(outlier(5.6)) is None
    assert faults.outlier_channel(outlier(5.7, bits=16)) is None
    assert faults.outlier_channel(outlier(2**10.6, bits=16)).margin == pytest.approx(0.1)
    assert faults.outlier_channel(ranges(*[(-1.0, 0.0)] * 15, (-5.7, 0.0), on=grid(-5.7, 0.0))).channels == {15}
    assert faults.outlier_channel(replace(outlier(5.7), op="softmax")) is None


def test_a_few_channels_are_one_in_sixteen():
    assert faults.outlier_channel(outlier(9.0, 14, 2)) is None
    assert faults.outlier_channel(outlier(9.0, 30, 2)).channels == {30, 31}
    assert "Channels 30, 31 of 32 take the range" in faults.outlier_channel(outlier(9.0, 30, 2)).sentence
    assert faults.outlier_channel(outlier(9.0, 31, 1)).channels == {31}  # the other of the two is like the rest
    assert faults.outlier_channel(outlier(9.0, 2, 1)).channels == {2}
    assert faults.outlier_channel(outlier(9.0, 1, 1)) is None  # nothing left to compare with


def test_half_of_the_channels_use_a_sliver():
    found = faults.outlier_channel(outlier(33.0, 9, 7))
    assert found.bits_lost == pytest.approx(np.log2(33))
    assert (found.channels, found.margin) == (set(range(9, 16)), pytest.approx(np.log2(33) - 5))
    assert found.unit == "bits lost by a typical channel"
    assert "half of the 16 live channels need less than 1 of it" in found.sentence
    assert faults.outlier_channel(outlier(31.0, 9, 7)) is None
    assert faults.outlier_channel(outlier(33.0, 9, 7, bits=16)) is None


def test_constant_channels_are_not_asked():
    dead = [(0.0, 0.0)] * 40
    found = faults.outlier_channel(ranges(*dead, *[(0.0, 1.0)] * 15, (0.0, 5.7), on=grid(0.0, 5.7)))
    assert found.channels == {55}
    assert faults.outlier_channel(ranges(*dead, *[(0.0, 1.0)] * 14, *[(0.0, 5.7)] * 2, on=grid(0.0, 5.7))) is None


def test_one_scale_for_unlike_kernels():
    def found(top, **known):
        largest = np.array([1.0, 1.0, 1.0, top])
        return faults.outlier_kernel(layer(kernel=kernel(**({"largest": largest, "per_tensor": True} | known))))

    assert found(5.7).bits_lost == pytest.approx(np.log2(5.7))
    assert (found(5.7).channels, found(5.7).margin) == ({3}, pytest.approx(np.log2(5.7) - 2.5))
    assert "those of channel 3 reach 5.7, those of a typical channel 1, which keep 5.5 of 8 bits" in found(5.7).sentence
    assert found(5.6) is None
    assert found(5.7, per_tensor=False) is None
    assert found(5.7, difference=np.zeros(4)) is None  # these very weights: nothing is lost
    assert faults.outlier_kernel(layer()) is None


# --- two groups


def groups(first: int, second: int, *, size: int = 10, noise: int = 0, **known) -> Evidence:
    """Counts in bins 0 to `first` - 1 and from `second` on, and as many as `noise` in the middle."""
    bins = np.zeros(256, np.int64)
    bins[:first], bins[second:] = size, size
    bins[(first + second) // 2] += noise
    return layer(bins=bins, **known)


def test_a_gap_of_half_of_the_codes_is_a_bit():
    found = faults.bimodal(groups(64, 192))
    assert (found.bits_lost, found.evidence, found.margin) == (1.0, 0.5, 0.0)
    assert "50% below 0.25 and the rest above 0.75, with nothing between: 50% of the codes" in found.sentence.replace(
        "0.249", "0.25"
    ).replace("0.751", "0.75")
    assert faults.bimodal(groups(65, 192)) is None
    assert faults.bimodal(groups(64, 191)) is None
    assert faults.bimodal(groups(64, 192, op="tanh")) is None
    assert faults.bimodal(groups(64, 192, on=grid(0.0, 1.0, 16))) is None


def test_the_ends_of_a_gap_are_real_values():
    found = faults.bimodal(groups(64, 192, on=grid(-3.0, 1.0)))
    below, above = re.findall(r"below (-?[0-9.]+) and the rest above\s(-?[0-9.]+)", found.sentence)[0]
    assert (float(below), float(above)) == pytest.approx(
        (-2.0, 0.0), abs=0.05
    )  # a quarter and three quarters of -3 to 1


def test_a_few_values_may_lie_in_the_gap():
    total = 128 * 100
    assert faults.bimodal(groups(64, 192, size=100, noise=total // 1000)) is not None
    assert faults.bimodal(groups(64, 192, size=100, noise=total // 1000 + 1)) is None


def test_each_group_has_a_twentieth_of_the_values():
    bins = np.zeros(256, np.int64)
    bins[:10], bins[200:210] = 6, 94
    assert faults.bimodal(layer(bins=bins)) is not None
    bins[:10], bins[200:210] = 4, 96
    assert faults.bimodal(layer(bins=bins)) is None
    assert faults.bimodal(layer(bins=bins[::-1].copy())) is None


def test_zeros_and_sixes_are_no_groups():
    for width, found in ((2, False), (3, True)):
        bins = np.zeros(256, np.int64)
        bins[:width], bins[255] = 30, 60
        assert (faults.bimodal(layer(bins=bins)) is not None) == found


def test_nothing_seen_has_no_groups():
    assert faults.bimodal(layer(bins=np.zeros(256, np.int64))) is None


# --- unlike inputs


def residual(ratio: float, *, grids: float | None = None, bits: int = 8, op: str = "add", **known):
    small = ranges((0.0, 1.0), name="small", on=grid(0.0, 1.0 if grids is None else ratio / grids, bits))
    large = ranges((0.0, ratio - 1), name="large", on=grid(0.0, ratio, bits))
    total = ranges((0.0, ratio), op=op, on=grid(0.0, ratio, bits), **known)
    return faults.unlike_residual(total, [large, small])


def test_the_smaller_input_is_read_in_the_steps_of_the_sum():
    found = residual(5.7)
    assert found.bits_lost == pytest.approx(np.log2(5.7))
    assert (found.small, found.large, found.margin) == ("small", "large", pytest.approx(np.log2(5.7) - 2.5))
    assert found.sentence == "small spans 1 and large 4.7: in the steps of the sum, the smaller keeps 5.5 of 8 bits."
    assert "keeps 4.0 of 16 bits" in residual(2**12, bits=16).sentence
    assert residual(5.6) is None
    assert residual(5.7, op="sub") is not None
    assert residual(5.7, op="mul") is None
    assert residual(5.7, bits=16) is None
    assert residual(2**10.6, bits=16).margin == pytest.approx(0.1, abs=0.01)


def test_a_grid_that_does_not_fit_is_the_fault_of_the_layer_before():
    assert residual(64.0, grids=5.6) is None
    assert residual(64.0, grids=5.7).bits_lost == pytest.approx(np.log2(5.7))


def test_a_sum_has_two_inputs_on_grids():
    one, other = ranges((0.0, 1.0)), ranges((0.0, 9.0), on=grid(0.0, 9.0))
    total = ranges((0.0, 10.0), op="add", on=grid(0.0, 10.0))
    assert faults.unlike_residual(total, [one, other]) is not None
    assert faults.unlike_residual(total, [one]) is None
    one.grid = None
    assert faults.unlike_residual(total, [one, other]) is None


# --- defects


def local(bias_steps: float, mean_steps: float, *, others: float = 0.0, n: int = 4, **known) -> Evidence:
    """Channel 0 has a bias off by so many steps and a mean error of so many; the others have this much noise (steps)."""
    step, per = 1 / 255, 250
    bias, error, error2 = np.zeros(n), np.zeros(n), np.full(n, per * (others * step) ** 2)
    bias[0], error[0], error2[0] = bias_steps * step, per * mean_steps * step, per * (mean_steps * step) ** 2
    return layer(bias=bias, local_error=error, local_error2=error2, count=per * n, **known)


@pytest.mark.parametrize(
    ("bias", "mean", "found"),
    [(0.76, 0.41, True), (0.74, 0.41, False), (0.76, 0.39, False), (-0.76, -0.41, True), (0.76, -0.41, False)],
)
def test_a_bias_is_a_defect_where_the_output_shows_it(bias, mean, found):
    fault = defects.defective(local(bias, mean), 0.0)
    assert (fault is not None) == found
    if found:
        assert (fault.verdict, fault.channels, fault.evidence) == ("defective", {0}, pytest.approx(abs(bias)))
        assert fault.sentence.startswith("The bias of channel 0 of 4 is unlike the float one: by up to")


def test_a_bias_has_to_make_half_of_the_error_or_be_far_off():
    """Channel 0 makes 4 square steps; three channels of noise b**2 each make as many at b = 1.155."""
    assert defects.defective(local(2.0, 2.0, others=1.15), 0.0) is not None
    assert defects.defective(local(2.0, 2.0, others=1.16), 0.0) is None
    assert defects.defective(local(3.0, 2.0, others=9.0), 0.0) is not None
    assert defects.defective(local(2.99, 2.0, others=9.0), 0.0) is None


def test_the_biases_of_all_channels():
    one = local(2.0, 2.0, n=1, channel_min=np.zeros(1), channel_max=np.ones(1))
    assert defects.defective(one, 0.0).sentence.startswith(
        "The bias is unlike the float one: by up to 0.00784 in units of"
    )
    assert "2 of its steps (channel 0)" in defects.defective(one, 0.0).sentence
    assert defects.defective(replace(one, local_error=np.empty(0), local_error2=np.empty(0)), 0.0) is None


@pytest.mark.parametrize(
    ("difference", "rounding", "usual", "found"),
    [
        (0.0051, 1e-5, 0.0, True), (0.0049, 1e-5, 0.0, False),  # half a percent of the energy
        (0.0051, 3.1e-4, 0.0, True), (0.0051, 3.2e-4, 0.0, False),  # sixteen times what rounding explains
        (0.0251, 1e-5, 1e-3, True), (0.0249, 1e-5, 1e-3, False),  # 25 times what is usual in this network
    ],
)  # fmt: skip
def test_a_kernel_is_a_defect_beyond_what_rounding_explains(difference, rounding, usual, found):
    stored = kernel(difference=np.array([1e-4, difference, 1e-4, 1e-4]), rounding=np.full(4, rounding))
    fault = defects.defective(layer(kernel=stored), usual)
    assert (fault is not None) == found
    assert defects.unlike_channels(layer(kernel=stored), usual).tolist() == [1] * found
    assert defects.unlike_channels(layer(), usual).size == 0


def test_a_kernel_times_something_or_another_one():
    far = np.full(4, 0.5)
    scaled = defects.defective(
        layer(kernel=kernel(difference=far, correlation=np.full(4, 0.9), gain=np.full(4, 1.5))), 0.0
    )
    assert scaled.sentence.startswith(
        "The kernel is the float one times 1.5 (correlation 0.900): its scale does not fit"
    )
    assert (scaled.evidence, scaled.unit) == (0.5, "relative error of the kernel's scale")
    gains = np.array([0.25, 1.5, 1.0, 1.0])
    mixed = defects.defective(layer(kernel=kernel(difference=far, gain=gains)), 0.0)
    assert "times 0.25 to 1.5" in mixed.sentence
    assert mixed.evidence == 0.75
    other = defects.defective(layer(kernel=kernel(difference=far, correlation=np.array([0.89, 1, 1, 1]))), 0.0)
    assert "unlike the float one: correlation 0.89" in other.sentence
    assert (other.evidence, other.unit) == (pytest.approx(0.11), "1 - correlation of the kernels")


def test_what_is_usual_is_the_middle_of_the_network():
    stored = [kernel(difference=np.full(4, value)) for value in (1e-4, 2e-4, 9.0)]
    assert defects.usual_difference([layer(), *(layer(kernel=one) for one in stored)]) == 2e-4
    assert defects.usual_difference([layer()]) == 0.0


@pytest.mark.parametrize(("moves", "same", "found"), [(2.6, True, True), (2.4, True, False), (2.6, False, False)])
def test_codes_that_stay_while_the_float_values_move(moves, same, found):
    one = layer(
        channel_max=np.array([moves / 255, 1, 1, 1]), local_min=np.array([7.0, 0, 0, 0]),
        local_max=np.array([7.0 + (not same), 9, 9, 9]), local_error2=np.zeros(4), local_error=np.zeros(4),
    )  # fmt: skip
    fault = defects.defective(one, 0.0)
    assert (fault is not None) == found
    if found:
        assert fault.sentence.startswith(
            "The output of channel 0 of 4 is constant in codes, while it moves by up to 0.0102"
        )
        assert fault.evidence == 0.25


def test_weights_that_rounding_took_away_are_no_defect():
    stuck = {
        "local_min": np.full(4, 7.0),
        "local_max": np.full(4, 7.0),
        "local_error": np.zeros(4),
        "local_error2": np.zeros(4),
    }
    for difference, found in ((0.24, True), (0.25, False)):
        stored = kernel(difference=np.full(4, difference), rounding=np.full(4, 0.1))
        assert (defects.defective(layer(kernel=stored, **stuck), 0.0) is not None) == found
    assert defects.defective(layer(on=grid(2.0, 3.0), **stuck), 0.0) is None  # cut off, it does not move


@pytest.mark.parametrize(
    ("op", "input_moves", "verdict"),
    [("depthwise", 0.9, "healthy"), ("depthwise", 1.1, "defective"), ("conv", 0.9, "defective")],
)
def test_codes_that_stay_because_those_before_do(op, input_moves, verdict):
    """A channel that moves by less than a step has one code, and what is made of it alone has one, too."""
    before = layer(channel_max=np.array([input_moves / 255, 1, 1, 1]))
    after = layer(
        op=op, channel_max=np.array([5 / 255, 1, 1, 1]), local_min=np.array([7.0, 0, 0, 0]),
        local_max=np.array([7.0, 9, 9, 9]), local_error2=np.zeros(4), local_error=np.zeros(4),
    )  # fmt: skip
    assert blame(*chain_of(before, after))[1] == (verdict, "")


def test_arithmetic_that_differs():
    found = defects.arithmetic(layer(), 3, 12)
    assert (found.verdict, found.evidence) == ("defective", 0.25)
    assert found.sentence.startswith("The interpreter computes 3 of 12 codes otherwise than the op's arithmetic says")


# --- coarse steps


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        ({"clipped_energy": 5.0, "rounding_energy": 5.0}, "range"),
        ({"clipped_energy": 4.9, "rounding_energy": 0.2}, "output"),
        ({"clipped_energy": 2.0, "rounding_energy": 2.9}, "inputs"),
        ({"rounding_energy": 4.9, "kernel": kernel(difference=np.full(4, 3.0 / 400))}, "weights"),
        ({"rounding_energy": 4.9, "kernel": kernel(difference=np.full(4, 2.9 / 400))}, "inputs"),
    ],
)
def test_what_makes_most_of_an_error_of_ten(known, cause):
    assert main_cause(layer(local_error2=np.full(4, 2.5), **known)) is CAUSES[cause]


def test_without_a_local_error_the_grid_makes_it_all():
    assert main_cause(layer(clipped_energy=1.0, rounding_energy=1.1)) is CAUSES["output"]
    assert main_cause(layer(clipped_energy=1.1, rounding_energy=1.0)) is CAUSES["range"]


def test_coarse_is_less_than_20_db():
    found = coarse(layer(local_error2=np.full(4, 2.5)), 19.9)
    assert (found.verdict, found.evidence) == ("coarse", 19.9)
    assert found.bits_lost == pytest.approx(0.5 * np.log2(1 + 10 / ROUNDING))
    assert coarse(layer(), 20.0) is None
    assert coarse(layer(), float("nan")) is None
    assert coarse(layer(channel_energy=np.zeros(4)), 5.0) is None


# --- who is to blame


def judged(*chain: Evidence, local=(), accumulated=(), replay=lambda _: None) -> dict[str, dict]:
    """VERDICTS rows by layer, of evidence whose local and accumulated errors are 40 dB unless given by layer."""
    local, accumulated = dict(local), dict(accumulated)
    errors = frames.build(
        frames.LAYER_ERROR,
        [
            FILE | {
                "layer_index": one.layer_index, "layer": one.layer,
                "sqnr_local_db": local.get(one.layer, 40.0), "sqnr_accumulated_db": accumulated.get(one.layer, 40.0),
            }
            for one in chain
        ],
    )  # fmt: skip
    cases = examine_all(errors, list(chain)[::-1], replay)  # in whatever order it comes
    assert list(cases) == [one.layer for one in chain]
    return {name: row(case, cases) for name, case in cases.items()}


def blame(*chain: Evidence, **how) -> list[tuple[str, str]]:
    return [(said["verdict"], said["culprit"]) for said in judged(*chain, **how).values()]


def chain_of(*layers: Evidence) -> list[Evidence]:
    """Each reads the one before."""
    for i, one in enumerate(layers):
        one.layer, one.layer_index, one.parents = f"l{i}", i, (f"l{i - 1}",) if i else ()
    return list(layers)


HEALTHY = ("healthy", "")


def test_a_healthy_chain():
    assert blame(*chain_of(layer(), layer(), layer())) == [HEALTHY] * 3
    said = judged(*chain_of(layer()))["l0"]
    assert said["sentence"] == "Nothing found: own error 40.0 dB, accumulated 40.0 dB."
    assert (said["evidence_value"], said["notes"], said["remedy"]) == (40.0, "", "")
    assert math.isnan(said["bits_lost"])


def test_a_layer_that_was_not_measured_is_judged_by_its_grid():
    one = layer(rounding_energy=4.0)
    cases = examine_all(frames.build(frames.LAYER_ERROR, []), [one])
    assert cases["a"].own_db == pytest.approx(20.0)
    assert "own error 20.0 dB, accumulated not measured" in row(cases["a"], cases)["sentence"]


def test_error_that_comes_in_is_the_culprits():
    sick, behind = chain_of(cut(9.0), layer())
    how = {"l1": 40.0}, {"l1": 19.9}
    said = judged(sick, behind, local=how[0], accumulated=how[1])["l1"]
    assert (said["verdict"], said["culprit"]) == ("upstream", "l0")
    assert said["sentence"].startswith("The error comes from l0 (clipped); own error")
    assert said["remedy"] == "Mend l0 first."
    assert said["evidence_value"] == pytest.approx(behind.output_sqnr_db - 19.9)  # l0 spoils the codes that l1 reads
    assert blame(sick, behind, accumulated={"l1": 20.0})[1] == HEALTHY


def quiet(name: str, db: float, **known) -> Evidence:
    """A layer whose grid alone leaves so many decibels of 400 units of energy."""
    return layer(name, rounding_energy=400 / 10 ** (db / 10), **known)


@pytest.mark.parametrize(("accumulated", "verdict"), [(16.9, "upstream"), (17.1, "healthy")])
def test_three_decibels_have_to_come_in(accumulated, verdict):
    """Its own 20 dB, and as much energy again from before, leave 17."""
    chain = chain_of(cut(9.0), quiet("b", 20.0))
    assert blame(*chain, accumulated={"l1": accumulated})[1][0] == verdict


def test_of_two_sick_layers_the_nearest_is_blamed():
    first, second, last = chain_of(cut(9.0), cut(9.0), layer())
    second.grid = grid(0.0, 1.001)  # its own range, so that the clipping is its own
    assert blame(first, second, last, accumulated={"l2": 5.0})[2] == ("upstream", "l1")


def test_only_layers_before_are_blamed():
    beside, last = cut(9.0), layer()
    beside.layer, beside.layer_index, last.layer, last.layer_index = "beside", 0, "last", 1
    assert blame(beside, last, accumulated={"last": 5.0})[1] == HEALTHY


def test_the_worst_fault_is_the_verdict_and_others_are_notes():
    one = replace(outlier(64.0), clipped_energy=9 * ROUNDING * 64**2, clipped_images=9, outside=5)
    said = judged(replace(one, rounding_energy=ROUNDING * 64**2))["a"]
    assert said["verdict"] == "outlier channel"
    assert said["bits_lost"] == pytest.approx(6.0)
    assert "Also clipped: " in said["notes"]


def test_a_dead_layer_is_dead_first_and_a_defect_comes_before_what_calibration_mends():
    dead = replace(constants(3, 4), clipped_energy=1e9 * ROUNDING, clipped_images=9, channel_clipped=np.ones(4))
    assert faults.clipped(dead).bits_lost > 8 > faults.dead(dead, np.zeros(4, bool)).bits_lost
    assert judged(dead)["a"]["verdict"] == "dead"
    both = cut(1e6, kernel=kernel(difference=np.full(4, 0.5)))
    assert faults.clipped(both).bits_lost > defects.defective(both, 0.0).bits_lost
    assert judged(layer("x", 1, kernel=kernel()), layer("y", 2, kernel=kernel()), layer("z", 3, kernel=kernel()),
                  replace(both, layer_index=4))["a"]["verdict"] == "defective"  # fmt: skip


def test_a_clipped_range_that_is_handed_on_is_not_blamed_twice():
    chain = chain_of(cut(9.0), cut(9.0, op="add"))
    assert blame(*chain) == [("clipped", ""), ("upstream", "l0")]
    assert judged(*chain)["l1"]["sentence"].startswith("It hands on what l0 brings in (clipped)")
    chain[1].grid = grid(0.0, 1.01)
    assert blame(*chain)[1] == ("clipped", "")


def test_an_outlier_is_handed_on_by_what_keeps_channels():
    for op, verdict in (("depthwise", "upstream"), ("conv", "outlier channel")):
        assert blame(*chain_of(outlier(64.0), replace(outlier(64.0), op=op)))[1][0] == verdict


def test_in_the_shadow_of_a_fault_that_changes_the_values_mild_findings_do_not_count():
    mild, strong = outlier(2**3.9), outlier(2**4.1)  # 1.4 and 1.6 bits over the limit
    assert blame(*chain_of(outlier(64.0), mild))[1] == ("upstream", "l0")
    assert blame(*chain_of(outlier(64.0), strong))[1] == ("outlier channel", "")
    assert blame(*chain_of(cut(9.0), outlier(2**3.9)))[1] == ("outlier channel", "")  # clipping changes few values


def test_usual_clipping_counts_in_any_shadow_and_rare_clipping_in_none():
    assert blame(*chain_of(outlier(64.0), cut(3.5)))[1] == ("clipped", "")
    rare = replace(cut(9.0, images=1), channel_max=np.full(4, 1.5))
    assert blame(*chain_of(layer(), rare))[1] == ("clipped", "")
    assert blame(*chain_of(outlier(64.0), rare))[1] == ("upstream", "l0")


def test_a_range_that_is_sixteen_times_too_wide_is_named_behind_an_addition_of_unlike_inputs():
    """Such an addition makes all values larger; an outlier channel may leave a range that few images need."""
    small, large = layer("small"), ranges((0.0, 32.0), on=grid(0.0, 32.0))
    total = ranges((0.0, 33.0), op="add", on=grid(0.0, 33.0), parents=("small", "large"))
    wide = ranges((0.0, 1.0), (0.0, 0.5), on=grid(0.0, 16.0), parents=("total",))
    for i, (one, name) in enumerate(((small, "small"), (large, "large"), (total, "total"), (wide, "wide"))):
        one.layer, one.layer_index = name, i
    assert blame(small, large, total, wide)[2:] == [("unlike residual", ""), ("wasted range", "")]
    assert blame(*chain_of(outlier(64.0), wide))[1] == ("upstream", "l0")


def test_behind_a_dead_layer_nothing_can_be_judged():
    dead = constants(10, 10)
    assert blame(*chain_of(dead, outlier(64.0), outlier(64.0))) == [
        ("dead", ""),
        ("upstream", "l0"),
        ("upstream", "l0"),
    ]
    most = constants(8, 10)  # a few live channels are something to judge by
    assert blame(*chain_of(most, outlier(64.0)))[1] == ("outlier channel", "")
    assert blame(*chain_of(constants(9, 10), outlier(64.0)))[1] == ("upstream", "l0")


def test_a_layer_with_another_input_is_not_starved():
    dead, other, total = constants(10, 10), layer(), outlier(64.0)
    for i, (one, name) in enumerate(((dead, "dead"), (other, "other"), (total, "total"))):
        one.layer, one.layer_index = name, i
    total.parents = ("dead", "other")
    assert blame(dead, other, total)[2] == ("outlier channel", "")
    total.parents = ("dead", "the network's input")
    assert blame(dead, other, total)[2] == ("outlier channel", "")


def test_a_defect_shows_behind_a_dead_layer_too():
    broken = layer(kernel=kernel(difference=np.full(4, 0.5)))
    others = [layer(f"n{i}", 10 + i, kernel=kernel()) for i in range(3)]
    assert blame(*chain_of(constants(10, 10), broken), *others)[1] == ("defective", "")


def test_constants_made_of_constants_are_handed_on():
    assert blame(*chain_of(constants(6, 10), constants(6, 10, op="relu"))) == [("dead", ""), ("upstream", "l0")]
    assert blame(*chain_of(constants(8, 10), constants(8, 10, op="conv")))[1] == ("dead", "")


def test_two_groups_of_answers_are_no_fault():
    """Behind the last weights there is no bias that could take an offset."""
    bins = np.where((np.arange(256) < 60) | (np.arange(256) > 195), 40, 0)
    groups = [layer(kernel=kernel(), bins=bins), layer(op="reshape", bins=bins)]
    assert blame(*chain_of(*groups)) == [HEALTHY] * 2
    assert blame(*chain_of(*groups, layer(kernel=kernel())))[0] == ("bimodal", "")


def test_a_small_input_that_is_dead_is_the_fault_of_the_dead():
    small, large = constants(10, 10), ranges((0.0, 8.0), on=grid(0.0, 8.0))
    small.grid, total = grid(0.0, 1.0), ranges((0.0, 9.0), op="add", on=grid(0.0, 9.0), parents=("small", "large"))
    for i, (one, name) in enumerate(((small, "small"), (large, "large"), (total, "total"))):
        one.layer, one.layer_index = name, i
    assert blame(small, large, total)[2] == ("upstream", "small")
    wide = outlier(64.0)
    wide.layer, wide.layer_index = "large", 1
    healthy = layer("small", 0)
    total = ranges((0.0, 64.0), op="add", on=grid(0.0, 64.0), parents=("small", "large"))
    total.layer, total.layer_index = "total", 2
    assert blame(healthy, wide, total)[2] == ("upstream", "large")


def test_much_error_that_nothing_explains_is_coarse():
    steps = layer(local_error2=np.full(4, 2.5))
    assert blame(steps, local={"a": 19.0}) == [("coarse", "")]
    assert blame(steps, local={"a": 20.0}) == [HEALTHY]


def test_or_a_defect_of_the_arithmetic():
    asked = []

    def replay(name):
        asked.append(name)
        return defects.arithmetic(layer(), 1, 2)

    chain = chain_of(layer(), layer(), cut(9.0))
    assert blame(*chain, local={"l1": 10.0, "l2": 10.0}, replay=replay)[1] == ("defective", "")
    assert asked == ["l1"]  # it is slow: only where there is much error and no other fault


def test_error_of_codes_that_a_fault_before_spoils_is_that_faults():
    assert blame(*chain_of(cut(9.0), layer()), local={"l1": 10.0})[1] == ("upstream", "l0")
    spoiled = quiet("b", 19.0)  # its own grid leaves less than 20 dB, too
    assert blame(*chain_of(cut(9.0), spoiled), local={"l1": 10.0})[1] == ("coarse", "")


def test_neighbours():
    chain = chain_of(*(layer() for _ in range(8)))
    errors = {f"l{i}": 30.0 + 10 * i for i in range(8)} | {"l5": float("inf")}
    table = frames.build(
        frames.LAYER_ERROR,
        [
            FILE | {"layer_index": i, "layer": f"l{i}", "sqnr_local_db": errors[f"l{i}"], "sqnr_accumulated_db": 40.0}
            for i in range(8)
        ],
    )
    cases = examine_all(table, chain)
    assert neighbours_db(cases["l3"], cases) == 50.0  # of 30, 40, 50, 70 and 90; what is infinite says nothing
    assert math.isnan(neighbours_db(cases["l3"], {"l3": cases["l3"], "l2": cases["l2"], "l1": cases["l1"]}))
    assert neighbours_db(cases["l0"], cases) == 50.0


# --- words


def test_a_layer_much_worse_than_those_around_is_pointed_out():
    chain = chain_of(*(layer() for _ in range(4)))
    said = judged(*chain, local={"l1": 25.0})["l1"]
    assert said["sentence"].endswith("; that is 15 dB worse than the layers around it.")
    assert said["remedy"].startswith("Look at it first if the network loses accuracy")
    assert "worse" not in judged(*chain, local={"l1": 25.1})["l1"]["sentence"]


def test_small_errors_that_add_up_are_said_so():
    chain = chain_of(layer(), quiet("b", 25.0))
    said = judged(*chain, local={"l1": 22.9}, accumulated={"l1": 19.9})["l1"]
    assert said["sentence"].endswith("accumulated 19.9 dB; the small errors of the layers before add up.")
    assert "add up" not in judged(*chain, local={"l1": 22.8}, accumulated={"l1": 19.9})["l1"]["sentence"]
    assert "add up" not in judged(*chain, accumulated={"l1": 20.0})["l1"]["sentence"]
    assert "add up" not in judged(*chain, accumulated={"l0": 10.0})["l0"]["sentence"]  # nothing is before it


def notes(one: Evidence) -> str:
    return judged(one)["a"]["notes"]


def test_values_that_use_a_quarter_of_the_codes_are_noted():
    assert notes(ranges((0.0, 0.25), (0.0, 0.2))) == "On these images the values use 1/4 of the range."
    assert notes(ranges((0.0, 0.26), (0.0, 0.2))) == ""
    assert notes(ranges((0.0, 0.25), (0.0, 0.2), op="softmax")) == ""
    assert "use 1/" not in notes(ranges((0.0, 0.01), (0.0, 0.01)))  # it is the verdict


def test_pruned_channels_are_noted():
    pruned = kernel(float_largest=np.array([0.0, 0.0, 1.0, 1.0]))
    assert notes(constants(2, 4, kernel=pruned)).startswith("2 of 4 channels have weights of zero and are constant")
    assert "weights of zero" not in notes(constants(1, 4, kernel=pruned))


def test_a_little_clipping_is_noted():
    assert notes(cut(1.1, images=2)) == "On 2 of 9 images values pass the ends of the codes by a little."
    assert notes(cut(0.9, images=2)) == ""
    assert notes(cut(1.1, images=0)) == ""


# --- the picture's table


def test_evidence_as_a_table():
    first = ranges((-1.0, 0.5), (0.0, 2.0), name="first", on=grid(-1.0, 2.0), kernel=kernel(largest=np.array([3.0])))
    first.bins = np.zeros(256, np.int64)
    first.bins[[0, 255]] = 7, 9
    second = ranges((0.0, 1.0), name="second", index=1, parents=("first", "nobody"))
    second.grid = None
    table = evidence_table([first, second])

    def part(layer_name, name):
        rows = table[(table["layer"] == layer_name) & (table["part"] == name)]
        return rows[["position", "low", "high"]].to_numpy().tolist()

    assert part("first", "grid") == [[0, -1.0, 2.0]]
    assert part("first", "channel") == [[0, -1.0, 0.5], [1, 0.0, 2.0]]
    assert part("first", "kernel") == [[0, -3.0, 3.0]]
    assert part("second", "input") == [[0, -1.0, 2.0]]
    assert part("second", "grid") == []
    half = 3 / 255 / 2
    assert part("first", "values") == [
        [0, pytest.approx(-1 - half), pytest.approx(-1 + half)], [255, pytest.approx(2 - half), pytest.approx(2 + half)],
    ]  # fmt: skip
    counted = table[table["part"] == "values"]
    assert counted["count"].tolist() == [7, 9]
    assert isinstance(table, pd.DataFrame)


def test_the_share_of_changed_answers_has_its_interval():
    loss = EndLoss(n_images=20, signal=100.0, noise=1.0, changed=1)
    assert loss.with_interval == (
        "At the logits 20.0 dB are left over 20 images; the first answer changes on 1 of 20 (0.9% to 23.6%)."
    )
    assert str(loss) == loss.with_interval.replace(" (0.9% to 23.6%)", "")
    assert replace(loss, changed=-1).with_interval == "At the logits 20.0 dB are left over 20 images."
    same = replace(loss, noise=0.0, changed=-1, n_outputs=2)
    assert str(same) == "At the logits (the first of 2 outputs) nothing is lost over 20 images."
