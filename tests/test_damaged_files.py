"""Files that somebody damaged, and files that end the interpreter: one line, never a traceback, never the end of the process."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from mutants import mutants, sources
from single_ops import binary, layer
from typer.testing import CliRunner

from effnet_lab import cli, cpu_limit
from effnet_lab.analysis.lint import lint
from effnet_lab.litert import Runner, read_graph, read_info, trial, trial_process
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.quick_tables import quick_tables
from effnet_lab.names import UserError

SOURCES = ("tensorflow__hello_world_int8", "mlcommons__kws_ref_model", "esphome__vad")


def saved(path, content: bytes):
    path.write_bytes(content)
    return path


@pytest.mark.real
@pytest.mark.parametrize("name", SOURCES)
def test_a_damaged_file_is_read_or_refused_in_one_line(shared, tmp_path, name):
    content = sources(shared / "fixtures" / "wild", (name,))[name]
    said, n = [], 60
    for damaged in mutants(content, n, np.random.default_rng(0)):
        path = saved(tmp_path / "damaged.tflite", damaged)
        try:
            read_graph(path)
            read_info(path)
        except UserError as error:
            said.append(str(error).replace(str(path), "damaged.tflite"))
    assert 0.3 * n < len(said) < n  # the damage is neither harmless nor trivial
    assert all(len(line) <= 300 and "\n" not in line for line in said)


@pytest.mark.real
def test_a_damaged_file_is_linted_or_refused(shared, tmp_path):
    content = sources(shared / "fixtures" / "wild", SOURCES[:1])[SOURCES[0]]
    linted = 0
    for damaged in mutants(content, 40, np.random.default_rng(1)):
        path = saved(tmp_path / "damaged.tflite", damaged)
        try:
            lint(path)
            linted += 1
        except UserError:
            pass
    assert linted > 0


ONE_WRONG = {  # what is planted in a file of one convolution, and what is said of it
    "input": (lambda graph, tree: setattr(graph, "inputs", [99]), "an input names tensor 99"),
    "minus one": (lambda graph, tree: setattr(graph, "outputs", [-1]), "an output names tensor -1"),
    "no output": (lambda graph, tree: setattr(graph, "outputs", []), "its graph has no output"),
    "no input": (lambda graph, tree: setattr(graph, "inputs", []), "reads tensor 0 .*nothing computes"),
    "operator code": (lambda graph, tree: setattr(graph.operators[0], "opcodeIndex", 7), "operator 0 names operator code 7"),
    "buffer": (lambda graph, tree: setattr(graph.tensors[1], "buffer", 50), "tensor 1 .*names buffer 50"),
    "short": (lambda graph, tree: setattr(tree.buffers[1], "data", np.zeros(5, np.uint8)), "needs 24 bytes, .* holds 5"),
    "shape": (lambda graph, tree: setattr(graph.tensors[0], "shape", [1, -5, 5, 4]), r"has the shape \(1, -5, 5, 4\)"),
    "size": (lambda graph, tree: setattr(graph.tensors[0], "shape", [1, 2**30, 2**30, 4]), "takes .* bytes, and this machine"),
    "axis": (lambda graph, tree: setattr(graph.tensors[1].quantization, "quantizedDimension", 9), "quantized along axis 9"),
    "scales": (lambda graph, tree: setattr(graph.tensors[1].quantization, "scale", np.ones(4)), "4 scales and 6 zero points"),
    "written twice": (lambda graph, tree: graph.operators.append(graph.operators[0]), "which has its value already"),
    "stride": (lambda graph, tree: setattr(graph.operators[0].builtinOptions, "strideH", 0), "has strideH 0"),
    "channels": (lambda graph, tree: setattr(graph.tensors[3], "shape", [1, 5, 5, 7]), "with the kernel"),
    "no kernel": (lambda graph, tree: setattr(graph.operators[0], "inputs", [0, -1, 2]), "needs 2 and 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE_WRONG)
def test_one_wrong_statement_is_named(tmp_path, what):
    change, says = ONE_WRONG[what]
    tree = parse(layer("conv", 0.1, [0.01] * 6, 0.1))
    change(tree.subgraphs[0], tree)
    with pytest.raises(UserError, match=says):
        read_graph(saved(tmp_path / "wrong.tflite", pack(tree)))


def test_a_healthy_file_passes_the_check(tmp_path):
    """Also one that leaves out what it may: zero points, names, the shape of a scalar."""
    tree = parse(layer("conv", 0.1, [0.01] * 6, 0.1))
    for tensor in tree.subgraphs[0].tensors:
        tensor.name = tensor.quantization.zeroPoint = None
    graph = read_graph(saved(tmp_path / "lean.tflite", pack(tree)))
    assert [tensor.zero_point.tolist() for tensor in graph.tensors[1:2]] == [[0] * 6]
    assert [tensor.name for tensor in graph.tensors] == ["#0", "#1", "#2", "#3"]


@pytest.mark.real
@pytest.mark.parametrize("name", SOURCES)
def test_the_quick_reader_reads_what_the_generated_one_reads(name, shared):
    """Of public files whole, and with one byte changed: the same tree, or no tree from either."""
    content = (shared / "fixtures" / "wild" / f"{name}.tflite").read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for damage in range(60):
        changed = bytearray(content)
        if damage:
            changed[rng.choice([1, -1]) * rng.integers(8, 2000)] = rng.integers(256)
        trees = []
        for tables in (quick_tables, contextlib.nullcontext):
            try:
                with tables():
                    trees.append(plain(schema.ModelT.InitFromPackedBuf(bytes(changed), 0)))
            except (struct.error, TypeError, ValueError, IndexError, OverflowError, UnicodeDecodeError, MemoryError):
                trees.append(None)
        assert trees[0] == trees[1]
        read += trees[0] is not None
    assert 10 < read < 60


def plain(part):
    """A tree of objects as lists and dictionaries."""
    if isinstance(part, list):
        return [plain(each) for each in part]
    if isinstance(part, np.ndarray):
        return part.tobytes()
    return {name: plain(value) for name, value in vars(part).items()} if hasattr(part, "__dict__") else repr(part)


# ---- files that pass the check and still end the interpreter

DEADLY = binary("add", 1.0, 1.0, 0.0)  # the plain kernel aborts on this output scale


def test_an_interpreter_that_dies_is_one_line_that_names_the_operator(tmp_path):
    path = saved(tmp_path / "deadly.tflite", DEADLY)
    for kernels in ("xnnpack", "builtin"):
        with pytest.raises(UserError, match=r"deadly\.tflite' ends the interpreter \(SIGABRT\) .*operator 0, add"):
            Runner(path, kernels=kernels)
    (finding,) = lint(path).table.query("id == 'F902'").to_dict("records")
    assert (finding["severity"], finding["op"]) == ("error", "add")
    done = CliRunner().invoke(cli.app, ["bench", str(path)])
    assert isinstance(done.exception, UserError)


def test_the_operator_is_found_among_others(tmp_path):
    """The deadly addition stands behind five harmless ones."""
    tree, graph = (found := parse(binary("add", 1.0, 1.0, 1.0))), found.subgraphs[0]
    for i in range(6):
        more = parse(DEADLY if i == 4 else binary("add", 1.0, 1.0, 1.0)).subgraphs[0]
        graph.tensors.append(more.tensors[2])
        more.operators[0].inputs, more.operators[0].outputs = [2 + i, 1], [3 + i]
        graph.operators.append(more.operators[0])
    graph.outputs = [len(graph.tensors) - 1]
    with pytest.raises(UserError, match="operator 5, add"):
        Runner(saved(tmp_path / "chain.tflite", pack(tree)), kernels="builtin")


def test_one_child_serves_a_command_and_what_it_survived_is_not_tried_again(tmp_path, monkeypatch):
    started, begun = [], []
    start, begin = subprocess.Popen, trial_process.TrialProcess.begin
    monkeypatch.setattr(
        trial_process.subprocess, "Popen", lambda *words, **how: started.append(words) or start(*words, **how)
    )
    monkeypatch.setattr(
        trial_process.TrialProcess, "begin", lambda self, *asked: begun.append(asked) or begin(self, *asked)
    )
    trial_process.close()
    paths = [saved(tmp_path / f"{i}.tflite", layer("conv", 0.1, 0.01 * (i + 1), 0.1)) for i in range(3)]
    for path in (*paths, *paths):
        Runner(path)
        Runner(path, kernels="builtin")
    assert (len(started), len(begun)) == (1, 6)


def test_what_is_asked_while_the_child_is_at_another_file_is_answered_in_turn(tmp_path, monkeypatch):
    """Also where the child dies on the first, which nobody had asked about yet; and the same question is put once."""
    begun, begin = [], trial_process.TrialProcess.begin
    monkeypatch.setattr(
        trial_process.TrialProcess, "begin", lambda self, *asked: begun.append(asked) or begin(self, *asked)
    )
    paths = [
        saved(tmp_path / f"{i}.tflite", content) for i, content in enumerate((DEADLY, layer("conv", 0.1, 0.02, 0.1)))
    ]
    deadly, again, sound = (trial.FileTrial(str(path), kernels="AUTO") for path in (paths[0], *paths))
    assert (sound.outcome().step, sound.outcome().death) == ("done", "")
    assert deadly.outcome().death == again.outcome().death == "SIGABRT"
    assert len(begun) == 2


def test_parts_that_nobody_asks_about_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    content = layer("conv", 0.1, 0.03, 0.1)
    parts = trial.PartsTrial(content, str(saved(tmp_path / "whole.tflite", content)), kernels="AUTO")
    assert len(list((tmp_path / "scratch").glob("*/*.tflite"))) == 1
    del parts
    assert not list((tmp_path / "scratch").iterdir())


def test_content_that_was_made_here_is_not_tried(monkeypatch):
    monkeypatch.setattr(trial, "trial_process", lambda: pytest.fail("a child was asked"))
    Runner(layer("conv", 0.1, 0.01, 0.1))


def test_an_interpreter_that_hangs_is_ended(tmp_path, monkeypatch):
    child = saved(
        tmp_path / "child.py", b"import sys, time\nsys.stdin.readline()\nprint('run', flush=True)\ntime.sleep(600)\n"
    )
    monkeypatch.setattr(trial_process, "SCRIPT", child)
    monkeypatch.setattr(trial, "START_S", 5.0)
    monkeypatch.setattr(cpu_limit, "PATIENCE", 1)  # it takes no processor time
    trial_process.close()
    path = saved(tmp_path / "slow.tflite", layer("conv", 0.1, 0.0321, 0.1))
    start = time.monotonic()
    with pytest.raises(UserError, match="hangs when it is run"):
        trial.require_survival(str(path), kernels="AUTO", keep_all=False, madds=0)
    assert time.monotonic() - start < 300
    trial_process.close()


@pytest.mark.real
def test_a_public_file_that_kills_plain_litert(shared):
    """Heap corruption in the last of seven SVDF operators, found by running each alone."""
    path = shared / "fixtures" / "wild" / "tensorflow__keyword_scrambled_8bit.tflite"
    with pytest.raises(UserError, match="operator 11, svdf"):
        Runner(path)
    done = subprocess.run(
        [sys.executable, "-c", "from effnet_lab import cli; cli.main()", "bench", str(path)],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
