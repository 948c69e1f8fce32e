"""A latency as a regression test: 40 times nothing changed, 40 times a file became 5 % slower.

Wants a quiet machine; with LOAD=ignored the guard's verdict on the machine is not asked.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

from effnet_lab.bench import latency
from effnet_lab.litert import Runner
from effnet_lab.regress import check_latency

TRIALS = int(os.environ.get("TRIALS", "40"))
SLOWER = 0.05


class SlowedRunner(Runner):
    """The marked file computes 5 % longer."""

    marked = ""

    def __init__(self, model, **options) -> None:
        super().__init__(model, **options)
        self._slow = str(model) == self.marked

    def invoke(self) -> None:
        begin = time.process_time_ns()
        super().invoke()
        if self._slow:
            end = begin + (1 + SLOWER) * (time.process_time_ns() - begin)
            while time.process_time_ns() < end:
                pass


@pytest.fixture
def files(tmp_path):
    from effnet_lab.quantize import export

    (path,) = export("micro3", tmp_path, format="int8").files
    return [shutil.copy(path, tmp_path / "released.tflite"), path]


def test_alarms(files, tmp_path, monkeypatch):
    if os.environ.get("LOAD") == "ignored":  # ratios of CPU time bear other programs; the guard does not know how much
        monkeypatch.setattr(latency.Watch, "guard", lambda _watch, _runs: "quiet")
    profile = tmp_path / "profile.json"
    for _ in range(5):
        check_latency(files, profile, store=True)
    start, found = time.process_time(), {"same": [], "slower": []}
    for truth in found:
        if truth == "slower":
            monkeypatch.setattr(SlowedRunner, "marked", str(files[1]))
            monkeypatch.setattr(latency, "Runner", SlowedRunner)
        for _ in range(TRIALS):
            found[truth].append(check_latency(files, profile).table.iloc[0])
    for truth, rows in found.items():
        verdicts = [row["verdict"] for row in rows]
        print(f"\ntrue: {truth}; verdicts: { {name: verdicts.count(name) for name in sorted(set(verdicts))} }; "
              f"changes {min(row['change'] for row in rows):+.3f} to {max(row['change'] for row in rows):+.3f}, "
              f"give or take {max(row['change_hi'] - row['change'] for row in rows):.3f}")  # fmt: skip
    print(f"{(time.process_time() - start) / TRIALS / 2:.2f} s of CPU per trial, load {os.getloadavg()[0]:.1f}")
    verdicts = {truth: [row["verdict"] for row in rows] for truth, rows in found.items()}
    assert verdicts["same"].count("slower") + verdicts["same"].count("faster") == 0
    assert verdicts["slower"].count("slower") >= 0.95 * TRIALS
