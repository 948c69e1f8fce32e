"""The rules of scaling, each quickly and on its own: a planner, gates, budgets, the family, what a study grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from effnet_lab.names import UserError
from effnet_lab.scaling import (
    MICRO,
    STYLES,
    VARIANTS,
    Buffer,
    Compound,
    Grid,
    arena_of,
    count_network,
    estimate_arena,
    estimate_of,
    get_spec,
    layer_counts,
    place,
    published,
    search,
    study_of,
    totals,
    variants,
)
from effnet_lab.scaling.compound import DIMENSIONS, PAPER
from effnet_lab.scaling.family import spec_of
from effnet_lab.scaling.grown import DIRECTIONS, compound_at, grid_networks, matched_networks
from effnet_lab.scaling.layers import blocks, layers
from effnet_lab.scaling.planner import aligned, arena_end
from effnet_lab.scaling.rounding import round_channels

LITE0, MICRO0 = get_spec("lite0"), get_spec("micro0")
# Head of TensorFlow Lite Micro's arena: of int8 files with these shapes, and of exported ones with swish or gates
# (test_footprint.py asks the allocator itself). Tail: this estimate's own, within 2 % of the allocator's for ReLU6.
ARENA = {
    "micro0": (15_360, 16_584),
    "micro1": (34_560, 23_688),
    "micro2": (61_440, 29_768),
    "micro3": (138_240, 57_832),
    "lite0": (1_505_280, 191_176),
    "lite1": (1_728_000, 242_328),
    "lite2": (2_028_000, 260_056),
    "lite3": (3_528_000, 337_096),
    "lite4": (4_050_000, 485_352),
    "b0": (3_612_672, 295_112),
    "micro1_swish_se": (82_944, 48_136),
    "micro1_swish": (82_944, 29_736),
    "micro1_se": (34_560, 39_208),
}
TAIL = {
    "micro0": 16_432,
    "micro1": 23_472,
    "micro2": 29_552,
    "micro3": 57_536,
}  # of the allocator, tflite-micro 0.dev2025
# int8 weights and int32 biases, peak activations: by the layers of the original graph, batch norm folded
FLASH = {"lite0": 4_697_024, "lite1": 5_473_344, "lite2": 6_153_168, "lite3": 8_276_768, "lite4": 13_121_936}


def classes_of(name):
    return 10 if name.startswith("micro") else 1000


def test_every_network_has_a_golden_arena():
    assert ARENA.keys() == (VARIANTS | STYLES).keys()


@pytest.mark.parametrize(("name", "golden"), ARENA.items(), ids=ARENA)
def test_the_arena_of_a_named_network(name, golden):
    found = estimate_arena(get_spec(name), classes_of(name))
    assert (found.activation_bytes, found.persistent_bytes) == golden
    assert found.total_bytes == sum(golden)
    if name in TAIL:
        assert found.persistent_bytes == pytest.approx(TAIL[name], rel=0.02)


def test_the_arena_at_another_size_is_that_of_a_network_of_this_size():
    assert estimate_arena(LITE0, 10, 96) == estimate_arena(replace(LITE0, resolution=96), 10)
    assert arena_of(layers(MICRO0, 10), 32) == estimate_arena(MICRO0, 10)


def test_what_lives_in_the_tail():
    """704 bytes, 24 a tensor, 88 an op, 8 a channel of a kernel, 96 more for its op and 32 for any other; 64-bit host."""
    assert estimate_of([], 0, 0, []).persistent_bytes == 704
    assert estimate_of([], 5, 0, []).persistent_bytes == 704 + 5 * 24
    assert estimate_of([], 0, 3, []).persistent_bytes == 704 + 3 * (88 + 32)
    assert estimate_of([], 0, 3, [16, 8]).persistent_bytes == 704 + 3 * 88 + 8 * 24 + 2 * 96 + 32
    assert estimate_of([Buffer(name="a", size_bytes=17, first=0, last=0)], 0, 0, []).activation_bytes == 32


def buffers(*rows):
    return [Buffer(name=str(i), size_bytes=n, first=a, last=b) for i, (n, a, b) in enumerate(rows)]


@pytest.mark.parametrize(
    ("given", "offsets"),
    [
        ([], ()),
        ([(100, 0, 1), (60, 1, 2), (50, 2, 3)], (0, 112, 0)),  # the third begins when the first is done with
        ([(100, 0, 1), (60, 2, 3)], (0, 0)),  # no op needs both
        ([(50, 0, 2), (100, 1, 3)], (112, 0)),  # the largest first
        ([(32, 0, 1), (32, 0, 1), (32, 0, 1)], (0, 32, 64)),  # equal ones in the order given
        # the second leaves 96 bytes, of which the fourth takes 64: 48 do not fit into the rest, 32 do, 33 do not
        ([(128, 0, 9), (96, 0, 1), (80, 0, 9), (64, 2, 9), (48, 2, 9), (32, 2, 9)], (0, 128, 224, 128, 304, 192)),
        ([(128, 0, 9), (96, 0, 1), (80, 0, 9), (64, 2, 9), (48, 2, 9), (33, 2, 9)], (0, 128, 224, 128, 304, 352)),
    ],
)  # fmt: skip
def test_each_buffer_gets_the_lowest_gap_that_holds_it(given, offsets):
    found = buffers(*given)
    assert place(found) == offsets
    assert arena_end(found, offsets) == max(
        (offset + -(-size // 16) * 16 for offset, (size, _, _) in zip(offsets, given, strict=True)), default=0
    )


def test_no_two_buffers_share_bytes_while_an_op_needs_both():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes, starts, spans = rng.integers(1, 400, 14), rng.integers(0, 12, 14), rng.integers(0, 4, 14)
        given = buffers(
            *((int(n), int(a), int(a + d)) for n, a, d in zip(sizes, starts, spans, strict=True))
        )  # fmt: skip
        offsets = place(given)
        assert all(offset % 16 == 0 for offset in offsets)
        for i, (a, low) in enumerate(zip(given, offsets, strict=True)):
            for b, other in list(zip(given, offsets, strict=True))[i + 1 :]:
                if a.first <= b.last and b.first <= a.last:
                    assert low + a.size_bytes <= other or other + b.size_bytes <= low


def test_alignment():
    assert [aligned(n) for n in (0, 1, 15, 16, 17, 32)] == [0, 16, 16, 16, 32, 32]


def test_the_gates_of_b0_are_those_of_the_original():
    """Reduced channels of every block of EfficientNet-B0; its blocks keep their residual with these probabilities."""
    found = blocks(get_spec("b0"))
    assert [block.se_channels for block in found] == [8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]
    assert [block.survival for block in found] == pytest.approx([1 - 0.2 * i / 16 for i in range(16)])
    assert [block.skip for block in found] == [
        False, False, True, False, True, False, True, True, False, True, True, False, True, True, True, False,
    ]  # fmt: skip
    assert {block.se_channels for block in blocks(LITE0)} == {0}
    assert blocks(replace(get_spec("micro1_se"), se_ratio=0.01))[0].se_channels == 1


def test_a_gate_is_five_layers():
    table = layer_counts(STYLES["micro1_swish_se"], 10).iloc[:9]
    columns = ["layer", "op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"]
    assert table[columns].to_numpy().tolist() == [
        ["stem_conv", "conv", 24, 8, 232, 124_416, 4_608, 248],  # 3 x 3 x 3 x 8 and two per channel; 24 x 24 outputs
        ["blocks_0_dwconv", "depthwise", 24, 8, 88, 41_472, 4_608, 104],
        ["blocks_0_se_pool", "mean", 1, 8, 0, 0, 8, 0],
        ["blocks_0_se_reduce", "conv", 1, 2, 18, 16, 2, 24],
        ["blocks_0_se_expand", "conv", 1, 8, 24, 16, 8, 48],
        ["blocks_0_se_mul", "mul", 24, 8, 0, 0, 4_608, 0],
        ["blocks_0_project", "conv", 24, 8, 80, 36_864, 4_608, 96],
        ["blocks_0_add", "add", 24, 8, 0, 0, 4_608, 0],
        ["blocks_1_expand", "conv", 24, 48, 480, 221_184, 27_648, 576],
    ]
    assert table["layer_index"].tolist() == list(range(9))
    net = {layer.name: layer for layer in layers(STYLES["micro1_swish_se"], 10)}
    assert net["blocks_0_se_mul"].inputs == ("blocks_0_dwconv", "blocks_0_se_expand")
    assert net["blocks_0_add"].inputs == ("blocks_0_project", "stem_conv")
    assert (net["stem_conv"].kernel, net["stem_conv"].stride) == (3, 2)
    assert (net["blocks_1_dwconv"].kernel, net["blocks_1_dwconv"].stride) == (3, 2)
    assert (net["head_conv"].kernel, net["head_conv"].stride) == (1, 1)


@pytest.mark.parametrize(("name", "golden"), FLASH.items(), ids=FLASH)
def test_flash(name, golden):
    assert totals(get_spec(name)).flash_bytes == golden
    assert totals(get_spec(name)).params < golden  # each bias is four bytes, gamma and beta two parameters


def test_a_network_needs_a_class():
    assert totals(MICRO0, 1).params < totals(MICRO0, 2).params
    with pytest.raises(UserError, match=r"classes must be >= 1\. Got 0"):
        layers(MICRO0, 0)


def test_the_smallest_picture_is_32_px():
    assert replace(MICRO0, resolution=32).resolution == 32
    with pytest.raises(UserError, match="31"):
        replace(MICRO0, resolution=31)
    assert Compound(gamma=0.5).spec(LITE0, 9, "tiny").resolution == 32
    assert (
        Compound(gamma=1.0).spec(replace(LITE0, resolution=36), 1, "x").resolution == 32
    )  # 4.5 eights: to the even one
    assert Compound(gamma=1.0).spec(replace(LITE0, resolution=44), 1, "x").resolution == 48


def test_channels_that_need_no_rounding_are_not_rounded():
    assert round_channels(30, 1.0) == 30
    assert [round_channels(32, width) for width in (0.05, 0.4, 0.5, 1.1, 1.4)] == [8, 16, 16, 32, 48]
    assert round_channels(10, 1.17) == 16  # 8 would be more than a tenth below 11.7
    assert round_channels(80, 1.1) == 88  # 88 exactly


def test_phi_is_what_the_weakest_dimension_has_reached():
    compound = Compound()
    assert [compound.alpha, compound.beta, compound.gamma] == [1.2, 1.1, 1.15] == [PAPER.alpha, PAPER.beta, PAPER.gamma]
    sides = np.array([224, 224 * 1.15, 224 * 1.15**4])
    assert compound.phi(1.1**3, 1.2**2, sides, LITE0) == pytest.approx([0.0, 1.0, 2.0])
    assert compound.phi(1.1**1.5, 1.2**2, sides, LITE0) == pytest.approx([0.0, 1.0, 1.5])
    assert compound.phi(1.1, 1.2, 999, replace(LITE0, width=1.1, depth=1.2)) == pytest.approx(0.0, abs=1e-12)


def test_the_micro_family_follows_its_rule():
    """`micro0` scaled by alpha 1.27, beta 1.89, gamma 1.44; the sizes to a multiple of 8."""
    sizes = [(round(spec.width, 6), round(spec.depth, 6), spec.resolution) for spec in MICRO.values()]
    assert sizes == [
        (0.05, 0.3, 32), (0.0945, 0.381, 48), (0.178605, 0.48387, 64), (0.337563, 0.614515, 96),
    ]  # fmt: skip
    for spec in MICRO.values():
        assert (spec.dropout, spec.drop_connect, spec.fixed_ends, spec.activation) == (0.1, 0.0, False, "relu6")
    assert (VARIANTS["b0"].fixed_ends, VARIANTS["b0"].activation, VARIANTS["b0"].se_ratio) == (False, "swish", 0.25)
    assert [get_spec(f"lite{i}").dropout for i in range(5)] == [0.2, 0.2, 0.3, 0.3, 0.3]


def test_the_styles_are_micro1_with_what_lite_took_out():
    for name, (activation, ratio) in {
        "micro1_swish_se": ("swish", 0.25), "micro1_swish": ("swish", 0.0), "micro1_se": ("relu6", 0.25),
    }.items():  # fmt: skip
        assert STYLES[name] == replace(MICRO["micro1"], name=name, activation=activation, se_ratio=ratio)
        assert get_spec(name) is STYLES[name]


def test_the_table_of_the_family_has_the_published_values():
    """Of the authors alone: others' numbers for the same network stand in the tables, too."""
    table = variants().set_index("model")
    assert list(table.index) == list(VARIANTS)
    assert table["published_top1"].dropna().to_dict() == {
        "lite0": 0.751, "lite1": 0.767, "lite2": 0.776, "lite3": 0.798, "lite4": 0.815,
    }  # fmt: skip
    assert table["published_int8_top1"].dropna().tolist() == [0.744, 0.759, 0.77, 0.79, 0.802]
    assert table["published_madds"].dropna().tolist() == [407e6, 631e6, 899e6, 1.44e9, 2.64e9]
    row = table.loc["lite2"]
    assert row[["width", "depth", "resolution_px", "classes"]].tolist() == [1.1, 1.2, 260, 1000]
    assert (row["peak_activation_bytes"], row["flash_bytes"]) == (2_028_000, FLASH["lite2"])
    others = published().query("model == 'lite0' and quantity == 'top1_float32'")["value"]
    assert set(others) > {0.751}
    assert variants([MICRO0], classes=10).iloc[0][["classes", "params"]].tolist() == [10, 22_186]


