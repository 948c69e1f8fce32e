"""Fronts and choices on tables made by hand: who beats whom, what meets a budget, which one is taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.studies.fronts import standing
from effnet_lab.studies.tradeoffs import Needs, choose_row, join_tradeoffs

FILE = {"model": "net", "scheme": "int8", "backend": ""}


def row(name: str, top1: float, ms: float, ram_kib: float, flash_kib: float, *, half: float = 0.02, **more) -> dict:
    return {
        "model": name, "scheme": "int8", "backend": "", "n_images": 1000, "top1": top1, "top1_lo": top1 - half,
        "top1_hi": top1 + half, "p50_ms": ms, "p50_lo_ms": ms, "p50_hi_ms": ms,
        "peak_activation_bytes": ram_kib * 1024, "size_bytes": flash_kib * 1024,
    } | more  # fmt: skip


def table_of(*rows: dict) -> pd.DataFrame:
    return frames.build(frames.TRADEOFFS, rows)


THREE = table_of(row("small", 0.80, 1.0, 20, 30), row("middle", 0.90, 2.0, 60, 90), row("large", 0.91, 4.0, 200, 400))


def taken(table: pd.DataFrame, **needs: float) -> list[str]:
    return table.loc[choose_row(table, Needs(**needs))[0], "model"].tolist()


def words(table: pd.DataFrame, **needs: float) -> str:
    return choose_row(table, Needs(**needs))[1]


# --- fronts


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.9), (2, 0.9)], [True, False]),  # as good and faster
        ([(1, 0.9), (1, 0.8)], [True, False]),  # as fast and better
        ([(1, 0.9), (1, 0.9)], [True, True]),  # equals do not beat each other
        ([(1, 0.8), (2, 0.9)], [True, True]),
        ([(1, 0.9), (2, 0.8)], [True, False]),
        ([(1, np.nan), (2, 0.8)], [False, True]),
        ([(np.nan, 0.9), (2, 0.8)], [False, True]),
    ],
)
def test_the_usual_front(points, front):
    table = pd.DataFrame(points, columns=["p50_ms", "top1"], index=list("ab"))
    on = standing(table, "p50_ms", "top1")["on_front"]
    assert on.tolist() == front
    assert list(on.index) == ["a", "b"]


def test_lower_is_better_for_sizes_and_higher_for_accuracy():
    table = pd.DataFrame({"size_bytes": [10, 20], "params": [5, 4], "top1": [0.9, 0.8]})
    assert on_front(table, "size_bytes", "params") == [True, True]
    assert on_front(table, "size_bytes", "top1") == [True, False]


def on_front(table: pd.DataFrame, x: str, y: str, pairs: pd.DataFrame | None = None) -> list[bool]:
    return standing(table, x, y, pairs)["on_front"].tolist()


def near_ties(table: pd.DataFrame, x: str, y: str, pairs: pd.DataFrame | None = None) -> list[bool]:
    return standing(table, x, y, pairs)["near_tie"].tolist()


def measured(*points: tuple[float, float], half_ms: float = 0.0, half: float = 0.02) -> pd.DataFrame:
    """Files a, b, c ... with (ms, top-1) and their intervals."""
    rows = [row("abcdefgh"[i], top1, ms, 1, 1, half=half) for i, (ms, top1) in enumerate(points)]
    table = table_of(*rows)
    return table.assign(p50_lo_ms=table["p50_ms"] - half_ms, p50_hi_ms=table["p50_ms"] + half_ms)


def pair(first: str, second: str, difference: float, p_value: float) -> dict:
    return FILE | {
        "model": first,
        "against": f"{second} int8",
        "data": "d",
        "difference": difference,
        "p_value": p_value,
    }


@pytest.mark.parametrize(
    ("second", "front"),
    [
        ((0.83, 0.79, 0.87), [True, False]),  # slower, and the intervals overlap: not distinguishably better
        ((0.84, 0.82, 0.86), [True, False]),  # they touch
        ((0.85, 0.83, 0.87), [True, True]),  # better for certain
        ((0.81, np.nan, np.nan), [True, False]),  # without an interval the number itself counts: within the other's
        ((0.83, np.nan, np.nan), [True, True]),
    ],
)
def test_slower_and_not_distinguishably_better_is_off(second, front):
    table = pd.DataFrame([(1.0, 0.80, 0.78, 0.82), (2.0, *second)], columns=["p50_ms", "top1", "top1_lo", "top1_hi"])
    assert on_front(table, "p50_ms", "top1") == front
    assert on_front(table, "top1", "p50_ms") == front


def test_half_an_interval_is_none():
    table = pd.DataFrame({"p50_ms": [1.0, 2.0], "top1": [0.8, 0.81], "top1_hi": [0.82, 0.9]})
    assert on_front(table, "p50_ms", "top1") == [True, True]


@pytest.mark.parametrize(("p_value", "front"), [(0.049, [True, True]), (0.05, [True, False])])
def test_files_that_saw_the_same_images_are_compared_as_a_pair(p_value, front):
    table = measured((1.0, 0.80), (2.0, 0.81))  # the intervals overlap; the pairs know better
    for known in (pair("b", "a", 0.01, p_value), pair("a", "b", -0.01, p_value)):
        assert on_front(table, "p50_ms", "top1", pd.DataFrame([known])) == front
        assert on_front(table.iloc[::-1], "p50_ms", "top1", pd.DataFrame([known])) == front[::-1]
    apart = measured((1.0, 0.80), (2.0, 0.90))
    assert on_front(apart, "p50_ms", "top1", pd.DataFrame([pair("b", "a", 0.1, p_value)])) == front
    assert on_front(apart, "p50_ms", "top1", pd.DataFrame([pair("b", "z", 0.1, p_value)])) == [True, True]


def test_only_a_file_on_the_front_puts_others_off():
    steps = pd.DataFrame([pair("b", "a", 0.01, 0.4), pair("c", "b", 0.01, 0.4), pair("c", "a", 0.02, 0.01)])
    table = measured((1.0, 0.90), (2.0, 0.91), (3.0, 0.92))
    assert on_front(table, "p50_ms", "top1", steps) == [True, False, True]  # b is off, so it does not keep c away


def test_as_fast_and_distinguishably_worse_is_off_although_its_number_is_smaller():
    table = measured((1.0, 0.80), (1.01, 0.90), half_ms=0.05)
    assert on_front(table, "p50_ms", "top1") == [False, True]
    assert near_ties(table, "p50_ms", "top1") == [False, False]


def test_near_ties_are_told_apart_on_neither_axis():
    table = measured((1.0, 0.90), (1.02, 0.91), (1.5, 0.91), (1.03, 0.70), half_ms=0.03)
    assert on_front(table, "p50_ms", "top1") == [True, False, False, False]
    assert near_ties(table, "p50_ms", "top1") == [False, True, False, False]  # as good, as fast; slower; worse
    sizes = table.assign(size_bytes=[1000, 1019, 1021, 1000])
    assert near_ties(sizes, "size_bytes", "top1") == [False, True, False, False]  # within 2 %


def test_what_was_not_measured_is_nowhere():
    table = measured((1.0, 0.90), (np.nan, 0.90))
    assert on_front(table, "p50_ms", "top1") == [True, False]
    assert near_ties(table, "p50_ms", "top1") == [False, False]


@pytest.mark.parametrize("seed", range(20))
def test_along_a_front_both_numbers_rise_and_everybody_else_is_beaten(seed):
    rng = np.random.default_rng(seed)
    n = 8
    table = measured(*zip(rng.uniform(1, 2, n), rng.uniform(0.8, 0.9, n), strict=True), half_ms=0.1)
    value = table["top1"].to_numpy()
    pairs = pd.DataFrame([
        pair("abcdefgh"[i], "abcdefgh"[j], value[i] - value[j], rng.choice([0.01, 0.5])) for i in range(n) for j in range(i)
    ])  # fmt: skip
    front = table[on_front(table, "p50_ms", "top1", pairs)].sort_values("p50_ms")
    assert len(front)
    assert front["top1"].is_monotonic_increasing
    assert on_front(front, "p50_ms", "top1", pairs) == [True] * len(front)


def test_a_ring_of_three_leaves_the_cheapest():
    # as fast as each other in a row only, so that each beats the next: a and b, b and c are tied in time, a and c are not
    table = measured((1.0, 0.90), (1.15, 0.91), (1.3, 0.92), half_ms=0.1)
    ring = pd.DataFrame([pair("b", "a", 0.01, 0.01), pair("c", "b", 0.01, 0.01), pair("c", "a", 0.02, 0.5)])
    assert on_front(table, "p50_ms", "top1", ring) == [True, False, False]


def test_a_front_knows_its_axes():
    with pytest.raises(UserError, match="Did you mean 'p50_ms'"):
        standing(pd.DataFrame({"p50": [1.0]}), "p50", "top1")


def test_rows_that_all_three_tables_have():
    accuracy = pd.DataFrame([FILE | {"data": "d", "n_images": 9, "top1": 0.5, "top1_lo": 0.4, "top1_hi": 0.6}])
    latency = pd.DataFrame([FILE | {"p50_ms": 2.0}, FILE | {"scheme": "float32", "p50_ms": 1.0}])
    known = {*accuracy, *latency, "size_bytes"}
    rest = dict.fromkeys((name for name in frames.TRADEOFFS.columns if name not in known), 7)
    memory = pd.DataFrame([FILE | rest | {"size_bytes": 3}])
    joined = join_tradeoffs(accuracy, latency, memory)
    assert joined[["scheme", "top1", "p50_ms", "size_bytes"]].to_numpy().tolist() == [["int8", 0.5, 2.0, 3]]
    with pytest.raises(pd.errors.MergeError):
        join_tradeoffs(accuracy, pd.concat([latency, latency]), memory)


# --- needs


@pytest.mark.parametrize(
    ("needs", "names"),
    [
        ({}, ["large"]),
        ({"max_ms": 2.0}, ["middle"]),  # a limit may be met exactly
        ({"max_ms": 1.99}, ["small"]),
        ({"max_flash_kib": 90}, ["middle"]),
        ({"max_flash_kib": 89.9}, ["small"]),
        ({"max_ram_kib": 60}, ["middle"]),
        ({"max_ram_kib": 59.9}, ["small"]),
        ({"min_top1": 0.9}, ["large"]),
        ({"min_top1": 0.91}, ["large"]),
        ({"min_top1": 0.911}, []),
        ({"max_ms": 3, "max_ram_kib": 60, "max_flash_kib": 90, "min_top1": 0.9}, ["middle"]),
    ],
)
def test_the_most_accurate_that_meets_all_needs(needs, names):
    assert taken(THREE, **needs) == names


def test_what_was_not_measured_meets_no_need():
    table = table_of(row("unknown", 0.99, np.nan, np.nan, np.nan), row("known", 0.5, 1.0, 1, 1))
    for need in ("max_ms", "max_ram_kib", "max_flash_kib"):
        assert taken(table, **{need: 1e9}) == ["known"]
    assert taken(table_of(row("unknown", np.nan, 1.0, 1, 1)), min_top1=0.01) == []


def test_a_measured_arena_counts_and_else_the_peak_of_the_activations():
    both = row("both", 0.9, 1.0, 20, 1, arena_bytes=50 * 1024)
    assert taken(table_of(both), max_ram_kib=30) == []
    assert taken(table_of(both), max_ram_kib=50) == ["both"]
    assert taken(table_of(row("peak", 0.9, 1.0, 20, 1, arena_bytes=np.nan)), max_ram_kib=20) == ["peak"]
    assert taken(table_of(both).drop(columns="arena_bytes", errors="ignore"), max_ram_kib=20) == ["both"]


def test_of_equally_accurate_ones_the_fastest():
    table = table_of(row("slow", 0.9, 3.0, 1, 1), row("fast", 0.9, 1.0, 1, 1), row("worse", 0.8, 0.5, 1, 1))
    assert taken(table) == ["fast"]
    assert taken(table.iloc[::-1]) == ["fast"]


@pytest.mark.parametrize("name", ["max_ms", "max_ram_kib", "max_flash_kib", "min_top1"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_is_positive(name, value):
    with pytest.raises(UserError, match=f"{name} must be > 0, or left out. Got {value}"):
        Needs(**{name: value})


def test_an_accuracy_is_a_fraction():
    assert Needs(min_top1=1).min_top1 == 1
    for wrong, meant in ((90, r"0\.9"), (1.5, r"0\.015")):
        with pytest.raises(UserError, match=rf"min_top1 is a fraction. Got {wrong}. Did you mean {meant}\?"):
            Needs(min_top1=wrong)


# --- sentences


def test_what_is_taken_is_said_with_its_numbers():
    table = table_of(row("big", 0.9, 12.345, 1500, 2500, half=0.01))
    assert words(table) == (
        "No limit: take big int8, top-1 90.0% (89.0% to 91.0%, n = 1,000), 12.3 ms, 1,500 KiB of RAM, 2,500 KiB of flash."
    )


def test_needs_are_said_in_words():
    needs = {"max_ms": 3.5, "max_ram_kib": 64, "max_flash_kib": 100, "min_top1": 0.855}
    assert words(THREE, **needs).startswith(
        "At most 3.5 ms, at most 64 KiB of RAM, at most 100 KiB of flash, top-1 of at least 85.5%: take middle int8"
    )


def test_a_smaller_one_that_the_images_cannot_tell_apart_is_named():
    said = words(THREE)
    assert said.endswith(
        "middle int8 is not told apart from it by these images (90.0%) and needs 90 KiB of flash, 60 KiB of RAM, 2 ms."
    )
    assert "small int8" not in said  # 82.0 % at best, under 89.0
    touching = table_of(row("best", 0.92, 4.0, 9, 400), row("other", 0.88, 1.0, 9, 90))
    assert "other int8 is not told apart" in words(touching)  # their intervals end at 90.0 % both
    for size, named in ((90, False), (86, False), (85, True)):  # a twentieth of 90 is 4.5
        table = table_of(row("best", 0.92, 4.0, 9, 90), row("other", 0.91, 1.0, 9, size))
        assert ("told apart" in words(table)) == named
    smallest = table_of(row("best", 0.92, 4.0, 9, 400), row("a", 0.915, 1.0, 9, 90), row("b", 0.91, 2.0, 9, 80))
    assert "b int8 is not told apart" in words(smallest)


def test_the_smaller_one_is_told_apart_by_the_pair():
    told = [pair("large", "middle", 0.01, 0.01), pair("large", "small", 0.11, 0.2)]
    assert "told apart" not in choose_row(THREE, pairs=pd.DataFrame(told[:1]))[1]
    assert "small int8 is not told apart" in choose_row(THREE, pairs=pd.DataFrame(told))[1]


def test_where_nothing_fits_the_nearest_is_named():
    assert words(THREE, max_ram_kib=50, min_top1=0.85) == (
        "At most 50 KiB of RAM, top-1 of at least 85.0%: nothing fits. small int8 comes nearest, but has top-1 80.0%."
    )
    # middle: 60 KiB of 10, five times too many, and 2 ms of 1; small: 20 KiB of 10 and 1 ms
    assert words(THREE, max_ms=0.5, max_ram_kib=10, max_flash_kib=10).endswith(
        "small int8 comes nearest, but has 1 ms, 20 KiB of RAM, 30 KiB of flash."
    )
    near = table_of(row("slow", 0.9, 1.4, 9, 9), row("inexact", 0.5, 1.0, 9, 9))
    assert "slow int8 comes nearest" in words(near, max_ms=1, min_top1=0.89)  # 40 % too slow; 44 % too inexact
    near = table_of(row("slow", 0.9, 1.3, 9, 9), row("inexact", 0.65, 1.0, 9, 9))
    assert "inexact int8 comes nearest" in words(near, max_ms=1, min_top1=0.89)  # 30 % too slow; 27 % too inexact
    near = table_of(row("slow", 0.9, 2.5, 9, 9), row("large", 0.9, 1.0, 9, 12))
    assert "large int8 comes nearest" in words(near, max_ms=2, max_flash_kib=10)  # 25 % too slow; 20 % too large
