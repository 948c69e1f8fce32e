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
SCALES = {"grid": {"phi": [round(0.05 * i, 2) for i in range(POINTS)]}}
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


TRIVIAL, COMPUTES, SCALING = "trivial points", "half a second of computing", "01_scaling"


@pytest.mark.parametrize("point", [TRIVIAL, COMPUTES, SCALING])
def test_two_workers_against_one(tmp_path, point):
    """The start of workers and of the server of their kernels is counted, too: it is a quarter of 32 short points.

    So of short points the time from the second one on is held; of points that are a notebook of ours, the whole.
    """
    notebook, grid = point, SCALES
    if point != SCALING:
        tiny = nbformat.read(TINY, as_version=4)
        tiny.cells += [nbformat.v4.new_code_cell(_COMPUTES)] if point == COMPUTES else []
        notebook, grid = tmp_path / "point.ipynb", {"grid": {"x": [float(i) for i in range(POINTS)]}}
        nbformat.write(tiny, notebook)
    walls, later = {}, {}
    for workers in (1, 2):
        ended: dict[int, float] = {}
        with Cost() as cost:
            sweep(
                notebook,
                grid,
                out=tmp_path / f"{workers}",
                workers=workers,
                watch=lambda *, finished, ended=ended, **_: ended.setdefault(finished, time.perf_counter()),
            )
        walls[workers], later[workers] = cost.wall, ended[POINTS] - ended[2]
        print(f"\n{POINTS} points, {workers} workers: {cost}; without the first two {later[workers]:.1f} s")
    whole, short = walls[1] / walls[2], later[1] / later[2]
    print(f"two workers, {point}: {whole:.2f} times as fast; without the first two points {short:.2f}")
    if point != TRIVIAL and os.getloadavg()[0] < 2.5:
        assert (whole if point == SCALING else short) >= 1.6


def test_beside_papermill(tmp_path):
    notebook = notebooks_dir() / "01_scaling.ipynb"
    with Cost() as ours:
        sweep("01_scaling", SCALES, out=tmp_path / "sweep", workers=2)
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
