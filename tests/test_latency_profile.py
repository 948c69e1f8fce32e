"""A latency as a regression test, by ratios whose truth is known; tests/benchmarks/test_latency_alarms.py has the real ones."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from effnet_lab.names import UserError
from effnet_lab.regress import check_latency, latency_profile

HALF = 0.003 * t.ppf(0.975, latency_profile.BLOCKS - 1)  # of the 95 % interval of a ratio whose standard error is 0.3 %


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """`check_latency` of two files whose ratio is what the test says."""
    files = [tmp_path / "reference.tflite", tmp_path / "mine.tflite"]
    for path in files:
        path.write_bytes(path.name.encode())

    def run(ratio: float, *, host: str = "desk", guard: str = "quiet", **options):
        ends = {
            "relative_p50": ratio,
            "relative_p50_lo": ratio * math.exp(-HALF),
            "relative_p50_hi": ratio * math.exp(HALF),
        }
        rows = pd.DataFrame([dict.fromkeys(ends, 1.0), ends]).assign(host=host, guard=guard)
        monkeypatch.setattr(latency_profile, "measure_latency", lambda *_files, **_how: rows)
        return check_latency(files, tmp_path / "profile.json", **options)

    return run


def test_the_first_run_makes_a_profile(measure):
    found = measure(2.0, store=True)
    assert (found.table["verdict"].tolist(), found.stored, found.slower) == (["new"], 1, False)
    assert measure(2.0, store=True).stored == 2


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(2.0, "same"), (2.03, "same"), (1.97, "same"), (2.11, "slower"), (1.9, "faster"), (2.4, "slower")],
)
def test_a_change_beyond_chance_is_told(measure, ratio, verdict):
    for stored in (1.99, 2.0, 2.01):
        measure(stored, store=True)
    found = measure(ratio)
    (row,) = found.table.to_dict("records")
    assert (row["verdict"], found.slower) == (verdict, verdict == "slower")
    assert row["change_lo"] < ratio / 2 - 1 < row["change_hi"]
    assert row["was"] == pytest.approx(2.0, rel=1e-3)


def test_what_moves_by_itself_widens_the_interval(measure):
    for stored in (1.9, 2.0, 2.1, 1.95, 2.05):
        measure(stored, store=True)
    assert measure(2.11).table["verdict"].tolist() == ["same"]


def test_a_busy_machine_gets_no_verdict_and_no_place_in_the_profile(measure):
    measure(2.0, store=True)
    found = measure(9.0, store=True, guard="contention: much")
    assert (found.table["verdict"].tolist(), found.stored) == (["none"], 1)


def test_the_drift_of_a_clock_moves_both_files(measure):
    measure(2.0, store=True)
    assert measure(2.3, guard="drift: CPU times changed").table["verdict"].tolist() == ["slower"]


def test_a_busy_machine_is_measured_again(tmp_path, measure, monkeypatch):
    measure(2.0, store=True)
    guards, first = ["contention: much", "quiet", "quiet"], latency_profile.measure_latency

    def busy_at_first(*models, **how):
        return first(*models, **how).assign(guard=guards.pop(0))

    monkeypatch.setattr(latency_profile, "measure_latency", busy_at_first)
    found = check_latency([tmp_path / "reference.tflite", tmp_path / "mine.tflite"], tmp_path / "profile.json")
    assert (found.table["verdict"].tolist(), len(guards)) == (["same"], 1)


def test_false_alarms_are_rare_where_ratios_wander_as_they_do():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        logs = rng.normal(0, 0.008, 4) + rng.normal(0, 0.003, 4)
        stored = [{"log": log, "error": 0.003} for log in logs[:3]]
        ratio = math.exp(logs[3])
        row = {
            "relative_p50": ratio,
            "relative_p50_lo": ratio * math.exp(-HALF),
            "relative_p50_hi": ratio * math.exp(HALF),
        }
        alarms += latency_profile._judged(stored, row | {"guard": "quiet"})["verdict"] != "same"
    assert alarms <= 6  # 1.5 %


@pytest.mark.parametrize("content", ["", "[]", '{"about": 1, "files": {}}'])
def test_what_is_no_profile_is_refused(measure, tmp_path, content):
    with pytest.raises(UserError, match="There is no latency profile"):
        measure(1.0)
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(UserError, match="is no latency profile"):
        measure(1.0, store=True)


def test_a_profile_belongs_to_one_host_and_one_reference(measure, tmp_path):
    measure(2.0, store=True)
    with pytest.raises(UserError, match=r"is a profile of another host \(desk\)"):
        measure(2.0, host="laptop")
    (tmp_path / "reference.tflite").write_bytes(b"another")
    with pytest.raises(UserError, match="is a profile of another reference"):
        measure(2.0)
    with pytest.raises(UserError, match="is compared with a reference"):
        check_latency([tmp_path / "mine.tflite"], tmp_path / "profile.json")
