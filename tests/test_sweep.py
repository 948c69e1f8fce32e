"""Sweeps: grids, points that are told from one another, a folder that stays whole, failures that are kept and named."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from sweep_drills import KERNEL, PATIENCE_S, TINY, WORKER, Drill, assert_files_parse, dask_processes

from effnet_lab import frames, view
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress import read_results, read_sweep, record, report_on, sweep
from effnet_lab.regress.parameters import read_parameters
from effnet_lab.regress.sweeps import point_run, schedule
from effnet_lab.regress.sweeps import sweep as sweeping
from effnet_lab.regress.sweeps.fingerprint import Keys
from effnet_lab.regress.sweeps.grid import points_of, read_grid
from effnet_lab.regress.sweeps.ledger import SweepFolder
from effnet_lab.studies import grid_effects, standing


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """Kernels import the package of this checkout; nothing is written into the user's home."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))


def points(text: str, tmp_path: Path) -> list[dict[str, object]]:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    form, content = read_grid(path)
    return list(points_of(form, content, read_parameters(TINY), "tiny"))


# Grids


def test_a_grid_is_every_combination_and_keeps_its_types(tmp_path):
    found = points("grid: {x: [1, 1e1, .5], how: [on, '2']}\nfixed: {labels: [no, 2026-01-01]}", tmp_path)
    assert [point["x"] for point in found] == [1.0, 1.0, 10.0, 10.0, 0.5, 0.5]
    assert {type(point["x"]) for point in found} == {float}
    assert [point["how"] for point in found[:2]] == ["on", "2"]
    assert found[0]["labels"] == ["no", "2026-01-01"]


def test_a_list_runs_what_it_lists(tmp_path):
    assert points("points: [{x: 1}, {x: 2, how: user}]\nfixed: {wait_s: 0}", tmp_path) == [
        {"wait_s": 0.0, "x": 1.0}, {"wait_s": 0.0, "x": 2.0, "how": "user"},
    ]  # fmt: skip


