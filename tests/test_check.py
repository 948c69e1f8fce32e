"""What a change is traced back to: environment, cause, notebooks; the verdict for machines; who accepted what and why."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as Xml

import nbformat
import numpy as np
import pandas as pd
import pytest
from sweep_drills import TINY

from effnet_lab import frames
from effnet_lab.bench import measure_latency
from effnet_lab.litert import Runner
from effnet_lab.names import UserError
from effnet_lab.regress import bless, check, compare_notebooks, sweep
from effnet_lab.regress.blessed import RULES, rules_of
from effnet_lab.regress.checked import number_line
from effnet_lab.regress.environment import drift, environment, processor_features, read_environment, write_environment
from effnet_lab.regress.recording import record
from effnet_lab.regress.rules import Chance, Exact, Ratio, Relative, Within, exact_rule, parse_rule
from effnet_lab.regress.sweeps import point_run

FILE = {"model": "micro0", "scheme": "static_wi8_ai8", "backend": "ai_edge_quantizer"}
SMOKE = {"notebook": "plain", "profile": "smoke"}


# Rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [("exactly", Exact()), ("± 0.1", Within(0.1)), ("± 2 %", Relative(0.02)), ("x or / 3", Ratio(3.0)),
     ("chance, 99.9 %", Chance(0.999))],
)  # fmt: skip
def test_a_rule_is_read_as_it_is_written(text, rule):
    assert parse_rule(text) == rule
    assert str(rule) == text


@pytest.mark.parametrize("text", ["", "about", "± x", "± -1", "x 0.5", "chance, 20 %", "± 1 % 2"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(UserError, match="A rule is"):
        parse_rule(text)


@pytest.mark.parametrize(("now", "allowed"), [(0.9, True), (0.88, True), (0.86, True), (0.83, False), (0.97, False)])
def test_chance_allows_what_two_intervals_make(now, allowed):
    was = {"top1": 0.9, "top1_lo": 0.88, "top1_hi": 0.92}  # 99.9 % of a difference: 1.68 * hypot(.02, .02) = 4.7 points
    assert Chance().allows_rows("top1", was, {"top1": now, "top1_lo": now - 0.02, "top1_hi": now + 0.02}) is allowed


def test_a_folder_states_its_own_tolerances(tmp_path):
    (tmp_path / "tolerances.yaml").write_text("accuracy: {top1: '± 5 %', top5: 'chance, 99 %'}\n", encoding="utf-8")
    rules = rules_of(tmp_path)
    assert rules["accuracy"] == {"n_images": Exact(), "top1": Relative(0.05), "top5": Chance(0.99)}
    assert RULES["accuracy"]["top1"] == Within(0.01)
    for text, says in (("accuracy: [1]", "must name frames"), ("acuracy: {top1: exactly}", "Did you mean 'accuracy'"),
                       ("accuracy: {top2: exactly}", "Unknown column of accuracy 'top2'")):  # fmt: skip
        (tmp_path / "tolerances.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=says):
            rules_of(tmp_path)


def test_in_one_environment_only_clocks_may_differ():
    assert exact_rule("sqnr_accumulated_db", Within(1.0)) == Relative(1e-6)
    assert exact_rule("relative_p50", Ratio(3.0)) == Ratio(3.0)
    assert exact_rule("kernels", Exact()) == Exact()
    assert exact_rule("n_images", Within(3)) == Exact()


# Environment


def test_drift_names_what_differs_and_nothing_else(tmp_path, monkeypatch):
    write_environment(tmp_path)
    was = read_environment(tmp_path)
    assert was == environment()
    assert drift(was, environment()) == []
    monkeypatch.setattr("effnet_lab.regress.environment.version_of", lambda name: "9.9" if name == "numpy" else "1")
    sentences = drift(
        {"version of numpy": "2.0", "Python": "3.11"}, {"version of numpy": "9.9", "kernel path": "builtin"}
    )
    assert sentences == [
        "version of numpy was 2.0, is 9.9", "Python was 3.11, is not recorded", "kernel path was not recorded, is builtin",
    ]  # fmt: skip
    assert drift(None, was) == drift(was, None) == []


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("flags\t\t: fpu avx2 sse4_1 fma\nflags: x", "avx2 fma sse4_1"),
        ("Features : fp asimd asimddp", "asimd asimddp"),
        ("", "none"),
    ],
)
def test_features_of_the_processor(tmp_path, text, features):
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_features(tmp_path / "cpuinfo") == features
    assert processor_features(tmp_path / "nothing") == "not known"


def test_a_damaged_environment_is_one_line(tmp_path):
    (tmp_path / "environment.json").write_text("[")
    with pytest.raises(UserError, match="Cannot read"):
        read_environment(tmp_path)


# Causes, on real files: each plant is what it says, and the numbers are what the tool measures


@pytest.fixture(scope="module")
def measure(files, tmp_path_factory):
    """Record what a notebook would of micro0 in int8, with one thing changed; folder of results."""
    from effnet_lab.analysis import layer_error
    from effnet_lab.evaluate import evaluate
    from effnet_lab.images import open_images
    from effnet_lab.models import load_model
    from effnet_lab.quantize import targets, write_files

    float_file = files["float32 converter"]
    model = load_model("micro0")
    calibration, images = (
        open_images("scenes", split="calibration", limit=24),
        open_images("scenes", split="evaluation", limit=32),
    )

    def run(
        *, n_calibration: int = 24, shown=images, scheme: str = "int8", kernels: str = "xnnpack", said: str = "",
        preprocess=None, opened=Runner, change=lambda path: path,
    ) -> Path:  # fmt: skip
        out = tmp_path_factory.mktemp("measured")
        network = model if preprocess is None else replace(model, preprocess=preprocess)
        wanted = targets([scheme], ["ai_edge_quantizer"])
        (path,) = write_files(network, wanted, out / "files", calibration=calibration.take(n_calibration))
        path = change(path)
        errors = layer_error(path, shown, float_model=float_file, kernels=kernels, preprocess=preprocess).table
        rows = errors.assign(**FILE, kernels=said or errors["kernels"])
        record(rows, "layer_error", out, **SMOKE)
        answers = evaluate(path, shown, preprocess=preprocess).table
        record(answers.assign(**FILE), "accuracy", out, **SMOKE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(import_module("effnet_lab.bench.latency"), "Runner", opened)
            times = measure_latency([float_file, path], n_runs=15, n_blocks=5).iloc[[1]]
        record(times.assign(**FILE, reference="float32"), "latency", out, **SMOKE)
        write_environment(out)
        return out

    return run, images, model


@pytest.fixture(scope="module")
def first(measure):
    run, _images, _model = measure
    return run()


def test_a_run_equals_itself(measure, first):
    run, _images, _model = measure
    found = check(run(), against=first, exact=True)
    assert found.table.empty
    assert found.n_compared > 300
    assert found.drift == found.causes == ()


def on_plain_kernels(model: object, **how: object) -> Runner:
    """An interpreter that leaves XNNPACK out where the file is in int8."""
    runner = Runner(model, **how)
    return runner if runner.graph.scheme == "float32" else Runner(model, **how | {"kernels": "reference"})


def environment_with(folder: Path, package: str, version: str) -> Path:
    """What uv installs of a package that has this version, and nothing in it."""
    wheel(folder, package, version, f"{package.replace('-', '_')}_said.py")
    place = folder / "environment"
    options = [
        "--quiet",
        "--python",
        sys.executable,
        "--target",
        place,
        "--no-index",
        "--no-deps",
        "--find-links",
        folder,
    ]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", *options, f"{package}=={version}"], check=True)
    return place


def test_planted_changes_are_caught_and_named(measure, first, monkeypatch, tmp_path):
    run, images, model = measure
    swapped = images.labels.copy()
    swapped[0] = (swapped[0] + 1) % len(images.classes)
    plants = {
        "another resize": (lambda: run(preprocess=replace(model.preprocess, interpolation="nearest")), "input"),
        "another mean": (lambda: run(preprocess=replace(model.preprocess, mean=120.0)), "input"),
        "one calibration image less": (lambda: run(n_calibration=23), "ranges"),
        "half the calibration images": (lambda: run(n_calibration=12), "ranges"),
        "weights rounded per tensor": (lambda: run(scheme="int8-per-tensor"), "weights"),
        "a rounding rule": (lambda: run(kernels="builtin", said="xnnpack"), "rounding"),
        "other kernels": (lambda: run(kernels="builtin"), "kernel path"),
        "a slower path": (lambda: run(opened=on_plain_kernels), "speed"),
        "a swapped label": (lambda: run(shown=replace(images, labels=swapped)), "labels"),
    }
    for name, (plant, cause) in plants.items():
        found = check(plant(), against=first, exact=True)
        assert len(found.table), name
        assert any(f": {cause}" in sentence for sentence in found.causes), (name, found.causes, found.table)
    with monkeypatch.context() as patch:  # the tenth: another version of a dependency
        patch.syspath_prepend(environment_with(tmp_path, "ai-edge-quantizer", "9.9.9"))
        drifted = run()
    (sentence,) = check(drifted, against=first).drift
    assert re.fullmatch(r"version of ai-edge-quantizer was 0\.\S+, is 9\.9\.9", sentence)


# Against another run: the notebooks


@pytest.fixture
def two_runs(tmp_path):
    """Executed notebooks that differ in a parameter, a cell, what a cell says and a figure."""
    for name, ratio, code, text, points in (
        ("a", 0.5, "show()", "It is 5.", [1, 2]),
        ("b", 0.6, "show(1)", "It is 6.", [1, 3]),
    ):
        said = nbformat.v4.new_output("display_data", {"text/markdown": text})
        cells = [
            nbformat.v4.new_code_cell("ratio: float = 0.1  # x\nn = 3", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                f"ratio = {ratio}\nout_dir = '{name}'", metadata={"tags": ["injected-parameters"]}
            ),
            nbformat.v4.new_code_cell(f"same = 1\n{code}"),
            nbformat.v4.new_code_cell("say()", outputs=[said]),
        ]
        for room in ("notebooks", "figures"):
            (tmp_path / name / room).mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / name / "notebooks" / "n.ipynb")
        figure = {"data": [{"type": "scatter", "y": points}], "layout": {"title": name}}
        (tmp_path / name / "figures" / "line.json").write_text(json.dumps(figure))
    return tmp_path / "a", tmp_path / "b"


def test_two_runs_differ_in_a_parameter_a_cell_a_sentence_and_a_figure(two_runs):
    assert compare_notebooks(*two_runs).to_numpy().tolist() == [
        ["n", "parameter", "ratio", "0.5", "0.6"],
        ["n", "cell", "code cell 1", "show()", "show(1)"],
        ["n", "output", "code cell 2", "It is 5.", "It is 6."],
        ["", "figure", "line", "1 trace", "1 trace, other values"],
    ]
    assert compare_notebooks(two_runs[0], two_runs[0]).empty


# Sweeps


def test_a_sweep_is_compared_point_by_point(tmp_path, monkeypatch):
    def quick(_source, draft, values, **_more) -> None:
        """Record what the notebook would."""
        draft.write_text("{}")
        row = FILE | {
            "data": "d",
            "n_images": 100,
            "top1": values["x"] / 10,
            "top1_lo": 0.0,
            "top1_hi": 1.0,
            "top5": np.nan,
        }
        record(frames.build(frames.ACCURACY, [row]), "accuracy", values["out_dir"], notebook="tiny", profile="smoke")

    monkeypatch.setattr(point_run, "execute", quick)
    monkeypatch.setattr(point_run, "save_notebook", lambda *_paths, **_moved: None)
    first, other = tmp_path / "first", tmp_path / "other"
    sweep(TINY, {"grid": {"x": [1, 2, 3]}}, out=first)
    assert [path.name for path in bless(first, tmp_path / "b", why="the first")] == ["accuracy.csv"]
    assert check(first, tmp_path / "b", complete=True).table.empty
    assert check(first, tmp_path / "b").n_compared == 3 * 2
    monkeypatch.setattr(
        point_run, "execute", lambda s, d, values, **m: quick(s, d, dict(values) | {"x": values["x"] ** 2})
    )
    sweep(TINY, {"grid": {"x": [1, 2, 3]}}, out=other)
    found = check(other, tmp_path / "b")
    assert found.table["key"].str.split(" | ", regex=False).str[0].tolist() == ["x 2.0", "x 3.0"]
    assert found.table[["was", "is"]].to_numpy().tolist() == [[0.2, 0.4], [0.3, 0.9]]
    assert len(check(other, against=first).table) == 2
    with pytest.raises(UserError, match="is a sweep; the baselines of the workbench are those of runs"):
        check(other)


def test_of_two_sweeps_the_notebooks_of_equal_points_are_compared(two_runs, tmp_path):
    sweeps = [tmp_path / name for name in ("was", "now")]
    for number, (folder, run) in enumerate(zip(sweeps, two_runs, strict=True)):
        points = [{"key": f"{number}{x}", "parameters": {"x": x}} for x in range(3 + number)]
        for point in points:
            shutil.copytree(run, folder / "points" / point["key"])
        (folder / "sweep.json").write_text(json.dumps({"points": points}))
    found = compare_notebooks(*sweeps)
    pd.testing.assert_frame_equal(found, compare_notebooks(*two_runs))  # what the three points share is said once
    assert len(found)


# The verdict for machines, and blessing


@pytest.fixture
def moved(tmp_path):
    """A run, and one with another accuracy and a name that XML and GitHub have to escape."""
    row = FILE | {"data": "a<b>&\x07%\n", "n_images": 600, "top1": 0.84, "top1_lo": 0.8, "top1_hi": 0.9, "top5": np.nan}
    for name, top1 in (("was", 0.84), ("now", 0.8)):
        record(frames.build(frames.ACCURACY, [row | {"top1": top1}]), "accuracy", tmp_path / name, **SMOKE)
    return tmp_path / "now", tmp_path / "was"


def test_junit_has_a_case_per_frame(moved, tmp_path):
    found = check(moved[0], against=moved[1], junit=tmp_path / "junit.xml")
    suite = Xml.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "top1 was 0.84, is 0.8" in suite.find("testcase/failure").text
    assert suite.find("testcase").get("name") == "accuracy"
    check(moved[0], against=moved[0], junit=tmp_path / "good.xml")
    good = Xml.parse(tmp_path / "good.xml").getroot().find("testsuite")
    assert (good.get("failures"), good.find("testcase/failure")) == ("0", None)
    assert found.table.shape[0] == 1


def test_github_gets_one_line_per_annotation(moved):
    found = replace(check(moved[0], against=moved[1]), drift=("numpy was 1, is 2",))
    assert found.github[0] == "::warning title=Environment::numpy was 1, is 2"
    assert found.github[-1].startswith("::error title=accuracy moved::accuracy: micro0 |")
    assert all("\n" not in line for line in found.github)
    kind, properties, text = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", found.github[-1]).groups()
    assert (kind, properties) == ("error", "title=accuracy moved")
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):  # in the order of GitHub's own runner
        text = text.replace(code, sign)
    assert text == number_line(found.table.iloc[-1])
    assert "%\n" in text


def test_a_blessing_keeps_who_when_and_why(moved, tmp_path):
    bless(moved[1], tmp_path / "b", why="it is better", who="a tester")
    assert bless(moved[1], tmp_path / "b", why="again") == []  # nothing changed, so there is nothing to tell
    bless(moved[0], tmp_path / "b", why="it is worse", who="a tester")
    lines = [json.loads(line) for line in (tmp_path / "b" / "blessed.jsonl").read_text().splitlines()]
    assert [(line["who"], line["why"], line["files"]) for line in lines] == [
        ("a tester", "it is better", ["accuracy.csv"]), ("a tester", "it is worse", ["accuracy.csv"]),
    ]  # fmt: skip
    assert all(pd.Timestamp(line["when"]).tzinfo for line in lines)


def test_the_command_says_drift_before_the_numbers(moved, monkeypatch, capsys):
    from effnet_lab import cli

    for folder, version in zip(moved, ("2", "1"), strict=True):
        (folder / "environment.json").write_text(json.dumps({"version of numpy": version}))
    monkeypatch.setattr(
        "sys.argv", ["effnet-lab", "check", "--results", str(moved[0]), "--against", str(moved[1]), "--github"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert err.splitlines()[0] == "environment: version of numpy was 1, is 2"
    assert "::error title=Cause::" in out
    assert "cause: micro0" in err


# Bisection


def git(repo: Path, *words: str) -> str:
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.com"]
    return subprocess.run(
        ["git", "-C", str(repo), *who, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def history(tmp_path):
    """A repository of seven commits; the fifth turns a number, and the third cannot be checked."""
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    check_file = "import sys, number\nsys.exit(125 if number.x is None else number.x != 1)\n"
    (repo / "check.py").write_text(check_file)
    commits = []
    for i, value in enumerate((1, 1, None, 1, 2, 2, 2)):
        (repo / "number.py").write_text(f"x = {value}  # {i}\n")
        git(repo, "add", ".")
        git(repo, "commit", "--quiet", "-m", f"step {i}")
        commits.append(git(repo, "rev-parse", "HEAD"))
    return repo, commits


def test_bisect_finds_the_commit(history):
    from effnet_lab.regress import bisect

    repo, commits = history
    told: list[str] = []
    found = bisect(commits[0], commits[-1], "python check.py", repo=repo, tell=told.append)
    assert (found.first_bad, found.last_good) == (commits[4][:12], commits[3][:12])
    assert found.sentence == f"commit {commits[4][:12]} is the first bad one: step 4"
    assert len(found.table) == len(told) <= 5
    assert git(repo, "status", "--porcelain") == ""
    with pytest.raises(UserError, match=r"should be good with .* and is bad"):
        bisect(commits[5], commits[6], "python check.py", repo=repo)
    with pytest.raises(UserError, match="is no ancestor"):
        bisect(commits[6], commits[0], "python check.py", repo=repo)
    with pytest.raises(UserError, match="git rev-parse failed"):
        bisect("nothing", commits[0], "python check.py", repo=repo)


def wheel(folder: Path, package: str, version: str, module: str, content: str = "") -> None:
    """A package of one module, as an archive that uv installs."""
    name = f"{package.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        archive.writestr(module, content)
        info = f"{name}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_bisect_finds_the_version(tmp_path):
    from effnet_lab.regress import bisect

    for version, value in (("1.0", 1), ("1.1", 1), ("1.2", 1), ("1.9", 1), ("1.10", 2), ("2.0", 2)):
        wheel(tmp_path, "tinypkg", version, "tinypkg.py", f"x = {value}\n")
    words = "python -c 'import sys, tinypkg; sys.exit(tinypkg.x != 1)'"
    where = {"package": "tinypkg", "repo": tmp_path, "find_links": tmp_path}
    found = bisect("1.0", "2.0", words, **where)
    assert (found.last_good, found.first_bad) == ("1.9", "1.10")
    with pytest.raises(UserError, match=r"There is no version 3\.0 of tinypkg"):
        bisect("1.0", "3.0", words, **where)
