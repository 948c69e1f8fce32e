"""Notebooks run headless, their numbers recorded, compared and blessed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.sign import NotebookNotary

from effnet_lab import frames
from effnet_lab.frames import FRAMES, PROVENANCE
from effnet_lab.names import UserError
from effnet_lab.regress import baselines as comparison
from effnet_lab.regress import notebooks as runner
from effnet_lab.regress.baselines import COLUMNS, RULES, bless
from effnet_lab.regress.kernel import sliced_polling
from effnet_lab.regress.notebooks import NotebookError, plan_parameters
from effnet_lab.regress.notebooks import execute_notebooks as run_notebooks
from effnet_lab.regress.parameters import Parameter, check_parameters, convert, read_parameters
from effnet_lab.regress.recording import forget, read_frame, record, record_figure
from effnet_lab.regress.suspects import layer_summary
from effnet_lab.regress.widget_state import STATE, VIEW, replace_widgets

NOTEBOOKS = Path(__file__).parent / "notebooks"
PLAIN, WIDGETS, FAILING, UNREAD = (NOTEBOOKS / f"{name}.ipynb" for name in ("plain", "widgets", "failing", "unread"))
FILE = {"model": "micro0", "scheme": "static_wi8_ai8", "backend": "converter"}
SMOKE = {"notebook": "plain", "profile": "smoke"}


def check(*folders: Path, complete: bool = False) -> pd.DataFrame:
    """The rows that moved."""
    return comparison.check(*folders, complete=complete).table


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """Kernels import the package of this checkout; signatures of notebooks stay out of the user's home."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("jupyter")))
    root = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))))


def accuracy(**changes) -> pd.DataFrame:
    row = FILE | {"data": "scenes", "n_images": 600, "top1": 0.84, "top1_lo": 0.81, "top1_hi": 0.87, "top5": np.nan}
    return frames.build(frames.ACCURACY, [row | changes])


def layers(n: int = 4) -> pd.DataFrame:
    row = {"op": "CONV_2D", "data": "scenes", "n_images": 8, "kernels": "xnnpack", "scale": 0.1, "zero_point": 0}
    row |= {
        "mse": 0.1,
        "cosine": 0.9,
        "sqnr_accumulated_db": 30.0,
        "weight_worst_channel_sqnr_db": 35.0,
        "granularity": "channel",
    }
    places = [{"layer_index": i, "layer": f"block{i}/conv;relu", "weight_sqnr_db": 40.0 + i} for i in range(n)]
    return frames.build(frames.LAYER_ERROR, [FILE | row | place for place in places])


def notebook_file(path: Path, parameters: str, *later: str) -> Path:
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [first, *(nbformat.v4.new_code_cell(source) for source in later)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


# Parameters


def test_parameters_are_read_with_type_and_comment():
    known = read_parameters(PLAIN)
    assert list(known)[:3] == ["model", "limit", "ratio"]
    assert known["limit"] == Parameter(name="limit", annotation="int", default=4, comment="images")


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("int", "7", 7), ("int", "-1", -1), ("float", "0.5", 0.5), ("float", "2", 2.0), ("str", "7", "7"),
        ("bool", "yes", True), ("bool", "0", False), ("list", "[1, 'a']", [1, "a"]), ("list", "a, b", ["a", "b"]),
        ("list[int]", "1,2", [1, 2]), ("list[float]", "[1, 2]", [1.0, 2.0]), ("list[str]", "", []),
        ("int | None", "None", None), ("int | None", "3", 3), ("str", "a=b", "a=b"), ("float", 3, 3.0),
    ],
)  # fmt: skip
def test_strings_become_the_annotated_type(annotation, text, value):
    got = convert(Parameter(name="p", annotation=annotation, default=None, comment=""), text, "n")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [("int", "7.5"), ("int", "many"), ("int", 7.5), ("int", True), ("bool", "maybe"), ("list", "[1,"),
     ("list[int]", "a"), ("str", 3), ("float", "fast"), ("dict", "{}")],
)  # fmt: skip
def test_what_does_not_convert_is_refused_with_type_and_value(annotation, value):
    with pytest.raises(UserError, match=r"'p' of n must be .*Got ") as caught:
        convert(Parameter(name="p", annotation=annotation, default=None, comment=""), value, "n")
    assert repr(value) in str(caught.value)


def test_unknown_parameter_names_the_nearest_and_all():
    with pytest.raises(UserError, match=r"'limt'.*Did you mean 'limit'\?.*ratio, seed, strict"):
        check_parameters(PLAIN, {"limt": "3"})


