"""Everything that can die dies at random moments of a sweep of 16 points, five times each; then a sweep of 10,000."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from sweep_drills import KERNEL, PATIENCE_S, SERVER, TINY, WORKER, Drill, dask_processes

N = 16
SEEDS = range(5)


def finish(drill: Drill) -> None:
    """What is true after any fault: nothing runs, all files parse, and the same command completes the rest."""
    drill.assert_nothing_is_left()
    drill.assert_whole()
    before = drill.n_finished()
    done = drill.resume(arguments=("--workers", "2"))
    assert f"{N} of {N} points finished" in done.stdout, done.stdout + done.stderr
    drill.assert_whole(finished=N)
    drill.assert_nothing_is_left()
    print(f"{before} of {N} were finished before the same command was given again")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "times"), [(KERNEL, 3), (SERVER, 2), (WORKER, 2)])
def test_some_are_killed(tmp_path, kind, times, seed):
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", "2", wait_s=0.3)
    run = drill.start()
    killed = 0
    for _ in range(times):
        time.sleep(rng.uniform(0, 3))
        killed += drill.kill_one(kind, rng, run)
    run.communicate(timeout=PATIENCE_S)
    assert killed
    finish(drill)


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_are_killed_before_they_are_up(tmp_path, seed):
    """The sweep goes on with those that take their place."""
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", "2", wait_s=0.1)
    run = drill.start()
    for _ in range(3):
        drill.wait_for(lambda: drill.processes(WORKER), run)
        time.sleep(rng.uniform(0, 0.8))
        for process in drill.processes(WORKER):
            process.kill()
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, out + err
    drill.assert_whole(finished=N)
    drill.assert_nothing_is_left()


def test_workers_that_never_come_up_end_the_sweep(tmp_path):
    drill = Drill(tmp_path, 2, "--workers", "2")
    drill.environment["DASK_DISTRIBUTED__WORKER__PRELOAD"] = "no_such_module"
    out, err = (run := drill.start()).communicate(timeout=PATIENCE_S)
    assert run.returncode == 1, out + err
    assert "Workers end again and again before they are up. Stopped after 0 of 2 points" in err.splitlines()[-1]
    drill.assert_nothing_is_left()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scheduler_is_killed(tmp_path, seed):
    rng, drill = random.Random(seed), Drill(tmp_path, N, wait_s=0.3)
    with dask_processes(drill, workers=2) as (address, scheduler):
        run = drill.start("--cluster", address)
        drill.wait_for(lambda: drill.processes(KERNEL), run)
        time.sleep(rng.uniform(0, 8))
        scheduler.kill()
        _out, err = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 1, err
    finish(drill)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_sweep_is_killed(tmp_path, seed, workers):
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", workers, wait_s=0.3)
    for _ in range(2):
        run = drill.start()
        drill.wait_for(lambda: drill.processes(KERNEL), run)
        time.sleep(rng.uniform(0, 6))
        run.kill()
        run.communicate()
        drill.assert_nothing_is_left()
        drill.assert_whole()
    finish(drill)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_disk_is_full(tmp_path, seed):
    """A small file system in a name space of its own; it is filled up while the sweep runs."""
    rng, drill = random.Random(seed), Drill(tmp_path, N, wait_s=0.1)
    drill.out.mkdir()
    size = rng.randrange(150, 500)
    inside = " && ".join(
        [f"mount -t tmpfs -o size={size}k none '{drill.out}'",
         f"('{drill.command()[0]}' -c \"{drill.command()[2]}\" {' '.join(drill.command()[3:])} || true)",
         f"cp -r '{drill.out}' '{tmp_path}/kept'"]
    )  # fmt: skip
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside], env=drill.environment, text=True,
        capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert "No space left" in run.stderr, run.stdout + run.stderr
    assert len(run.stderr.strip().splitlines()[-1]) <= 300
    drill.out.rmdir()
    (tmp_path / "kept").rename(drill.out)
    finish(drill)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_notebook_becomes_unreadable(tmp_path, seed):
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", "2", wait_s=0.3)
    mine = tmp_path / "tiny.ipynb"
    mine.write_bytes(TINY.read_bytes())
    command = [str(mine) if word == str(TINY) else word for word in drill.command()]
    run = drill.start(command=command)
    drill.wait_for(lambda: drill.processes(KERNEL), run)
    time.sleep(rng.uniform(0, 6))
    mine.write_bytes(TINY.read_bytes()[: rng.randrange(1, 800)])
    (drill.out / "tiny.ipynb").write_bytes(b"{")  # and the copy that the sweep runs
    run.communicate(timeout=PATIENCE_S)
    drill.assert_whole()
    refused = subprocess.run(command, env=drill.environment, text=True, capture_output=True, timeout=PATIENCE_S)
    assert refused.returncode == 2
    assert "is not a notebook" in refused.stderr
    finish(drill)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_point_hangs(tmp_path, seed):
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", "2", "--timeout", "20", wait_s=0.1)
    grid = json.loads(drill.grid.read_text())
    points = [{"x": x} | grid["fixed"] for x in grid["grid"]["x"]]
    rng.choice(points)["wait_s"] = 3600.0
    drill.grid.write_text(json.dumps({"points": points}))
    run = drill.start()
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1, err
    assert f"{N - 1} of {N} points finished, 1 failed" in out
    assert "timeout" in out
    drill.assert_nothing_is_left()
    drill.assert_whole(finished=N - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_sweeps_into_one_folder(tmp_path, seed):
    rng, drill = random.Random(seed), Drill(tmp_path, N, "--workers", "2", wait_s=0.2)
    run = drill.start()
    drill.wait_for(lambda: drill.processes(KERNEL), run)
    time.sleep(rng.uniform(0, 4))
    second = subprocess.run(drill.command(), env=drill.environment, text=True, capture_output=True, timeout=PATIENCE_S)
    assert second.returncode == 2, second.stdout + second.stderr
    assert "Another sweep is at work" in second.stderr
    run.communicate(timeout=PATIENCE_S)
    drill.assert_whole(finished=N)
    finish(drill)


_MANY = """
import json, sys, time
from pathlib import Path
from effnet_lab.regress.sweeps import point_run, schedule
from effnet_lab.regress import sweep
import contextlib, shutil