def test_a_network_by_its_coefficients():
    assert spec_of() == replace(LITE0, name="yours")
    assert spec_of(width=2.0, depth=3.0, resolution_px=96, fixed_ends=False, name="n") == replace(
        LITE0, name="n", width=2.0, depth=3.0, resolution=96, fixed_ends=False
    )
    scaled = spec_of(phi=2.0, alpha=1.1, beta=1.3, gamma=1.2)
    assert (scaled.depth, scaled.width, scaled.resolution) == (pytest.approx(1.21), pytest.approx(1.69), 320)
    assert spec_of(phi=1.0) == Compound().spec(LITE0, 1.0, "yours")
    point, counts = count_network(width=0.5, classes=10)
    assert point.iloc[0][["model", "width", "classes"]].tolist() == ["yours", 0.5, 10]
    assert (counts["madds"].sum(), len(counts)) == (point.iloc[0]["madds"], 60)


SMALL = Grid(widths=(0.5, 1.0), depths=(1.0,), resolutions=(64, 32))


def test_a_limit_may_be_met_exactly():
    wanted = totals(replace(LITE0, width=0.5, resolution=64, fixed_ends=False))
    limits = {
        "max_params": wanted.params, "max_madds": wanted.madds, "max_arena": wanted.peak_activation_bytes,
        "max_flash": wanted.flash_bytes,
    }  # fmt: skip
    found = search(grid=SMALL, **limits)
    assert found[["width", "resolution_px"]].to_numpy().tolist() == [[0.5, 64], [0.5, 32]]
    for name in ("max_madds", "max_arena"):
        assert search(grid=SMALL, **(limits | {name: limits[name] - 1}))["resolution_px"].tolist() == [32]
    for name in ("max_params", "max_flash"):  # the same at every size
        with pytest.raises(UserError, match="No network of the grid fits"):
            search(grid=SMALL, **(limits | {name: limits[name] - 1}))


