"""Sweeps of a trivial notebook in processes that are killed: how they are started, hurt and looked at afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import nbformat
import pandas as pd
import psutil

from effnet_lab.regress import kernel_server

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "notebooks" / "tiny.ipynb"
MARK = "EFFNET_LAB_DRILL"  # environment variable: what a drill started, and what that started
PATIENCE_S = 900  # a busy machine is no failure
KERNEL, SERVER, WORKER = "kernel", "server of kernels", "worker"  # kinds of processes
COMMAND = [sys.executable, "-c", "from effnet_lab.cli import main; main()"]


def write_grid(path: Path, n: int, **fixed: object) -> Path:
    """A grid of n points of the trivial notebook."""
    path.write_text(json.dumps({"grid": {"x": [float(i) for i in range(n)]}, "fixed": fixed}))
    return path


class Drill:
    """One sweep, its folder, and every process that comes of it."""

    def __init__(self, folder: Path, n: int, *arguments: str, **fixed: object) -> None:
        self.n, self.out = n, folder / "out"
        self.grid = write_grid(folder / "grid.json", n, **fixed)
        self.arguments = arguments
        self.mark = uuid.uuid4().hex
        self.environment = os.environ | {
            MARK: self.mark,
            "PYTHONPATH": str(ROOT),
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
        }

    def command(self, *more: str) -> list[str]:
        return [*COMMAND, "sweep", str(TINY), "--grid", str(self.grid), "--out", str(self.out), *self.arguments, *more]

    def start(self, *more: str, command: list[str] | None = None) -> subprocess.Popen[str]:
        """The sweep, or another command of the drill, in the background."""
        return subprocess.Popen(
            command or self.command(*more),
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def resume(self, *, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """The same command again, to its end."""
        self.arguments = arguments
        return subprocess.run(self.command(), env=self.environment, text=True, capture_output=True, timeout=PATIENCE_S)

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """Those of the drill, or those of them that are of this kind."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                mine = process.environ().get(MARK) == self.mark and (not kind or kind_of(process) == kind)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:  # it ended while it was looked at
                continue
        return found

    def n_finished(self) -> int:
        return len(list((self.out / "points").glob("*/point.json")))

    def wait_for(self, what: Callable[[], object], running: subprocess.Popen[str]) -> None:
        """Until it is so; the sweep must not end before."""
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < end, "it never came to that"
            time.sleep(0.05)

    def kill_one(self, kind: str, rng: random.Random, running: subprocess.Popen[str]) -> bool:
        """Kill -9 a process of that kind, some random time after one is there."""
        while not self.processes(kind) and running.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1.5))
        victims = self.processes(kind)
        try:
            rng.choice(victims).kill()
        except (IndexError, psutil.NoSuchProcess):
            return False
        return True

    def assert_nothing_is_left(self) -> None:
        """No process, within the seconds that a kernel takes to see that its parent is gone."""
        end = time.monotonic() + 200
        while self.processes() and time.monotonic() < end:
            time.sleep(0.2)
        assert not (left := self.processes()), [process.info for process in left]

    def assert_whole(self, *, finished: int | None = None) -> None:
        """Every file parses; every point is there once, or listed as failed."""
        assert_files_parse(self.out)
        if finished is not None:
            assert self.n_finished() == finished
            table = pd.read_parquet(self.out / "results")
            runs = table[(table["frame"] == "point") & (table["what"] == "seconds")]
            assert runs["point"].is_unique
            assert (runs["status"] == "finished").sum() == finished
            done = table[(table["what"] == "top1") & (table["status"] == "finished")]
            assert sorted(done["value"]) == sorted(x * x / 100 for x in done["x"])
            assert len(done) == finished


def kind_of(process: psutil.Process) -> str:
    """A forked kernel has the command line of its server; what has ended has none, and is of no kind."""
    try:
        words = " ".join(process.cmdline())
        if kernel_server.__name__ in words:
            return KERNEL if kernel_server.__name__ in " ".join(psutil.Process(process.ppid()).cmdline()) else SERVER
    except psutil.Error:
        return ""
    if "ipykernel_launcher" in words:
        return KERNEL
    return WORKER if "spawn_main" in words else ""


@contextlib.contextmanager
def dask_processes(drill: Drill, workers: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A scheduler and workers as a user starts them, in processes of their own: the address, and the scheduler."""
    dask, place = [sys.executable, "-m", "dask"], drill.grid.with_name("scheduler.json")
    options = ["--scheduler-file", str(place)]
    started = [
        drill.start(command=[*dask, "scheduler", *options, "--port", "0", "--no-dashboard", "--host", "127.0.0.1"])
    ]
    try:
        drill.wait_for(place.exists, started[0])
        for _ in range(workers):
            started.append(drill.start(command=[*dask, "worker", *options, "--nthreads", "1", "--no-dashboard"]))
        yield json.loads(place.read_text())["address"], started[0]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.communicate()


def assert_files_parse(folder: Path) -> None:
    for path in files(folder, "points", "failed", "results"):
        if path.suffix == ".ipynb":
            nbformat.validate(nbformat.read(path, as_version=4))
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".parquet":
            assert len(pd.read_parquet(path))
        elif path.suffix == ".csv":
            assert len(pd.read_csv(path))


def files(folder: Path, *rooms: str) -> Iterable[Path]:
    return (path for room in rooms for path in (folder / room).rglob("*") if path.is_file() and path.name[0] != ".")
