"""Scaling arithmetic against the original code's graph, published tables and itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from effnet_lab.names import UserError
from effnet_lab.scaling import (
    LITE,
    MICRO,
    VARIANTS,
    Compound,
    Grid,
    NetSpec,
    Stage,
    count_network,
    get_spec,
    layer_counts,
    search,
    totals,
    variants,
)
from effnet_lab.scaling.layers import blocks, layers
from effnet_lab.scaling.rounding import round_channels, round_repeats, scaled_channels, scaled_repeats

# Trainable parameters and MAdds with 1000 classes. lite0-4: the original graph; b0: its README; micro: Keras (test_models.py).
GOLDEN = {
    "lite0": (4_652_008, 385_187_552),
    "lite1": (5_416_680, 600_185_232),
    "lite2": (6_092_072, 859_736_272),
    "lite3": (8_197_096, 1_383_321_872),
    "lite4": (13_006_568, 2_553_034_336),
    "b0": (5_288_548, 385_814_752),
    "micro0": (86_536, 385_776),
    "micro1": (168_152, 1_003_632),
    "micro2": (324_136, 2_051_968),
    "micro3": (786_472, 10_507_824),
}


def test_every_variant_has_a_golden():
    assert GOLDEN.keys() == VARIANTS.keys()


@pytest.mark.parametrize(("name", "golden"), GOLDEN.items(), ids=GOLDEN)
def test_params_and_madds(name, golden):
    counts = layer_counts(get_spec(name))
    assert (counts["params"].sum(), counts["madds"].sum()) == golden
    cost = totals(get_spec(name))
    assert (cost.params, cost.madds) == golden


def test_published_params_agree_to_the_digit_shown():
    table = variants(LITE.values())
    assert (table["params"] / 1e6).round(1).tolist() == (table["published_params"] / 1e6).tolist()


@pytest.mark.real
@pytest.mark.parametrize("name", LITE)
def test_every_convolution_of_the_original_graph(name, shared):
    """Golden: tensorflow/tpu's own graph (fixtures/facts)."""
    facts = json.loads((shared / "fixtures" / "facts" / f"efficientnet-{name}.json").read_text())
    ours = [layer for layer in layers(get_spec(name)) if layer.madds]
    theirs = facts["convs"]  # the dense layer is the last of them
    assert [layer.madds for layer in ours] == [conv["madds"] for conv in theirs]
    assert [layer.side for layer in ours] == [conv.get("out_hw", [1])[0] for conv in theirs]
    assert [block.survival for block in blocks(get_spec(name))] == pytest.approx(
        [block["survival_prob"] for block in facts["blocks"]], abs=1e-9
    )


def test_peak_activation_of_lite0_is_what_a_planner_needs():
    """1,470 KiB: Vela's Sram_Only figure for the int8 network."""
    assert totals(get_spec("lite0")).peak_activation_bytes == 1470 * 1024


def test_st_efficientnet_lc_counts():
    """ST's flash figure: 485,440 int8 weights and 7,993 int32 biases (stm32ai-modelzoo, EfficientNet LC v1, 5 classes)."""
    rows = [(3, 1, 1, 8, 1), (3, 2, 3, 16, 2), (5, 2, 3, 24, 2), (3, 2, 3, 40, 3), (5, 1, 3, 48, 3), (5, 2, 3, 88, 4)]
    stages = tuple(
        Stage(kernel=k, stride=s, expansion=e, channels=c, repeats=r) for k, s, e, c, r in [*rows, (3, 1, 3, 144, 1)]
    )
    st = NetSpec(name="st", width=1.0, depth=1.0, resolution=224, stages=stages, stem=16, head=576, se_ratio=0.25)
    assert totals(st, classes=5).flash_bytes == 485_440 + 4 * 7_993
    # 393.17 KiB are published for the activations, by a planner that adds a little
    assert totals(st, classes=5).peak_activation_bytes == pytest.approx(393.17 * 1024, rel=0.005)


@pytest.mark.parametrize("side", [32, 33, 224, 299])
def test_many_sizes_at_once_are_the_sizes_one_by_one(side):
    sides = np.array([32, 33, 224, 299])
    for spec in (get_spec("lite3"), get_spec("b0"), get_spec("micro2")):
        together = totals(spec, 1000, sides)
        alone = totals(replace(spec, resolution=side))
        at = list(sides).index(side)
        assert together.madds[at] == alone.madds
        assert together.peak_activation_bytes[at] == alone.peak_activation_bytes


@pytest.mark.parametrize("channels", range(8, 400, 24))
@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 1.1, 1.4, 2.0])
def test_rounded_channels_never_drop_by_more_than_a_tenth(channels, width):
    rounded = round_channels(channels, width)
    assert rounded % 8 == 0
    assert rounded >= max(8, 0.9 * channels * width)
    assert rounded <= max(8, channels * width + 8)