def quick(source, draft, values, **_more):  # the notebook's cells in this process: 10,000 kernels would take hours
    cells = [c for c in json.loads(Path(source).read_bytes())["cells"] if c["cell_type"] == "code"]
    space = {}
    exec("".join(cells[0]["source"]), space)
    space.update(values)
    for cell in cells[1:]:
        exec("".join(cell["source"]), space)
    shutil.copy(source, draft)

@contextlib.contextmanager
def in_process_workers(workers, _cluster):
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        with Client(cluster, set_as_default=False) as client:
            yield schedule.OnDask(client, "gone")

point_run.execute = quick
def put(raw, target, _name, **_moved):
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(raw.read_bytes())

point_run.save_notebook = put
from effnet_lab.regress.sweeps import sweep as module
module.runner = in_process_workers
done = sweep(sys.argv[1], sys.argv[2], out=sys.argv[3], workers=4)
print(done.sentence)
"""


def test_ten_thousand_points_with_random_kills(tmp_path):
    n, rng, kills, start = int(os.environ.get("POINTS", "10000")), random.Random(0), 0, time.monotonic()
    drill = Drill(tmp_path, n)
    drill.grid.write_text(json.dumps({"grid": {"x": [float(i) for i in range(n)]}}))
    command = [sys.executable, "-c", _MANY, str(TINY), str(drill.grid), str(drill.out)]
    while True:
        run = drill.start(command=command)
        try:
            out, err = run.communicate(timeout=rng.uniform(10, 40) if kills < 8 else PATIENCE_S * 10)
            break
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
            kills += 1
            drill.assert_nothing_is_left()
    assert run.returncode == 0, out + err
    print(f"\n{out.strip()} {kills} kills, {time.monotonic() - start:.0f} s, load {os.getloadavg()[0]:.1f}")
    assert kills
    drill.assert_nothing_is_left()
    drill.assert_whole(finished=n)
    began = time.monotonic()
    assert pd.read_parquet(drill.out / "results")["point"].nunique() == n
    print(f"pandas reads its {n:,} parts in {time.monotonic() - began:.1f} s")
