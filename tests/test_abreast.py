"""Several notebooks at a time: what is left is what one after the other leaves, and whoever measures is alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from sweep_drills import KERNEL, Drill

from effnet_lab.bench.alone import BESIDE, alone, turn
from effnet_lab.names import UserError
from effnet_lab.regress.abreast import run_each
from effnet_lab.regress.drafts import WORK
from effnet_lab.regress.notebooks import execute_notebooks
from effnet_lab.regress.recording import read_frame

POSIX = pytest.mark.skipif(os.name != "posix", reason="processes are copied and stopped with what POSIX has")
FIRST = """seconds: float = 0.0  # before anything is shown
fails: bool = False  # at the end
out_dir: str = "results"  # where it goes
profile: str = "smoke"  # how much"""
SHOW = """import time
from pathlib import Path
import plotly.graph_objects as go
from effnet_lab import frames
from effnet_lab.regress import recording
show = recording(out_dir, profile)
time.sleep(seconds)
row = {"model": "micro0", "scheme": "float32", "backend": "", "data": "scenes", "n_images": 5, "top1": 0.5, "top1_lo": 0.1}
row |= {"top1_hi": 0.9, "top5": 1.0}
show(frames.build(frames.ACCURACY, [row, row | {"model": NAME}]), "accuracy")
show(go.Figure(layout_title_text=NAME), "same_name")
show.say("said", about="same_name")
(Path(out_dir) / "files").mkdir()
(Path(out_dir) / "files" / "last.txt").write_text(NAME)
print("wrote", out_dir)
assert not fails"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """Kernels import the package of this checkout; signatures of notebooks stay out of the user's home."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))


def notebook(path: Path, *, seconds: float = 0.0, fails: bool = False, first: str = "") -> str:
    parameters = FIRST.replace("0.0", str(seconds), 1).replace("False", str(fails), 1)
    cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(first + SHOW.replace("NAME", repr(path.stem))),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return str(path)


def left_in(out: Path) -> dict:
    """What a run left, without what tells one moment or folder from another."""
    frame = read_frame(out, "accuracy").sort_values("model")[["model", "notebook"]]
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    shown = {path.stem: json.loads(path.read_text())["items"] for path in (out / "shown").glob("*.json")}
    return {
        "rows": frame.to_numpy().tolist(),
        "names": names,
        "shown": shown,
        "last": (out / "files" / "last.txt").read_text(),
    }


def test_two_at_a_time_leave_what_one_after_the_other_leaves(tmp_path):
    slow, quick = notebook(tmp_path / "a_slow.ipynb", seconds=6), notebook(tmp_path / "b_quick.ipynb")
    outs = {n: tmp_path / str(n) for n in (1, 2)}
    executed = {n: execute_notebooks([slow, quick], out=out, workers=n, progress=False) for n, out in outs.items()}
    left = {n: left_in(out) for n, out in outs.items()}
    assert left[1] == left[2]
    assert left[2]["rows"] == [["a_slow", "a_slow"], ["b_quick", "b_quick"], ["micro0", "b_quick"]]
    assert left[2]["last"] == "b_quick"
    assert {"figures/same_name.json", "figures/b_quick-same_name.html"} <= set(left[2]["names"])
    assert left[2]["shown"]["b_quick"][-1]["about"] == "b_quick-same_name"
    assert [path.name for path in executed[2]] == ["a_slow.ipynb", "b_quick.ipynb"]
    text = executed[2][0].read_text()
    assert f"wrote {outs[2]}" in text
    assert WORK not in text


@pytest.mark.parametrize(("n_tasks", "n_at_a_time", "threads"), [(8, 1, "1"), (8, 2, "1"), (2, 2, "1"), (7, 1, None)])
def test_threads_of_many_notebooks_do_not_follow_the_load_of_the_machine(n_tasks, n_at_a_time, threads):
    """A training comes out otherwise with another number of threads."""
    given: list[str | None] = []
    run_each(
        range(n_tasks),
        lambda _task, kernels: kernels.environment.get("TF_NUM_INTRAOP_THREADS"),
        lambda _task, outcome: given.append(outcome),
        fails=lambda _outcome: False,
        n_at_a_time=n_at_a_time,
    )
    assert given == [threads] * n_tasks