def test_repeats_round_up():
    assert [round_repeats(r, 1.1) for r in (1, 2, 3, 4)] == [2, 3, 4, 5]


def test_lite_keeps_its_ends_and_the_original_does_not():
    lite, free = (
        replace(LITE["lite0"], width=2.0, depth=2.0),
        replace(LITE["lite0"], width=2.0, depth=2.0, fixed_ends=False),
    )
    assert (scaled_channels(lite)[0], scaled_channels(lite)[-1]) == (32, 1280)
    assert (scaled_channels(free)[0], scaled_channels(free)[-1]) == (64, 2560)
    assert scaled_repeats(lite) == (1, 4, 4, 6, 6, 8, 1)
    assert scaled_repeats(free) == (2, 4, 4, 6, 6, 8, 2)


def test_compound_coefficients():
    base = get_spec("lite0")
    spec = Compound().spec(base, 2, "two")
    assert spec.depth == pytest.approx(1.44)
    assert spec.width == pytest.approx(1.21)
    assert spec.resolution == 296  # 224 * 1.15**2 = 296.24
    assert Compound().phi(1.21, 1.44, 224 * 1.15**2, base) == pytest.approx(2)
    assert Compound().phi(1.21, 1.2, 999, base) == pytest.approx(1)  # depth has only reached 1


def test_micro_family_grows():
    table = variants(MICRO.values(), classes=10)
    for column in ("params", "madds", "resolution_px", "peak_activation_bytes"):
        assert table[column].is_monotonic_increasing, column
    assert table["resolution_px"].tolist() == [32, 48, 64, 96]
    assert table["params"].between(5_000, 500_000).all()


def test_search_under_lite0s_own_budget_finds_lite0():
    cost = totals(get_spec("lite0"))
    limits = {"max_params": cost.params, "max_madds": cost.madds, "max_arena": cost.peak_activation_bytes}
    best = search(**limits, scale_ends=False).iloc[0]
    assert (best["params"], best["madds"], best["resolution_px"]) == (4_652_008, 385_187_552, 224)


def test_search_covers_200_000_networks_and_counts_them_right():
    base = replace(get_spec("lite0"), fixed_ends=False)
    found = search()
    assert len(found) >= 200_000
    assert not found.duplicated(["width", "depth", "resolution_px"]).any()
    for row in found.sample(25, random_state=0).itertuples():
        cost = totals(replace(base, width=row.width, depth=row.depth, resolution=row.resolution_px))
        counted = (row.params, row.madds, row.peak_activation_bytes, row.flash_bytes)
        assert counted == (cost.params, cost.madds, cost.peak_activation_bytes, cost.flash_bytes)


def test_search_keeps_every_budget():
    grid = Grid(widths=(0.25, 0.5, 1.0), depths=(0.5, 1.0), resolutions=(64, 128))
    everything = search(grid=grid)
    found = search(max_params=1e6, max_madds=2e7, max_arena=3e5, max_flash=9e5, grid=grid)
    fits = everything.query("params <= 1e6 and madds <= 2e7 and peak_activation_bytes <= 3e5 and flash_bytes <= 9e5")
    assert 0 < len(found) == len(fits) < len(everything)


@pytest.mark.parametrize(
    ("grid", "first"),
    [
        # depth holds phi back for both: the one with more MAdds comes first
        (Grid(widths=(0.8, 1.0), depths=(0.5,), resolutions=(224,)), {"width": 1.0}),
        # phi and MAdds are equal: the one with fewer parameters comes first
        (Grid(widths=(0.99, 1.16), depths=(0.75,), resolutions=(204, 252)), {"width": 0.99, "resolution_px": 252}),
    ],
    ids=["madds", "params"],
)
def test_ties_are_settled(grid, first):
    found = search(grid=grid, max_madds=468_702_576)
    best, tied = found.iloc[0], found[found["phi"] == found["phi"].max()]
    assert len(tied) > 1
    assert {name: best[name] for name in first} == first


def test_count_network_is_the_named_one():
    point, counts = count_network()
    assert point.iloc[0]["params"] == counts["params"].sum() == GOLDEN["lite0"][0]
    assert count_network(phi=1.0)[0].iloc[0]["depth"] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 16}, "resolution must be >= 32 px"),
        ({"width": 0.0}, "width must be > 0"),
        ({"depth": -1.0}, "depth must be > 0"),
        ({"activation": "gelu"}, "activation must be one of relu6, swish"),
    ],
)
def test_a_spec_is_checked_at_birth(change, message):
    with pytest.raises(UserError, match=message):
        replace(get_spec("lite0"), **change)


def test_unknown_variant_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'lite0'"):
        get_spec("light0")


def test_a_budget_must_be_positive():
    with pytest.raises(UserError, match="params must be > 0"):
        search(max_params=0)
    with pytest.raises(UserError, match="No network of the grid fits"):
        search(max_params=10)
