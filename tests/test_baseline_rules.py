"""What moves a baseline and what does not: every rule at its bound, rows that come and go, what blessing writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from effnet_lab.frames import FRAMES, column
from effnet_lab.names import UserError
from effnet_lab.regress import baselines as comparison
from effnet_lab.regress.baselines import RULES, bless
from effnet_lab.regress.csv_files import read_csv, write_csv
from effnet_lab.regress.rules import Exact, Ratio, Within

KINDS = {"Exact": Exact, "Within": Within, "Ratio": Ratio}
PLACEHOLDER = {"text": "a", "count": 1, "number": 1.0, "fraction": 0.5}


def check(*folders: Path, complete: bool = False) -> pd.DataFrame:
    """The rows that moved."""
    return comparison.check(*folders, complete=complete).table


def rows_of(name: str, *changes: dict) -> pd.DataFrame:
    """Rows of a frame's keys and compared columns, all alike but for what is given."""
    columns = [*FRAMES[name].keys, *RULES[name]]
    alike = {c: PLACEHOLDER[column(c).kind] for c in columns}
    return pd.DataFrame([alike | change for change in changes])


def recorded(folder: Path, name: str, *changes: dict, profile: str = "smoke") -> Path:
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    write_csv(rows_of(name, *changes).assign(profile=profile), folder / "frames" / f"{name}.csv")
    return folder