def test_parameter_that_no_later_cell_reads_is_refused():
    with pytest.raises(UserError, match="'forgotten' of unread is read by no later cell"):
        check_parameters(UNREAD, {"used": "3"})


@pytest.mark.parametrize("source", ["x = f'{p}'", "p = p + 1", "if True:\n    print(p)", "%matplotlib inline\nq = [p]"])
def test_ways_to_read_a_parameter(tmp_path, source):
    assert check_parameters(notebook_file(tmp_path / "n.ipynb", "p: int = 1  # one", source), {"p": "2"}) == {"p": 2}


@pytest.mark.parametrize("line", ["p = 1", "p: int = 1 + q", "import os", "p: int = 'a'", "p: int"])
def test_parameters_are_typed_literals(tmp_path, line):
    with pytest.raises(UserError, match="of n"):
        read_parameters(notebook_file(tmp_path / "n.ipynb", line))


def test_all_parameters_are_checked_before_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_run", lambda *_: pytest.fail("a notebook was run"))
    with pytest.raises(UserError, match=r"plain, widgets 'limmit'.*'limit'"):
        run_notebooks([str(PLAIN), str(WIDGETS)], parameters={"limit": "2", "limmit": "3"}, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_parameter_goes_to_the_notebooks_that_have_it(tmp_path):
    plan = plan_parameters([PLAIN, WIDGETS], {"count": "2"}, profile="smoke", out=tmp_path)
    standard = {"profile": "smoke", "out_dir": str(tmp_path)}
    assert plan == {PLAIN: standard, WIDGETS: standard | {"count": 2}}


def test_the_runner_keeps_its_own_parameters(tmp_path):
    with pytest.raises(UserError, match="'out_dir' is set by the runner"):
        run_notebooks([str(PLAIN)], parameters={"out_dir": "elsewhere"}, out=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"notebooks": ["01_scalling"]}, "Unknown notebook '01_scalling'"), ({"profile": "smok"}, "Did you mean 'smoke'")],
    ids=["notebook", "profile"],
)
def test_unknown_names(tmp_path, wrong, says):
    with pytest.raises(UserError, match=says):
        run_notebooks(**{"notebooks": [str(PLAIN)], "out": tmp_path} | wrong)


# Running


def test_a_run_records_with_provenance_and_saves_the_notebook(tmp_path, capfd):
    given = {"limit": "7", "labels": "x,y", "strict": "yes", "seed": "3"}
    (path,) = run_notebooks([str(PLAIN)], parameters=given, out=tmp_path)
    assert path == tmp_path / "notebooks" / "plain.ipynb"
    (row,) = read_frame(tmp_path, "accuracy").to_dict("records")
    assert (row["data"], row["n_images"], row["top5"], row["notebook"]) == ("x+y", 7, 1.0, "plain")
    assert all(row[column] for column in PROVENANCE)
    text = path.read_text()
    assert "application/vnd.plotly.v1+json" in text
    assert str(NOTEBOOKS) not in text
    out, err = capfd.readouterr()
    assert not out
    assert "plain: 100%" in err
    assert "unknown parameter" not in err


def test_ten_cells_with_interactive_output_finish_and_keep_what_they_show(tmp_path):
    started = time.perf_counter()
    (path,) = run_notebooks([str(WIDGETS)], out=tmp_path, progress=False)
    assert time.perf_counter() - started < 600  # one stall would burn the cell's 900 s; a busy machine needs a minute
    notebook = nbformat.read(path, as_version=4)
    drawn = [[list(output.data) for output in cell.outputs] for cell in notebook.cells if cell.get("outputs")]
    assert len(drawn) == 10
    assert all("application/vnd.plotly.v1+json" in outputs[-1] for outputs in drawn)
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 500_000
    notary = NotebookNotary()
    assert notary.check_signature(notebook)  # JupyterLab hides the inspector in a notebook it does not trust
    notary.store.close()


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [("value", NotebookError, r"Notebook failing, cell \[5\]: ValueError: last line .*failing\.ipynb"),
     ("user", UserError, r"^No such model\. Got 'x'\. Use micro0\.$")],
)  # fmt: skip
def test_a_failing_cell_is_named_and_the_notebook_saved(tmp_path, kind, error, says):
    with pytest.raises(error, match=says):
        run_notebooks([str(FAILING)], parameters={"kind": kind}, out=tmp_path, progress=False)
    saved = nbformat.read(tmp_path / "notebooks" / "failing.ipynb", as_version=4)
    outputs = [output.output_type for cell in saved.cells if cell.cell_type == "code" for output in cell.outputs]
    assert "error" in outputs
    assert [path.name for path in (tmp_path / "notebooks").iterdir()] == ["failing.ipynb"]


