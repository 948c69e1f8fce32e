"""Fronts and choices on tables made by hand: who beats whom, what meets a budget, which one is taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.studies.tradeoffs import Needs, choose, on_front, tradeoffs

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
    return table.loc[choose(table, Needs(**needs))[0], "model"].tolist()


def words(table: pd.DataFrame, **needs: float) -> str:
    return choose(table, Needs(**needs))[1]


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
    on = on_front(table, "p50_ms", "top1")
    assert on.tolist() == front
    assert list(on.index) == ["a", "b"]


def test_lower_is_better_for_sizes_and_higher_for_accuracy():
    table = pd.DataFrame({"size_bytes": [10, 20], "params": [5, 4], "top1": [0.9, 0.8]})
    assert on_front(table, "size_bytes", "params").tolist() == [True, True]
    assert on_front(table, "size_bytes", "top1").tolist() == [True, False]


@pytest.mark.parametrize(
    ("second", "front"),
    [
        ((0.70, 0.68, 0.72), [True, False]),  # below for certain
        ((0.79, 0.77, 0.81), [True, True]),  # the intervals overlap: it may be the better one
        ((0.77, 0.76, 0.78), [True, False]),  # they touch: at best as accurate, and slower
        ((0.70, np.nan, np.nan), [True, False]),  # without an interval the number itself counts
    ],
)
def test_a_row_is_beaten_only_for_certain(second, front):
    table = pd.DataFrame([(1.0, 0.80, 0.78, 0.82), (2.0, *second)], columns=["p50_ms", "top1", "top1_lo", "top1_hi"])
    assert on_front(table, "p50_ms", "top1").tolist() == front


def test_half_an_interval_is_none():
    table = pd.DataFrame({"p50_ms": [1.0, 2.0], "top1": [0.8, 0.79], "top1_hi": [0.82, 0.9]})
    assert on_front(table, "p50_ms", "top1").tolist() == [True, False]


def test_a_front_knows_its_axes():
    with pytest.raises(UserError, match="Did you mean 'p50_ms'"):
        on_front(pd.DataFrame({"p50": [1.0]}), "p50", "top1")


def test_rows_that_all_three_tables_have():
    accuracy = pd.DataFrame([FILE | {"data": "d", "n_images": 9, "top1": 0.5, "top1_lo": 0.4, "top1_hi": 0.6}])
    latency = pd.DataFrame([FILE | {"p50_ms": 2.0}, FILE | {"scheme": "float32", "p50_ms": 1.0}])
    known = {*accuracy, *latency, "size_bytes"}
    rest = dict.fromkeys((name for name in frames.TRADEOFFS.columns if name not in known), 7)
    memory = pd.DataFrame([FILE | rest | {"size_bytes": 3}])
    joined = tradeoffs(accuracy, latency, memory)
    assert joined[["scheme", "top1", "p50_ms", "size_bytes"]].to_numpy().tolist() == [["int8", 0.5, 2.0, 3]]
    with pytest.raises(pd.errors.MergeError):
        tradeoffs(accuracy, pd.concat([latency, latency]), memory)


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
    assert "told apart" not in words(
        table_of(row("best", 0.92, 4.0, 9, 90), row("other", 0.91, 1.0, 9, 90))
    )  # not smaller
    smallest = table_of(row("best", 0.92, 4.0, 9, 400), row("a", 0.915, 1.0, 9, 90), row("b", 0.91, 2.0, 9, 80))
    assert "b int8 is not told apart" in words(smallest)


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