def test_a_sample_is_drawn_once_and_again_the_same(tmp_path):
    text = "sample: {n: 40, seed: 3, from: {x: {low: 1, high: 100, log: true}, how: [well, user], wait_s: {low: 0, high: 2}}}"
    first, again = points(text, tmp_path), points(text, tmp_path)
    assert first == again
    assert len({point["x"] for point in first}) == 40
    assert all(1 <= point["x"] <= 100 and 0 <= point["wait_s"] <= 2 for point in first)
    below = sum(point["x"] < 10 for point in first)
    assert 10 <= below <= 30  # on a logarithmic scale half of them; evenly drawn it would be 4
    assert {point["how"] for point in first} == {"well", "user"}
    assert points(text.replace("seed: 3", "seed: 4"), tmp_path) != first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grid: {y: [1]}", "Unknown parameter of tiny 'y'"),
        ("grid: {x: ['1']}", "must be float. Got the text '1'"),
        ("grid: {x: [one]}", "must be float. Got the text 'one'"),
        ("grid: {x: [true]}", "must be float"),
        ("grid: {labels: [[1, 2]]}", r"must be list\[str\]"),
        ("grid: {x: 1}", "must be a list of values"),
        ("grid: {x: [1], x: [2]}", "'x' stands twice"),
        ("grid: {x: [1]}\npoints: [{x: 1}]", "must have one of grid, points and sample"),
        ("fixed: {x: 1}", "must have one of grid, points and sample"),
        ("gird: {x: [1]}", "Did you mean 'grid'"),
        ("- x", "must say what to run"),
        ("points: {x: 1}", "points must be a list"),
        ("a: &a [1]\ngrid: {x: *a}", "references"),
        ("grid: {x: [1}", r"not YAML that can be read \(line 1\)"),
        ("grid: !!python/object/apply:os.system [id]", "not YAML that can be read"),
        ("sample: {n: 5, from: {how: [well, user]}}", "hardly more than 2"),
        ("sample: {n: 0, from: {x: {low: 0, high: 1}}}", "a number of points from 1"),
        ("sample: {n: 2, from: {x: {low: 1, high: 0}}}", "low below high"),
        ("grid: {x: [1], wait_s: []}", "must be a list of values"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_before_the_first_run(tmp_path, text, says):
    with pytest.raises(UserError, match=says) as raised:
        points(text, tmp_path)
    assert len(str(raised.value)) <= 300


def test_a_grid_of_too_many_points_is_not_even_counted_out(tmp_path):
    values = list(range(2000))
    with pytest.raises(UserError, match="4,000,000"):
        points_of("grid", {"grid": {"x": values, "wait_s": values}}, read_parameters(TINY), "tiny")


@pytest.mark.parametrize("name", ["profile", "out_dir"])
def test_what_the_runner_sets_is_no_axis(tmp_path, name):
    with pytest.raises(UserError, match="is set by the runner"):
        sweep(TINY, {"grid": {name: ["a"]}}, out=tmp_path)


# What tells one point from another


def test_a_point_is_its_code_parameters_and_the_files_they_name(tmp_path):
    source, photo = TINY.read_bytes(), tmp_path / "photos" / "a.png"
    photo.parent.mkdir()
    photo.write_bytes(b"1")
    values = {"x": 1.0, "log": str(photo.parent)}

    def key(source: bytes = source, profile: str = "smoke", **changes: object) -> str:
        return Keys(source, profile).key(values | changes)

    first = key()
    assert first == key()
    assert first != key(x=2.0)
    assert first != key(profile="full")
    assert first != key(source.replace(b"x * x", b"x + x"))
    assert first == key(source.replace(b"It squares", b"This squares"))  # its words are not what it does
    photo.write_bytes(b"2")
    changed = key()
    assert changed != first
    (tmp_path / "photos" / "b.png").write_bytes(b"1")
    assert key() not in (first, changed)


def test_two_ways_to_write_a_point_are_one_point():
    plan = sweeping.make_plan(TINY, {"grid": {"x": [1, 1.0, 2]}}, profile="smoke")
    assert len(plan.points) == 2


# A sweep, in this process; its kernels are real


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Four points, one of each kind that needs no patience."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(out.parent / "jupyter"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setattr(sweeping, "RETRIES", 1)
        told: list[dict[str, int]] = []
        grid = {"points": [{"x": 3.0}, {"how": "user"}, {"how": "value"}, {"how": "memory"}, {"how": "die"}]}
        done = sweep(TINY, grid, out=out, watch=lambda **counts: told.append(counts))
    return done, told


def test_every_point_has_a_row_and_every_failure_a_kind(swept):
    done, told = swept
    rows = done.table.set_index("how")
    assert rows["status"].to_dict() == {"well": "finished"} | dict.fromkeys(
        ("user", "value", "memory", "die"), "failed"
    )
    kinds = {"user": "user error", "value": "error in a cell", "memory": "out of memory", "die": "kernel died"}
    assert rows["kind"][rows["kind"] != ""].to_dict() == kinds
    assert rows.loc["user", "message"] == "No such model. Got 1.0. Use micro0."
    assert rows.loc["value", "message"] == "last line"
    assert told[-1] == {"finished": 1, "failed": 4, "running": 0, "total": 5}
    assert done.sentence.startswith("1 of 5 points finished, 4 failed; 5 run now")


def test_a_failed_point_keeps_its_notebook_with_the_failing_cell_on_top(swept):
    done, _told = swept
    rows = done.table.set_index("how")
    for how, word in (("value", "last line"), ("die", "os.kill"), ("user", "No such model")):
        notebook = nbformat.read(done.folder / rows.loc[how, "notebook"], as_version=4)
        nbformat.validate(notebook)
        assert notebook.cells[0].source.startswith(f"## {rows.loc[how, 'kind'].capitalize()}")
        assert word in json.dumps(notebook.cells[1])
        assert "os.kill" in notebook.cells[1].source


def test_a_point_that_hangs_is_ended(tmp_path):
    pids: list[int] = []
    plan = sweeping.make_plan(TINY, {"points": [{"how": "sleep"}]}, profile="smoke")
    folder = SweepFolder(tmp_path)
    sweeping._prepare(plan, folder)
    (key,) = plan.points
    outcome = point_run.run_point(sweeping._task(plan, folder, key, 8.0, one_thread=True), pids.append)
    assert (outcome.status, outcome.kind, outcome.message) == ("failed", "timeout", "not done after 8 s")
    assert folder.about(key)["failure"]["kind"] == "timeout"
    assert all(not psutil.pid_exists(pid) for pid in pids)
    assert_files_parse(tmp_path)


def test_the_results_are_one_table_with_provenance(swept):
    done, _told = swept
    table = pd.read_parquet(done.results)
    assert set(table["point"]) == set(done.table["point"])
    top1 = table[(table["frame"] == "accuracy") & (table["what"] == "top1")]
    assert top1[["x", "value", "status", "effnet_lab"]].to_numpy().tolist() == [[3.0, 0.09, "finished", "0.1.0"]]
    assert table.groupby("point").head(1).set_index("how").loc["memory", "status"] == "failed"
    (row,) = read_results(done.folder, "accuracy").to_dict("records")
    assert (row["top1"], row["data"], row["x"], row["model"], row["backend"]) == (0.09, "a+b", 3.0, "tiny", "")
    with pytest.raises(UserError, match=r"recorded no 'latency'\. It has: accuracy"):
        read_results(done.folder, "latency")
    assert_files_parse(done.folder)


def test_what_is_finished_is_not_run_again(swept, monkeypatch):
    done, _told = swept
    monkeypatch.setattr(sweeping, "RETRIES", 0)
    again = sweep(TINY, {"points": [{"x": 3.0}, {"how": "user"}]}, out=done.folder)
    assert again.table["status"].tolist() == ["finished", "failed"]
    assert again.n_run == 1  # a failed point has another chance
    assert set(pd.read_parquet(done.results)["point"]) == set(again.table["point"])  # the data set is this sweep's
    before = (done.folder / again.table["notebook"][0]).stat().st_mtime_ns
    forced = sweep(TINY, {"points": [{"x": 3.0}]}, out=done.folder, force=True)
    assert forced.n_run == 1
    assert (done.folder / forced.table["notebook"][0]).stat().st_mtime_ns > before


def test_a_part_that_a_kill_prevented_is_made_up_for(swept):
    done, _told = swept
    folder = SweepFolder(done.folder)
    (key,) = [path.name for path in (done.folder / "points").iterdir()]
    folder.part(key).unlink()
    again = sweep(TINY, {"points": [{"x": 3.0}]}, out=done.folder)
    assert again.n_run == 0
    assert folder.part(key).exists()


def test_kernels_have_sockets_not_ports_and_their_own_process(tmp_path):
    pids: list[int] = []
    open_files: list[str] = []

    def started(pid: int) -> None:
        pids.append(pid)
        open_files.append(" ".join(psutil.Process(pid).cmdline()))

    plan = sweeping.make_plan(TINY, {"grid": {"x": [1]}}, profile="smoke")
    folder = SweepFolder(tmp_path)
    sweeping._prepare(plan, folder)
    (key,) = plan.points
    outcome = point_run.run_point(sweeping._task(plan, folder, key, None, one_thread=True), started)
    assert outcome.status == "finished"
    assert len(pids) == 1
    assert pids[0] != os.getpid()
    assert "k.json" in open_files[0]


# The folder


def test_a_point_is_finished_once(tmp_path):
    folder = SweepFolder(tmp_path)
    first, second = folder.begin("k"), folder.begin("k")
    (first / "a").write_text("first")
    (second / "a").write_text("second")
    assert folder.finish("k", second, {"status": "finished"})
    assert not folder.finish("k", first, {"status": "finished"})
    assert (folder.point("k") / "a").read_text() == "second"
    assert not first.exists()


def test_two_sweeps_do_not_share_a_folder(tmp_path):
    with SweepFolder(tmp_path).held("sweep"), pytest.raises(UserError, match="Another sweep is at work"):
        sweep(TINY, {"grid": {"x": [1]}}, out=tmp_path)


def test_a_full_disk_stops_the_sweep_and_leaves_what_is_finished(tmp_path, monkeypatch):
    real = SweepFolder.finish

    def full(self: SweepFolder, key: str, draft: Path, about: dict[str, object]) -> bool:
        if len(list((tmp_path / "points").glob("*"))):
            raise OSError(28, "No space left on device")
        return real(self, key, draft, about)

    monkeypatch.setattr(SweepFolder, "finish", full)
    monkeypatch.setattr(point_run, "execute", lambda *_args, **_more: None)
    with pytest.raises(UserError, match=r"Stopped after 1 of 3 points.*No space left"):
        sweep(TINY, {"grid": {"x": [1, 2, 3]}}, out=tmp_path)
    monkeypatch.setattr(SweepFolder, "finish", real)
    assert sweep(TINY, {"grid": {"x": [1, 2, 3]}}, out=tmp_path).table["status"].tolist() == ["finished"] * 3


def test_a_notebook_that_cannot_be_read_is_refused_and_the_folder_untouched(tmp_path):
    broken = tmp_path / "broken.ipynb"
    broken.write_bytes(TINY.read_bytes()[:700])
    with pytest.raises(UserError, match="is not a notebook"):
        sweep(broken, {"grid": {"x": [1]}}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong", [{"workers": -1}, {"workers": 2, "cluster": "tcp://a:1"}, {"timeout_s": 0}, {"profile": "x"}]
)
def test_wrong_options_are_refused(tmp_path, wrong):
    with pytest.raises(UserError):
        sweep(TINY, {"grid": {"x": [1]}}, out=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_snakefile_has_one_rule_for_all_points(tmp_path, monkeypatch):
    from effnet_lab.regress import write_snakefile

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("")
    text = write_snakefile(TINY, {"grid": {"x": [1, 2]}, "fixed": {"log": "./a.txt"}}, out="o").read_text()
    grid = json.loads((tmp_path / "o" / "grid.json").read_text())
    assert {point["log"] for point in grid["points"]} == {str(tmp_path / "a.txt")}
    monkeypatch.chdir(tmp_path / "o")
    keys = list(sweeping.make_plan("./tiny.ipynb", "grid.json", profile="smoke").points)
    assert len(keys) == 2
    assert all(f'"{key}"' in text for key in keys)
    assert "--point {wildcards.key}" in text
    monkeypatch.setattr(point_run, "execute", lambda *_args, **_more: None)
    done = sweep("./tiny.ipynb", "grid.json", out=".", only=keys[:1])
    assert done.table["status"].tolist() == ["finished", "not run"]
    with pytest.raises(UserError, match="There is no point 'nope'"):
        sweep("./tiny.ipynb", "grid.json", out=".", only=["nope"])


# Dask and the faults, once each; tests/benchmarks/test_sweep_faults.py does them again and again


def test_the_command_line(tmp_path):
    drill = Drill(tmp_path, 2, how="value")
    run = subprocess.run(drill.command("--json"), env=drill.environment, text=True, capture_output=True, timeout=300)
    assert run.returncode == 1
    assert {row["kind"] for row in json.loads(run.stdout)} == {"error in a cell"}
    assert "0 of 2 points finished, 2 failed" in run.stderr


def test_a_killed_kernel_costs_a_retry(tmp_path):
    drill = Drill(tmp_path, 2, wait_s=1.0)
    run = drill.start()
    assert drill.kill_one(KERNEL, random.Random(0), run)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, out + err
    drill.assert_whole(finished=2)
    drill.assert_nothing_is_left()


def test_a_killed_sweep_leaves_no_process_and_is_resumed(tmp_path):
    drill = Drill(tmp_path, 3, "--workers", "2", wait_s=2.0)
    run = drill.start()
    drill.wait_for(lambda: drill.processes(KERNEL), run)
    run.kill()
    run.communicate()
    drill.assert_nothing_is_left()
    drill.assert_whole()
    before = drill.n_finished()
    done = drill.resume()
    assert f"3 of 3 points finished; {3 - before} run now" in done.stdout, done.stderr
    drill.assert_whole(finished=3)
    assert not list((drill.out / "work").glob("*"))


def test_a_killed_worker_is_replaced(tmp_path):
    drill = Drill(tmp_path, 3, "--workers", "2", wait_s=1.0)
    run = drill.start()
    drill.wait_for(lambda: drill.processes(WORKER), run)
    drill.processes(WORKER)[0].kill()  # before it is up
    drill.wait_for(lambda: drill.processes(KERNEL), run)
    assert drill.kill_one(WORKER, random.Random(0), run)
    out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, out + err
    assert "http://127.0.0.1:" in err  # the dashboard
    drill.assert_whole(finished=3)
    drill.assert_nothing_is_left()


def test_a_scheduler_that_dies_ends_the_sweep_in_one_line(tmp_path):
    drill = Drill(tmp_path, 3, wait_s=1.0)
    with dask_processes(drill, workers=1) as (address, scheduler):
        run = drill.start("--cluster", address)
        drill.wait_for(lambda: drill.processes(KERNEL), run)
        scheduler.kill()
        out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1, out + err
    assert "The Dask scheduler is gone. Stopped after" in err.splitlines()[-1]
    drill.assert_nothing_is_left()
    assert "3 of 3 points finished" in drill.resume().stdout
    drill.assert_whole(finished=3)


def test_no_scheduler_at_the_address_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "SCHEDULER_S", 1)
    with pytest.raises(UserError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        sweep(TINY, {"grid": {"x": [1]}}, out=tmp_path, cluster="tcp://127.0.0.1:9")


# Reading and reporting


@pytest.fixture(scope="module")
def hundred(tmp_path_factory):
    """A hundred points, each with two files of 25 layers, recorded without a kernel."""
    out = tmp_path_factory.mktemp("hundred") / "out"

    def quick(_source, draft, values, **_more) -> None:
        x, wait = values["x"], values["wait_s"]
        rows = [{"model": "net", "scheme": scheme, "backend": ""} for scheme in ("a", "b")]
        right = {
            "data": "d",
            "n_images": 100,
            "top1": 0.5 + x / 40 - wait / 100,
            "top1_lo": 0.4,
            "top1_hi": 0.9,
            "top5": 1.0,
        }
        places = [
            {"layer_index": i, "layer": f"layer{i}/conv", "sqnr_accumulated_db": 40 - i / 3 - x} for i in range(25)
        ]
        layers = [row | place for row in rows for place in places]
        sizes = [row | {"size_bytes": 1000 * (1 + x) * (1 + n)} for n, row in enumerate(rows)]
        for name, found in (("accuracy", [row | right for row in rows]), ("layer_error", layers), ("memory", sizes)):
            record(frames.build(frames.FRAMES[name], found), name, values["out_dir"], notebook="tiny", profile="smoke")
        draft.write_bytes(TINY.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point_run, "execute", quick)
        patch.setattr(
            point_run, "save_notebook", lambda raw, target, _name, **_moved: write_atomically(target, raw.read_bytes())
        )
        grid = {"grid": {"x": [float(i) for i in range(10)], "wait_s": [float(i) for i in range(10)]}}
        return sweep(TINY, grid, out=out)


def test_a_sweep_is_read_back_with_its_parameters(hundred):
    tables = read_sweep(hundred.folder)
    assert (tables.parameters, tables.axes) == (("x", "wait_s"), ("x", "wait_s", "scheme"))
    assert (len(tables.table), len(tables.points), len(tables.errors)) == (200, 100, 100 * 2 * 25)
    row = tables.table[(tables.table["x"] == 4) & (tables.table["wait_s"] == 2) & (tables.table["scheme"] == "b")].iloc[
        0
    ]
    assert (row["top1"], row["size_bytes"], row["worst_layer"]) == (pytest.approx(0.58), 10_000, "layer24/conv")
    assert read_sweep(hundred.results).table.equals(tables.table)
    with pytest.raises(UserError, match="No results of a sweep"):
        read_sweep(hundred.folder / "nowhere")


def test_what_a_grid_says_is_split_among_its_parameters(hundred):
    effects = grid_effects(read_sweep(hundred.folder).table, "top1", ["x", "wait_s", "scheme"])
    shares = effects.set_index(["parameter", "with_parameter"])["variance_share"]
    assert shares["x", ""] == pytest.approx(625 / 725)  # slopes 1/40 and 1/100 over the same ten steps
    assert shares["wait_s", ""] == pytest.approx(100 / 725)
    assert shares["scheme", ""] == pytest.approx(0, abs=1e-9)
    assert shares["x", "wait_s"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(UserError, match="no column 'nothing'"):
        grid_effects(read_sweep(hundred.folder).table, "nothing", ["x"])


def test_figures_of_a_grid_say_which_point_and_which_parameter(hundred):
    tables = read_sweep(hundred.folder)
    front = standing(tables.table, "size_bytes", "top1")
    figure = view.plot_grid_front(tables.table, "size_bytes", "top1", front, tables.axes, color="scheme")
    assert [trace.name for trace in figure.data] == ["front", "scheme a", "scheme b"]
    assert "x 0, wait_s 0, scheme a" in figure.data[1].hovertext[0]
    assert list(figure.data[0].x) == sorted(tables.table["size_bytes"][front["on_front"]])
    lines = view.plot_interactions(tables.table, "top1", tables.axes)
    assert len(lines.data) == 10 + 2 + 2  # a line per value of the second parameter, in three panels
    first = next(trace for trace in lines.data if "wait_s 3" in trace.hovertext[0])
    assert list(first.y) == pytest.approx([0.5 + x / 40 - 0.03 for x in range(10)])
    assert "two parameters" in view.plot_interactions(tables.table, "top1", ["x"]).layout.annotations[0].text
    errors = tables.errors.assign(where=view.point_names(tables.errors, ["x", "wait_s", "scheme"]))
    figure = view.plot_layer_grid(errors)
    assert figure.layout.xaxis.title.text == "points, in the order of their parameters"  # 200 names have no room
    grid = figure.data[0]
    assert (grid.z.shape, grid.z[3][0]) == ((25, 200), pytest.approx(39.0))
    assert grid.x[0] == "x 0, wait_s 0, scheme a"


def test_the_report_of_a_hundred_points_is_one_file_of_at_most_5_mb(hundred):
    page = report_on(hundred.folder)
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size <= 5_000_000
    assert "100 of 100 points finished" in text
    links = re.findall(r'href="(points/[^"]+)"', text)
    assert len(links) == 100
    assert all((hundred.folder / link).is_file() for link in links)
    figures = json.loads(text.split('id="figure-data">', 1)[1].split("</script>", 1)[0])
    assert {"front_size_bytes", "interactions", "layers"} <= figures.keys()
    heat = figures["layers"]["data"][0]
    assert (len(heat["x"]), heat["type"]) == (200, "heatmap")
    assert not re.search(r'(?:src|href)="https?:', text)


def test_there_is_nothing_to_report_without_a_sweep(tmp_path):
    with pytest.raises(UserError, match="Nothing was recorded"):
        report_on(tmp_path)
