"""What a sweep costs beyond its notebooks: per point, with two workers, and beside papermill's own command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from sweep_drills import ROOT, TINY

from effnet_lab.paths import notebooks_dir
from effnet_lab.regress import sweep

POINTS = int(os.environ.get("POINTS", "32"))
COMMANDS = int(os.environ.get("COMMANDS", "4"))  # of papermill that are measured; all cost alike


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


class Cost:
    """Wall and CPU seconds of a block, those of its processes included."""

    def __enter__(self) -> Cost:
        self._start = time.perf_counter(), self._cpu()
        return self

    def __exit__(self, *_error: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._start[0], self._cpu() - self._start[1]

    @staticmethod
    def _cpu() -> float:
        alive = [psutil.Process(), *psutil.Process().children(recursive=True)]  # a server of kernels outlives its sweep
        return sum(
            sum(process.cpu_times()[:4]) for process in alive
        )  # each with the processes it has seen to their end

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.cpu:.1f} s of CPU, load {os.getloadavg()[0]:.1f}"


def test_overhead_of_a_point(tmp_path):
    sweep(TINY, {"grid": {"x": [0.0]}}, out=tmp_path / "warm")
    with Cost() as cost:
        sweep(TINY, {"grid": {"x": [float(i) for i in range(8)]}}, out=tmp_path / "out")
    print(f"\n8 points of a trivial notebook: {cost}; {cost.cpu / 8:.2f} s of CPU per point")
    assert cost.cpu / 8 < 3


_COMPUTES = """import time
end = time.process_time() + 0.5
while time.process_time() < end:
    sum(range(10_000))"""


@pytest.mark.parametrize("computes", [False, True], ids=["trivial points", "half a second of computing"])
def test_two_workers_against_one(tmp_path, computes):
    """The start of the workers is counted, too: of 32 trivial points it is a tenth of the time."""
    notebook = nbformat.read(TINY, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(_COMPUTES)] if computes else []
    nbformat.write(notebook, tmp_path / "point.ipynb")
    walls, grid = {}, {"grid": {"x": [float(i) for i in range(POINTS)]}}
    for workers in (1, 2):
        with Cost() as cost:
            sweep(tmp_path / "point.ipynb", grid, out=tmp_path / f"{workers}", workers=workers)
        walls[workers] = cost.wall
        print(f"\n{POINTS} points, {workers} workers: {cost}")
    print(f"two workers: {walls[1] / walls[2]:.2f} times as fast")
    if computes and os.getloadavg()[0] < 2.5:
        assert walls[1] / walls[2] >= 1.6


def test_beside_papermill(tmp_path):
    notebook = notebooks_dir() / "01_scaling.ipynb"
    grid = {"grid": {"phi": [round(0.05 * i, 2) for i in range(POINTS)]}}
    with Cost() as ours:
        sweep("01_scaling", grid, out=tmp_path / "sweep", workers=2)
    with Cost() as theirs:
        for i in range(COMMANDS):
            command = [str(Path(sys.executable).with_name("papermill")), str(notebook), str(tmp_path / f"{i}.ipynb")]
            command += [
                "-p",
                "phi",
                str(0.05 * i),
                "-p",
                "out_dir",
                str(tmp_path / f"results{i}"),
                "--kernel",
                "python3",
            ]
            subprocess.run(command, check=True, capture_output=True)
    each = theirs.wall / COMMANDS, theirs.cpu / COMMANDS
    print(f"\nsweep of {POINTS} points: {ours}; papermill: {each[0]:.1f} s, {each[1]:.1f} s of CPU per command")
    print(
        f"per point {ours.wall / POINTS / each[0]:.2f} of the wall time, {ours.cpu / POINTS / each[1]:.2f} of the CPU time"
    )
    assert ours.wall / POINTS <= 0.5 * each[0]