def test_what_a_search_says_of_a_network():
    found = search(grid=SMALL)
    assert found[["width", "depth", "resolution_px"]].to_numpy().tolist() == [
        [1.0, 1.0, 64], [0.5, 1.0, 64], [1.0, 1.0, 32], [0.5, 1.0, 32],
    ]  # fmt: skip
    row, cost = found.iloc[0], totals(replace(LITE0, resolution=64, fixed_ends=False))
    assert row["phi"] == pytest.approx(np.log(64 / 224) / np.log(1.15))
    assert row[["params", "madds", "peak_activation_bytes", "flash_bytes"]].tolist() == [
        cost.params, cost.madds, cost.peak_activation_bytes, cost.flash_bytes,
    ]  # fmt: skip
    assert [found[name].dtype.kind for name in ("resolution_px", "params", "madds")] == ["i"] * 3
    assert search(grid=SMALL, base="lite1")["phi"].iloc[0] == pytest.approx(np.log(64 / 240) / np.log(1.15))


def test_the_ends_scale_unless_told_otherwise():
    free, kept = (search(grid=SMALL, scale_ends=ends).query("width == 0.5").iloc[0] for ends in (True, False))
    assert free["params"] == totals(replace(LITE0, width=0.5, fixed_ends=False)).params
    assert kept["params"] == totals(replace(LITE0, width=0.5)).params