def blessed(folder: Path, name: str, *changes: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(rows_of(name, *changes), folder / f"{name}.csv")
    return folder


def moved(tmp_path: Path, name: str, was: list[dict], now: list[dict], *, complete: bool = False) -> list[tuple]:
    """(key, what, was, is, allowed) of every finding."""
    table = check(
        recorded(tmp_path / "results", name, *now), blessed(tmp_path / "baselines", name, *was), complete=complete
    )
    assert (table["frame"] == name).all()
    return list(table[["key", "what", "was", "is", "allowed"]].itertuples(index=False, name=None))


# --- rules


@pytest.mark.parametrize(
    ("rule", "was", "near", "far"),
    [
        (("Exact",), 5, (5,), (4, 6)),
        (("Exact",), "conv", ("conv",), ("dense",)),
        (("Within", 0.5), 2.0, (1.5, 2.5), (1.499, 2.501)),
        (("Within", 0.01), 0.95, (0.94, 0.96), (0.9399, 0.9601)),  # binary fractions: 0.95 - 0.94 is a hair over 0.01
        (("Within", 1.0), np.inf, (np.inf,), (-np.inf, 1e300)),
        (("Within", 1.0), -np.inf, (-np.inf,), (np.inf, -1e300)),
        (("Ratio", 2.0), 8.0, (4.0, 8.0, 16.0), (3.99, 16.01, 0.0, -8.0)),
        (("Ratio", 2.0), 0.0, (0.0,), (1e-9, -1e-9)),
        (("Ratio", 2.0), -3.0, (-3.0,), (-2.9, 3.0)),
        (("Ratio", 2.0), -0.5, (-0.5,), (-0.4, 0.5)),
        (("Ratio", 1.0), 8.0, (8.0,), (8.001,)),
    ],
    ids=str,
)
def test_a_rule_at_its_bounds(rule, was, near, far):
    kind, *numbers = rule
    made = KINDS[kind](*numbers)
    assert all(made.allows(was, now) for now in near)
    assert not any(made.allows(was, now) for now in far)
    assert all(made.allows(now, was) for now in near)  # neither way round


def test_rules_say_themselves():
    assert [str(rule) for rule in (Exact(), Within(0.1), Ratio(1.01))] == ["exactly", "± 0.1", "x or / 1.01"]


# A number beside its baseline: frame, column, baseline, what may come of it, what may not. The allowances are a promise.
ALLOWANCES = [
    ("layer_error", "sqnr_accumulated_db", 30.0, (29.0, 31.0), (28.99, 31.01)),
    ("layer_error", "float_min", -8.0, (-7.992, -8.008), (-7.991, -8.009)),
    ("layer_error", "float_max", 0.5, (0.501, 0.499), (0.5011, 0.4989)),
    ("layer_error", "scale", 0.02, (0.02002, 0.01998), (0.020021, 0.019979)),
    ("layer_error", "weight_sqnr_db", 40.0, (39.9, 40.1), (39.89, 40.11)),
    ("layer_error", "weight_worst_channel_sqnr_db", 40.0, (39.9, 40.1), (39.89, 40.11)),
    ("layer_effect", "sqnr_effect_db", 40.0, (39.0, 41.0), (38.99, 41.01)),
    ("accuracy", "top1", 0.9, (0.89, 0.91), (0.889, 0.911)),
    ("latency", "relative_p50", 1.0, (1 / 3, 3.0), (0.333, 3.01)),
    ("memory", "size_bytes", 10_000, (10_100, 9_901), (10_101, 9_900)),
    ("ethosu", "inference_ms", 1.0, (1.02, 1 / 1.02), (1.021, 0.98)),
    ("repair", "top1", 0.9, (0.88, 0.92), (0.879, 0.921)),
    ("activation_style", "float_top1", 0.9, (0.89, 0.91), (0.889, 0.911)),
    ("activation_style", "int8_top1", 0.9, (0.87, 0.93), (0.869, 0.931)),
    ("claims", "ours", 100.0, (100.01, 99.991), (100.02, 99.98)),
    ("grid_effects", "variance_share", 0.25, (0.2500009, 0.2499991), (0.250002, 0.249998)),
]


@pytest.mark.parametrize(("name", "what", "was", "near", "far"), ALLOWANCES, ids=lambda value: str(value))
def test_how_far_a_number_may_go(tmp_path, name, what, was, near, far):
    key, values = FRAMES[name].keys[0], (*near, *far)
    found = moved(
        tmp_path, name,
        [{key: f"row {i}", what: was} for i, _ in enumerate(values)],
        [{key: f"row {i}", what: now} for i, now in enumerate(values)],
    )  # fmt: skip
    assert [(column_name, before, after) for _, column_name, before, after, _ in found] == [
        (what, was, now) for now in far
    ]


def test_everything_else_that_is_compared_is_compared_exactly():
    tolerant = {(name, what) for name, what, *_ in ALLOWANCES}
    for name, rules in RULES.items():
        for what, rule in rules.items():
            assert what in FRAMES[name].columns
            assert (rule == Exact()) == ((name, what) not in tolerant), (name, what)


def test_no_time_is_a_baseline():
    """Milliseconds belong to one machine; those of the NPU are a model's."""
    timed = {(name, what) for name, rules in RULES.items() for what in rules if what.endswith("_ms")}
    assert timed == {("ethosu", "inference_ms")}


# --- cells


NAN = float("nan")


@pytest.mark.parametrize(
    ("was", "now", "found"),
    [(NAN, NAN, 0), (NAN, 30.0, 1), (30.0, NAN, 1), (np.inf, np.inf, 0), (np.inf, NAN, 1), (np.inf, 30.0, 1)],
)
def test_nan_equals_nan_only(tmp_path, was, now, found):
    assert len(moved(tmp_path, "layer_error", [{"sqnr_accumulated_db": was}], [{"sqnr_accumulated_db": now}])) == found


def test_a_finding_says_what_was_and_is_and_may_be(tmp_path):
    keys = {"model": "micro0", "scheme": "int8", "backend": "converter", "data": "scenes"}
    (found,) = moved(tmp_path, "accuracy", [keys | {"top1": 0.9}], [keys | {"top1": 0.8}])
    assert found == ("micro0 | int8 | converter | scenes", "top1", 0.9, 0.8, "± 0.01")
    (found,) = moved(
        tmp_path / "one key", "variants", [{"model": "lite0", "params": 5}], [{"model": "lite0", "params": 6}]
    )
    assert found == ("lite0", "params", 5, 6, "exactly")


def test_every_cell_is_looked_at_and_findings_come_row_by_row(tmp_path):
    was = [{"model": m, "top1": 0.5, "n_images": 10} for m in "ab"]
    now = [{"model": "a", "top1": 0.6, "n_images": 11}, {"model": "b", "top1": 0.7, "n_images": 10}]
    found = moved(tmp_path, "accuracy", was, now)
    assert [(key[0], what) for key, what, *_ in found] == [("a", "n_images"), ("a", "top1"), ("b", "top1")]


def test_findings_come_in_the_order_of_the_baseline(tmp_path):
    was, now = ([{"model": m, "top1": top1} for m in "cab"] for top1 in (0.1, 0.9))
    assert [key[0] for key, *_ in moved(tmp_path, "accuracy", was, now)] == ["c", "a", "b"]
    gone = moved(tmp_path / "gone", "accuracy", [{"model": m} for m in "xcab"], [{"model": "x"}], complete=True)
    assert [key[0] for key, *_ in gone] == ["c", "a", "b"]


def test_rows_are_compared_by_key_and_not_by_place(tmp_path):
    rows = [{"model": "a", "top1": 0.1}, {"model": "b", "top1": 0.9}]
    assert moved(tmp_path, "accuracy", rows, rows[::-1]) == []


def test_a_column_that_the_baseline_lacks_has_moved(tmp_path):
    results, baselines = tmp_path / "results", blessed(tmp_path / "baselines", "accuracy", {"top1": 0.5})
    recorded(results, "accuracy", {"top1": 0.5})
    path = baselines / "accuracy.csv"
    write_csv(read_csv(path).drop(columns="top1"), path)
    (found,) = check(results, baselines)[["what", "is"]].itertuples(index=False, name=None)
    assert found == ("top1", 0.5)


def test_only_rows_of_the_smoke_profile_count(tmp_path):
    baselines = blessed(tmp_path / "baselines", "accuracy", {"top1": 0.9})
    with pytest.raises(UserError, match="No smoke rows in"):
        check(recorded(tmp_path / "results", "accuracy", {"top1": 0.1}, profile="full"), baselines)


def test_nothing_to_compare_is_refused(tmp_path):
    results = recorded(tmp_path / "results", "accuracy", {"model": "a"})
    with pytest.raises(UserError, match=r"No row of .*results has a baseline in .*baselines\."):
        check(results, blessed(tmp_path / "baselines", "accuracy", {"model": "b"}))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="No row of"):
        check(results, tmp_path / "none")
    with pytest.raises(UserError, match="Run the notebooks first"):
        check(tmp_path / "none", tmp_path / "baselines")