def test_a_cell_that_takes_too_long_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(runner.PROFILES, "smoke", 6)  # the cells before it need a moment on a busy machine
    with pytest.raises(NotebookError, match=r"failing, cell 'if kind.*CellTimeoutError"):
        run_notebooks([str(FAILING)], parameters={"kind": "sleep"}, out=tmp_path, progress=False)


def test_a_lost_wake_up_costs_a_slice(monkeypatch):
    from jupyter_client.channels import AsyncZMQSocketChannel

    asked = []

    async def loses_the_first_wake_up(_self, timeout=None):
        asked.append(timeout)
        if len(asked) > 1:
            return {"msg_type": "execute_reply"}
        await asyncio.sleep(3600 if timeout is None else timeout)
        raise Empty

    monkeypatch.setattr(AsyncZMQSocketChannel, "get_msg", loses_the_first_wake_up)
    with sliced_polling(0.01):
        reply = asyncio.run(AsyncZMQSocketChannel.get_msg(None))
    assert reply == {"msg_type": "execute_reply"}
    assert asked == [0.01, 0.01]
    assert AsyncZMQSocketChannel.get_msg is loses_the_first_wake_up


def test_a_timeout_still_ends_a_sliced_wait(monkeypatch):
    from jupyter_client.channels import AsyncZMQSocketChannel

    async def nothing(_self, timeout=None):
        await asyncio.sleep(timeout)
        raise Empty

    monkeypatch.setattr(AsyncZMQSocketChannel, "get_msg", nothing)
    with sliced_polling(0.01), pytest.raises(Empty):
        asyncio.run(AsyncZMQSocketChannel.get_msg(None, timeout=0.05))


def test_widgets_become_what_they_showed_last():
    figure = {"output_type": "display_data", "data": {"image/png": "AA=="}, "metadata": {}}
    menu = {"description": "layer", "_options_labels": ["first", "<b>"], "index": 1}
    inside = [("Slider", {"description": "width", "value": 1.5}), ("Dropdown", menu), ("Output", {"outputs": [figure]}),
              ("HTML", {"description": "", "value": "<i>card</i>"}), ("Button", {"description": "Reset"})]  # fmt: skip
    state = {name: {"model_name": f"{name}Model", "state": about} for name, about in inside}
    state["Box"] = {"model_name": "VBoxModel", "state": {"children": [f"IPY_MODEL_{name}" for name, _ in inside]}}
    outputs = [
        nbformat.v4.new_output("display_data", {VIEW: {"model_id": model}, "text/plain": model} | more)
        for model, more in (("Box", {}), ("gone", {}), ("page", {"text/html": "<iframe></iframe>"}))
    ]
    cell = nbformat.v4.new_code_cell("show()", outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {STATE: {"state": state}}})
    replace_widgets(notebook)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert [dict(output.data) for output in notebook.cells[0].outputs] == [
        {"text/html": "<p>width: 1.5 · layer: &lt;b&gt;</p>", "text/plain": "width: 1.5, layer: <b>"}, figure["data"],
        {"text/html": "<i>card</i>"}, {"text/plain": "gone"}, {"text/html": "<iframe></iframe>", "text/plain": "page"},
    ]  # fmt: skip


# Recording


def test_rows_come_back_to_the_last_bit(tmp_path):
    table = layers(3).assign(sqnr_accumulated_db=[np.inf, -1 / 3, np.nan], mse=[1e-300, 2**-52, 0.1])
    table = table.assign(pairing="float file", local_inputs="")
    record(table, "layer_error", tmp_path, **SMOKE)
    back = read_frame(tmp_path, "layer_error")
    pd.testing.assert_frame_equal(back[table.columns], table, check_exact=True, check_dtype=False)
    assert ",," in (tmp_path / "frames" / "layer_error.csv").read_text()


def test_counts_with_gaps_stay_integers(tmp_path):
    row = FILE | {"size_bytes": 123_456_789, "peak_activation_bytes": np.nan, "params": 5, "madds": np.nan}
    table = frames.build(frames.MEMORY, [row, row | {"scheme": "float32", "madds": 9_007_199_254}])
    text = record(table, "memory", tmp_path, **SMOKE).read_text()
    assert "9007199254," in text
    assert ".0" not in text.split("plain")[0]