def test_the_default_grid():
    grid = Grid()
    assert (grid.widths[0], grid.widths[1], grid.widths[-1], len(grid.widths)) == (0.05, 0.06, 2.0, 196)
    assert (grid.depths[0], grid.depths[1], grid.depths[-1], len(grid.depths)) == (0.1, 0.15, 3.0, 59)
    assert (grid.resolutions[0], grid.resolutions[1], grid.resolutions[-1]) == (32, 36, 512)


def test_of_multipliers_that_round_to_one_network_the_largest_stands():
    found = search(grid=Grid(widths=(0.999, 1.0, 1.001), depths=(0.9, 1.0), resolutions=(224,)))
    assert found[["width", "depth"]].to_numpy().tolist() == [[1.001, 1.0]]


def test_limits_have_to_be_positive_numbers():
    for name in ("max_params", "max_madds", "max_arena", "max_flash"):
        for wrong in (0, -1, float("nan")):
            with pytest.raises(UserError, match="must be > 0"):
                search(grid=SMALL, **{name: wrong})
        assert len(search(grid=SMALL, **{name: 1e12})) == 4
        with pytest.raises(UserError, match="No network of the grid fits"):
            search(grid=SMALL, **{name: 0.5})


@pytest.fixture(scope="module")
def grown():
    return [*matched_networks(MICRO0, 4, 10), *grid_networks(MICRO0, 10)]