# --- rows that came or went


def test_a_partial_run_says_nothing_of_rows_without_partner(tmp_path):
    was, now = [{"model": "a"}, {"model": "b"}], [{"model": "a"}, {"model": "c"}]
    assert moved(tmp_path, "accuracy", was, now) == []


def test_a_complete_run_names_files_that_went_and_came(tmp_path):
    was, now = [{"model": "a"}, {"model": "gone"}], [{"model": "a"}, {"model": "new"}]
    assert moved(tmp_path, "accuracy", was, now, complete=True) == [
        ("gone | a | a | a", "row", "recorded", "missing (1 row)", "a row"),
        ("new | a | a | a", "row", "no baseline", "recorded (1 row)", "no row"),
    ]


def test_many_rows_of_one_file_are_one_finding(tmp_path):
    gone = [{"model": "gone", "layer": f"l{i}", "layer_index": i} for i in range(3)]
    (found,) = moved(tmp_path, "layer_error", [{"model": "a"}, *gone], [{"model": "a"}], complete=True)
    assert found == ("gone | a | a", "row", "recorded", "missing (3 rows)", "a row")


def test_a_row_of_a_file_that_has_others_is_named_by_its_whole_key(tmp_path):
    layers = [{"layer": f"l{i}", "layer_index": i} for i in range(3)]
    (found,) = moved(tmp_path, "layer_error", layers, layers[:2], complete=True)
    assert found == ("a | a | a | 2 | l2", "row", "recorded", "missing", "a row")
    (found,) = moved(tmp_path / "other way", "layer_error", layers[:2], layers, complete=True)
    assert found == ("a | a | a | 2 | l2", "row", "no baseline", "recorded", "no row")


def test_frames_with_one_key(tmp_path):
    found = moved(tmp_path, "variants", [{"model": "a"}, {"model": "gone"}], [{"model": "a"}], complete=True)
    assert found == [("gone", "row", "recorded", "missing (1 row)", "a row")]
    found = moved(tmp_path / "alike", "variants", [{"model": "a"}, {"model": "ab"}], [{"model": "a"}], complete=True)
    assert found == [("ab", "row", "recorded", "missing (1 row)", "a row")]


def test_a_complete_run_against_nothing_names_everything(tmp_path):
    (tmp_path / "none").mkdir()
    table = check(recorded(tmp_path / "results", "accuracy", {"model": "a"}), tmp_path / "none", complete=True)
    assert table["what"].tolist() == ["row"]


# --- blessing


def test_blessed_rows_have_keys_and_compared_columns_sorted(tmp_path):
    results = recorded(tmp_path / "results", "accuracy", {"model": "b", "top1": 0.25}, {"model": "a", "top1": 0.75})
    (path,) = bless(results, tmp_path / "baselines")
    assert path == tmp_path / "baselines" / "accuracy.csv"
    assert path.read_text(encoding="utf-8") == (
        "model,scheme,backend,data,n_images,top1\na,a,a,a,1,0.75\nb,a,a,a,1,0.25\n"
    )
    assert bless(results, tmp_path / "baselines") == []  # nothing changed
    assert len(check(results, tmp_path / "baselines", complete=True)) == 0


def test_a_partial_blessing_keeps_other_rows_and_a_complete_one_drops_them(tmp_path):
    baselines = blessed(tmp_path / "baselines", "accuracy", {"model": "a", "top1": 0.25}, {"model": "b", "top1": 0.25})
    blessed(baselines, "memory", {"model": "z"})
    results = recorded(tmp_path / "results", "accuracy", {"model": "b", "top1": 0.75}, {"model": "c", "top1": 1.0})
    assert [path.name for path in bless(results, baselines)] == ["accuracy.csv"]
    table = read_csv(baselines / "accuracy.csv")
    assert dict(zip(table["model"], table["top1"], strict=True)) == {"a": 0.25, "b": 0.75, "c": 1.0}
    assert sorted(path.name for path in bless(results, baselines, complete=True)) == ["accuracy.csv", "memory.csv"]
    assert read_csv(baselines / "accuracy.csv")["model"].tolist() == ["b", "c"]
    assert not (baselines / "memory.csv").exists()
    assert bless(results, baselines, complete=True) == []


def test_how_many_numbers_were_compared(tmp_path):
    results = recorded(tmp_path / "results", "accuracy", {"model": "a"}, {"model": "b"}, {"model": "c"})
    recorded(results, "claims", {})
    baselines = blessed(tmp_path / "baselines", "accuracy", {"model": "a"}, {"model": "b"})
    blessed(baselines, "claims", {})
    assert comparison.check(results, baselines).n_compared == 2 * 2 + 2