def test_what_runs_beside_a_notebook_that_fails_is_kept(tmp_path):
    files = [
        notebook(tmp_path / "a.ipynb", fails=True),
        notebook(tmp_path / "b.ipynb", seconds=5),
        notebook(tmp_path / "c.ipynb"),
    ]
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match=r"Notebook a, cell \[3\]: AssertionError"):
        execute_notebooks(files, out=out, workers=2, progress=False)
    assert sorted(path.stem for path in (out / "notebooks").iterdir()) == ["a", "b"]
    assert set(read_frame(out, "accuracy")["notebook"]) == {"a", "b"}
    assert not (out / WORK).exists()


def test_what_a_killed_run_left_is_taken_in_by_the_next(tmp_path):
    left = tmp_path / "out" / WORK / "003" / "killed" / "files"
    left.mkdir(parents=True)
    (left / "epoch.txt").write_text("7")
    execute_notebooks([notebook(tmp_path / "a.ipynb")], out=tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "files" / "epoch.txt").read_text() == "7"
    assert not (tmp_path / "out" / WORK).exists()


@pytest.mark.parametrize("workers", [0, -1])
def test_a_number_of_workers_that_is_none(tmp_path, workers):
    with pytest.raises(UserError, match="--workers must be at least 1"):
        execute_notebooks([notebook(tmp_path / "a.ipynb")], out=tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


@POSIX
def test_whoever_measures_is_alone(tmp_path, monkeypatch):
    monkeypatch.setenv(BESIDE, str(tmp_path))
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as other:
        try:
            while not (children := psutil.Process(other.pid).children()):
                time.sleep(0.05)
            (tmp_path / str(other.pid)).touch()
            (tmp_path / str(os.getpid())).touch()
            used = children[0].cpu_times().user
            with alone():
                held = children[0].cpu_times().user
                time.sleep(0.5)
                assert children[0].status() == psutil.STATUS_STOPPED
                assert children[0].cpu_times().user == held >= used
            assert children[0].status() != psutil.STATUS_STOPPED
            with turn(tmp_path):  # is free again
                pass
        finally:
            for process in (*children, other):
                process.kill()


MEASURES = """from effnet_lab.bench.alone import alone
import os, time
while not os.path.exists(BEGAN):
    time.sleep(0.05)
with alone():
    time.sleep(3600)
"""
WAITS = """import time
open(BEGAN, "w").close()
time.sleep(3600)
"""


@POSIX
@pytest.mark.parametrize("victim", ["run", "kernel"])
def test_whoever_is_killed_while_it_measures_leaves_nobody_stopped(tmp_path, victim):
    began, out, drill = repr(str(tmp_path / "began")), str(tmp_path / "out"), Drill(tmp_path, 1)
    names = [
        notebook(tmp_path / f"{place}.ipynb", first=cell.replace("BEGAN", began))
        for place, cell in enumerate((MEASURES, WAITS))
    ]
    code = (
        f"from effnet_lab.regress import execute_notebooks as run; run({names}, out={out!r}, workers=2, progress=False)"
    )
    run = drill.start(command=[sys.executable, "-c", code])

    def stopped() -> list[psutil.Process]:
        return [kernel for kernel in drill.processes(KERNEL) if kernel.status() == psutil.STATUS_STOPPED]

    drill.wait_for(stopped, run)
    (held,) = stopped()
    (measuring,) = set(drill.processes(KERNEL)) - {held}
    if victim == "kernel":
        measuring.kill()
        drill.wait_for(lambda: not stopped(), run)
    run.kill()
    run.communicate()
    drill.assert_nothing_is_left()