def test_the_networks_that_were_trained_are_those_that_are_grown_today(grown):
    """Every coefficient, to the last digit: the recorded study rests on them."""
    names = [
        "model",
        "direction",
        "level",
        "width",
        "depth",
        "resolution_px",
        "alpha",
        "beta",
        "gamma",
        "phi",
        "params",
        "madds",
    ]
    rows = []
    for network in grown:
        spec, cost, compound = network.spec, totals(network.spec, 10), network.compound
        triple = [getattr(compound, name, np.nan) for name in ("alpha", "beta", "gamma")]
        rows.append([spec.name, network.direction, network.level, spec.width, spec.depth, spec.resolution, *triple,
                     network.phi, cost.params, cost.madds])  # fmt: skip
    trained = study_of().query("seed == 0")[names].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.DataFrame(rows, columns=names), trained, check_dtype=False, rtol=1e-12)


def test_directions_and_levels(grown):
    assert DIMENSIONS == ("width", "depth", "resolution")
    assert list(DIRECTIONS) == [*DIMENSIONS, "compound"]
    assert [n.direction for n in grown[:5]] == ["base", *DIRECTIONS]
    assert grown[0].spec == MICRO0
    assert [n.spec.name for n in matched_networks(MICRO0, 1, 10)] == ["micro0"]
    with pytest.raises(UserError, match="at least 1 level"):
        matched_networks(MICRO0, 0, 10)
    assert len(grid_networks(MICRO0, 10, levels=(2.0,))) == 10


def test_a_ladder_takes_the_nearest_rung():
    """Of the networks just below and just above, the one whose ratio to the level is nearer to one."""
    unit = totals(MICRO0, 10).madds
    for level in (1.5, 2.0, 3.0):
        found = compound_at(MICRO0, PAPER, level, 10, direction="compound")
        off = abs(np.log(totals(found.spec, 10).madds / unit / level))
        for phi in np.linspace(0, 4, 81):
            spec = replace(
                PAPER.spec(MICRO0, phi, "x"), resolution=max(32, 2 * round(MICRO0.resolution * PAPER.gamma**phi / 2))
            )
            assert abs(np.log(totals(spec, 10).madds / unit / level)) >= off - 1e-9