def test_two_notebooks_contribute_and_the_last_one_wins(tmp_path):
    record(accuracy(), "accuracy", tmp_path, **SMOKE)
    record(accuracy(scheme="float32", backend=""), "accuracy", tmp_path, **SMOKE)
    record(accuracy(top1=0.9), "accuracy", tmp_path, notebook="other", profile="smoke")
    record(accuracy(scheme="float32", backend="", top1=0.95), "accuracy", tmp_path, **SMOKE)
    rows = read_frame(tmp_path, "accuracy").set_index("scheme")
    assert rows["top1"].to_dict() == {"static_wi8_ai8": 0.9, "float32": 0.95}
    assert rows["notebook"].to_dict() == {"static_wi8_ai8": "other", "float32": "plain"}
    forget(tmp_path, notebook="other", profile="smoke")
    assert read_frame(tmp_path, "accuracy")["scheme"].tolist() == ["float32"]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = record(accuracy(), "accuracy", tmp_path, **SMOKE)
    before = path.read_bytes()

    def crash(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        record(accuracy(top1=0.1), "accuracy", tmp_path, **SMOKE)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["accuracy.csv"]


def test_record_refuses_what_is_no_frame(tmp_path):
    with pytest.raises(UserError, match=r"'acuracy'.*Did you mean 'accuracy'"):
        record(accuracy(), "acuracy", tmp_path, **SMOKE)
    with pytest.raises(ValueError, match=r"record needs a accuracy frame. Missing columns: top1"):
        record(accuracy().drop(columns="top1"), "accuracy", tmp_path, **SMOKE)
    with pytest.raises(ValueError, match="two rows"):
        record(pd.concat([accuracy(), accuracy()]), "accuracy", tmp_path, **SMOKE)
    with pytest.raises(UserError, match="No accuracy frame"):
        read_frame(tmp_path, "accuracy")
    assert not list(tmp_path.iterdir())


def test_figures_share_one_plotly(tmp_path):
    import plotly.graph_objects as go

    for name in ("first", "second"):
        page = record_figure(go.Figure(go.Scatter(x=np.arange(3), y=[1, 2, 3])), name, tmp_path)
        assert "cdn" not in page.read_text()
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["first.html", "first.json", "plotly.min.js", "second.html", "second.json"]
    assert json.loads((tmp_path / "figures" / "first.json").read_text())["data"][0]["type"] == "scatter"
    with pytest.raises(UserError, match=r"Got '\.\./x'"):
        record_figure(go.Figure(), "../x", tmp_path)


# Baselines


@pytest.fixture
def blessed(tmp_path):
    """Results and baselines that agree."""
    results, baselines = tmp_path / "results", tmp_path / "baselines"
    record(accuracy(), "accuracy", results, **SMOKE)
    record(layers().assign(weight_sqnr_db=[np.inf, 41.0, 42.0, np.nan]), "layer_error", results, **SMOKE)
    assert [path.name for path in bless(results, baselines)] == ["layer_error.csv", "accuracy.csv"]
    return results, baselines


def test_rules_name_columns_that_exist():
    for name, rules in RULES.items():
        assert set(rules) <= set(FRAMES[name].values)


def test_bless_then_check_finds_nothing(blessed):
    results, baselines = blessed
    moved = check(results, baselines, complete=True)
    assert moved.empty
    assert tuple(moved.columns) == COLUMNS
    assert comparison.check(results, baselines, complete=True).n_compared == 4 * 10 + 2
    assert bless(results, baselines) == []
    assert (baselines / "accuracy.csv").read_text().splitlines() == [
        "model,scheme,backend,data,n_images,top1",
        "micro0,static_wi8_ai8,converter,scenes,600,0.84",
    ]


def test_a_moved_number_is_told_as_a_row(blessed):
    results, baselines = blessed
    record(accuracy(top1=0.82), "accuracy", results, **SMOKE)
    (row,) = check(results, baselines).to_dict("records")
    key = "micro0 | static_wi8_ai8 | converter | scenes"
    assert row == {"frame": "accuracy", "key": key, "what": "top1", "was": 0.84, "is": 0.82, "allowed": "± 0.01"}
    assert [path.name for path in bless(results, baselines)] == ["accuracy.csv"]
    assert check(results, baselines).empty


@pytest.mark.parametrize(("top1", "moves"), [(0.85, False), (0.83, False), (0.8501, True), (np.nan, True)])
def test_edge_of_a_tolerance(blessed, top1, moves):
    results, baselines = blessed
    record(accuracy(top1=top1), "accuracy", results, **SMOKE)
    assert len(check(results, baselines)) == moves


@pytest.mark.parametrize(("now", "moves"), [(1.5, False), (4.5, False), (0.5, False), (4.6, True), (0.49, True)])
def test_latency_is_compared_as_a_ratio_only(tmp_path, now, moves):
    row = (
        dict.fromkeys(frames.LATENCY.values, 1.0) | FILE | {"threads": 1, "host": "a", "kernels": "k", "reference": "r"}
    )
    record(frames.build(frames.LATENCY, [row | {"relative_p50": 1.5}]), "latency", tmp_path, **SMOKE)
    bless(tmp_path, tmp_path / "b")
    slower = row | {"relative_p50": now, "p50_ms": 99.0, "host": "b"}
    record(frames.build(frames.LATENCY, [slower]), "latency", tmp_path, **SMOKE)
    assert len(check(tmp_path, tmp_path / "b")) == moves


def test_infinity_is_a_value_and_nothing_else_equals_it(blessed):
    results, baselines = blessed
    record(layers().assign(weight_sqnr_db=[60.0, 41.0, 42.0, np.nan]), "layer_error", results, **SMOKE)
    moved = check(results, baselines)
    assert moved[["what", "was", "is"]].to_numpy().tolist() == [["weight_sqnr_db", np.inf, 60.0]]


def test_only_smoke_rows_are_compared(blessed):
    results, baselines = blessed
    record(accuracy(top1=0.1, data="flowers"), "accuracy", results, notebook="plain", profile="full")
    assert check(results, baselines, complete=True).empty


def test_rows_that_came_or_went_count_in_a_complete_run(blessed):
    results, baselines = blessed
    (results / "frames" / "accuracy.csv").unlink()
    record(accuracy(model="micro9"), "accuracy", results, **SMOKE)
    table = layers(5)[1:].assign(weight_sqnr_db=[41.0, 42.0, np.nan, 44.0])
    (results / "frames" / "layer_error.csv").unlink()
    record(table, "layer_error", results, **SMOKE)
    assert check(results, baselines).empty
    moved = check(results, baselines, complete=True)
    layer = "micro0 | static_wi8_ai8 | converter |"
    assert moved[["key", "was", "is"]].to_numpy().tolist() == [
        [f"{layer} 0 | block0/conv;relu", "recorded", "missing"],
        [f"{layer} 4 | block4/conv;relu", "no baseline", "recorded"],
        ["micro0 | static_wi8_ai8 | converter | scenes", "recorded", "missing (1 row)"],
        ["micro9 | static_wi8_ai8 | converter | scenes", "no baseline", "recorded (1 row)"],
    ]
    bless(results, baselines)
    assert len(check(results, baselines, complete=True)) == 2  # a partial blessing forgets nothing
    bless(results, baselines, complete=True)
    assert check(results, baselines, complete=True).empty


def test_nothing_to_compare_is_said(tmp_path):
    with pytest.raises(UserError, match="No smoke rows"):
        check(tmp_path, tmp_path / "b")
    record(accuracy(), "accuracy", tmp_path, **SMOKE)
    with pytest.raises(UserError, match="has a baseline"):
        check(tmp_path, tmp_path / "b")


def test_the_layer_whose_weights_moved_is_named(blessed):
    results, baselines = blessed
    worse = layers().assign(sqnr_accumulated_db=[28.0, 27.0, 20.0, 19.0], weight_sqnr_db=[np.inf, 40.8, 20.0, np.nan])
    record(worse, "layer_error", results, **SMOKE)
    (line,) = layer_summary(check(results, baselines))
    assert "look at layer 2 'block2/conv;relu' (its own weights moved): weight_sqnr_db was 42, is 20" in line
    assert line.endswith("3 other layers moved.")


def test_without_moved_weights_the_first_layer_is_named(blessed):
    results, baselines = blessed
    worse = layers().assign(sqnr_accumulated_db=[30.0, 27.0, 20.0, 19.0], weight_sqnr_db=[np.inf, 41.0, 42.0, np.nan])
    record(worse, "layer_error", results, **SMOKE)
    (line,) = layer_summary(check(results, baselines))
    assert "look at layer 1 'block1/conv;relu' (first in forward order" in line


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, effnet_lab.regress;"
        "slow = ('papermill', 'nbformat', 'plotly', 'tensorflow', 'jinja2', 'jupyter_client');"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
