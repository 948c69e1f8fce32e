"""A precision for each layer: what it costs is what files show, budgets are met by the file, drops by a test."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from logits import logits
from typer.testing import CliRunner

from effnet_lab import frames
from effnet_lab.analysis.precision import (
    FLOAT,
    KINDS,
    LOSS,
    PRECISIONS,
    Program,
    byte_costs,
    candidates_of,
    choose_precisions,
    loss_matrix,
    sensitivities,
    time_costs,
)
from effnet_lab.analysis.precision.costs import SwitchTime
from effnet_lab.cli import app
from effnet_lab.images import open_images
from effnet_lab.litert import allocate, read_graph, read_info
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.names import UserError
from effnet_lab.quantize import get_scheme, parse_recipe
from effnet_lab.quantize.schemes import AI_EDGE
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies import mixed_precision, mixed_run, mixed_times, mixed_trials
from effnet_lab.studies.inspection import WhatIf

FLOAT_FILE = "float32 converter"
INT8, PER_TENSOR, INT4, INT16 = PRECISIONS[:4]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


@pytest.fixture(scope="module")
def written(files):
    """micro0 in one precision throughout."""
    return {
        name: files[f"{get_scheme(name).name} ai_edge_quantizer"].read_bytes() for name in PRECISIONS if name != FLOAT
    }


@pytest.fixture(scope="module")
def candidates(files, written):
    return candidates_of(read_graph(files[FLOAT_FILE]), {name: read_graph(file) for name, file in written.items()})


@pytest.fixture(scope="module")
def calibration():
    return open_images("scenes", split="calibration", limit=60)  # those of `files`


@pytest.fixture(scope="module")
def sensitivity(files, written, candidates, calibration):
    content = files[FLOAT_FILE].read_bytes()
    return sensitivities(content, written, candidates, calibration.take(6), model="micro0")


@pytest.fixture(scope="module")
def searched(files, calibration, tmp_path_factory):
    """A function that runs a search, in one folder for all."""
    folder = tmp_path_factory.mktemp("search")

    def search(out, images=90, **asked):
        data = open_images("scenes", limit=images)
        return mixed_precision(files[FLOAT_FILE], data, out, calibration=calibration, resume=folder, **asked)

    return search


def test_what_a_layer_can_have(candidates):
    kinds = [op.kind for _, op in candidates.ops]
    allowed = {kind: {PRECISIONS[p] for i, k in enumerate(kinds) if k == kind for p in np.flatnonzero(candidates.allowed[i])}
               for kind in kinds}  # fmt: skip
    assert allowed["conv"] == set(PRECISIONS)
    assert allowed["depthwise"] == set(PRECISIONS) - {INT4}
    assert allowed["add"] == {INT8, INT16, FLOAT}
    assert candidates.allowed[-2:].tolist() == [[True, False, False, False, False]] * 2


def test_edges_are_who_reads_whom(candidates):
    n = len(candidates)
    adds = [i for i, (_, op) in enumerate(candidates.ops) if op.kind == "add"]
    assert adds
    for row in range(n):
        assert sum(reader == row for _, reader in candidates.edges) == (2 if row in adds else 1)
    assert (n, 0) in candidates.edges, "the network's input"
    assert (n - 1, n + 1) in candidates.edges, "its output"


def test_bytes_of_the_layers_are_those_by_which_files_differ(candidates, written, files):
    costs = byte_costs(candidates).layers

    def of(name):
        column = PRECISIONS.index(name)
        return sum(row[column if can[column] else 0] for row, can in zip(costs, candidates.allowed, strict=True))

    for name in (PER_TENSOR, INT4, INT16):
        saved, predicted = len(written[INT8]) - len(written[name]), of(INT8) - of(name)
        assert predicted == pytest.approx(saved, abs=0.02 * len(written[INT8])), name


@pytest.mark.parametrize("precision", [INT8, INT4])
def test_the_noise_of_a_layer_is_that_of_a_file_with_this_layer_alone(files, sensitivity, calibration, precision):
    """Against a file in which the quantizer left all other layers in float, run as a whole."""
    content, preprocess = files[FLOAT_FILE].read_bytes(), read_info(files[FLOAT_FILE]).preprocess
    rows = sensitivity[(sensitivity["precision_name"] == precision) & (sensitivity["op"] == "conv")]
    rows = rows.sort_values("noise_share")
    batch = np.stack([image for (image,) in calibration.take(6).samples(preprocess)])
    exact = logits(content, batch)
    for row in (rows.iloc[-1], rows.iloc[len(rows) // 2]):
        recipe = parse_recipe(f"float32; {row['layer']}={precision}")
        alone = quantizer((recipe, AI_EDGE), calibration)(content)
        noise = np.square(logits(alone, batch) - exact).sum() / np.square(exact).sum()
        assert 10 * abs(np.log10(noise / row["noise_share"])) < 1.0, row["layer"]


def test_float_layers_are_without_noise(sensitivity):
    assert (sensitivity.loc[sensitivity["precision_name"] == FLOAT, "noise_share"] == 0).all()
    assert (sensitivity["noise_share"] > 0).any()


def test_on_the_costs_of_a_real_network_no_other_choice_is_better(candidates, sensitivity):
    """Six layers of it free, the others int8: against trying all of them."""
    loss, costs = loss_matrix(sensitivity, candidates), byte_costs(candidates)
    free = [*[i for i, (_, op) in enumerate(candidates.ops) if op.kind == "conv"][:5], len(candidates) - 2]
    for row in set(range(len(loss))) - set(free):
        loss[row, 1:] = np.inf
    program = Program(loss=loss, kinds=KINDS, edges=candidates.edges, resources={"bytes": costs})
    usual = np.zeros(len(loss), int)
    limit = program.use(usual, "bytes") - 1000
    best = np.inf
    for some in itertools.product(*(np.flatnonzero(np.isfinite(loss[row])) for row in free)):
        usual[free] = some
        if program.use(usual, "bytes") <= limit:
            best = min(best, program.use(usual, LOSS))
    assert choose_precisions(program, {"bytes": limit}).loss == pytest.approx(best, rel=1e-6)


def test_a_budget_of_bytes_is_met_by_the_file(searched, tmp_path, files):
    int8 = files["static_wi8_ai8 ai_edge_quantizer"].stat().st_size
    out, asked = tmp_path / "small.tflite", int(0.85 * int8)
    done = searched(out, max_bytes=asked)
    size = out.stat().st_size
    assert 0.9 * asked < size <= asked
    assert done.met
    table = frames.require(done.table, frames.PRECISIONS, caller="test")
    (chosen,) = table[table["guarantee"] != ""].to_dict("records")
    assert chosen["size_bytes"] == size
    assert chosen["predicted_bytes"] == pytest.approx(size, rel=0.02)
    assert chosen["recipe"] == done.recipe.text == read_info(out).recipe
    assert parse_recipe(read_info(out).recipe) == done.recipe
    int4 = table[table["choice"] == "int4"].iloc[0]
    assert chosen["predicted_noise"] < int4["predicted_noise"], "it need not be int4 throughout"
    graph = read_graph(out)
    assert {graph.weights(op).dtype.name for op in graph.ops if graph.weights(op) is not None} >= {"int4", "int8"}


def test_a_budget_of_the_arena_is_met_by_the_allocator(searched, tmp_path, files):
    least = allocate(files["static_wi8_ai8 ai_edge_quantizer"]).total_bytes
    out = tmp_path / "arena.tflite"
    done = searched(out, max_arena=int(1.4 * least))
    assert allocate(out).total_bytes <= 1.4 * least
    assert "arena" in done.sentence


def timed(rows):
    """A PROFILE table of (layer, operator, ms)."""
    return pd.DataFrame(rows, columns=["layer", "operator", "uninterrupted_ms"])


def test_times_of_uniform_files_are_put_on_the_clock_of_the_float_file(monkeypatch):
    """A file that took long because the machine was busy just then takes what it takes in turn with the float file."""
    takes = {
        FLOAT: (2.0, 2.0),
        INT8: (3.0, 1.0),
        INT16: (40.0, 99.0),
    }  # ms while profiled, ms in turn with the float file

    def profile(path, *_):
        whole = takes[path][0]
        rows = [("a", "Convolution", 0.6 * whole), ("b", "Convolution", 0.3 * whole), ("", "outside", 0.1 * whole)]
        return SimpleNamespace(table=timed(rows), uninterrupted_ms=whole)

    def latency(paths):
        assert INT16 not in paths, "too slow for the rounds of the others"
        ms = np.array([takes[path][1] for path in paths])
        return pd.DataFrame({"cpu_p50_ms": ms, "relative_p50": ms / ms[0]})

    monkeypatch.setattr(mixed_times, "profile", profile)
    monkeypatch.setattr(mixed_times, "measure_latency", latency)
    found = mixed_times.uniform_profiles({name: name for name in takes})
    sums = {name: table["uninterrupted_ms"].sum() for name, table in found.items()}
    assert sums == pytest.approx({FLOAT: 2.0, INT8: 1.0, INT16: 40.0})
    assert found[INT8]["uninterrupted_ms"].tolist() == pytest.approx([0.6, 0.3, 0.1])


def test_layers_share_what_no_layer_takes_and_conversions_cost_by_kind(candidates):
    names, n = candidates.names, len(candidates)
    profiles = {
        INT8: timed([*((name, "Convolution", 0.01) for name in names), ("", "outside the operators", 0.02)]),
        FLOAT: timed([*((name, "Convolution", 0.03) for name in names), ("", "Convert (NC)", 5.0)]),
    }
    costs = time_costs(candidates, profiles, {(0, 2): SwitchTime(1e-3, 7.0)})
    assert costs.layers[:n, 0].sum() == pytest.approx(0.01 * n + 0.02)
    assert costs.layers[:n, -1].sum() == pytest.approx(0.03 * n), "conversions are counted where they stand"
    edge = candidates.edges.index((n, 0))
    assert costs.switches[edge, 0, 2] == pytest.approx(1e-3 * candidates.elements(n) + 7.0)
    assert 0 < costs.switches[edge, 2, 0] < costs.switches[edge, 0, 1] < costs.switches[edge, 0, 2]
    assert not costs.switches[edge].diagonal().any()


def test_layers_are_not_chosen_for_what_a_profiler_got_wrong(candidates):
    """Kernels of one kind take equally long: the smallest of a layer's times is chance, the sums of the files are not."""
    rng, names, n = np.random.default_rng(0), candidates.names, len(candidates)
    noisy = {precision: rng.uniform(0.005, 0.015, n) for precision in (INT8, PER_TENSOR, INT4)}
    profiles = {
        precision: timed([(name, "Convolution", ms) for name, ms in zip(names, times, strict=True)])
        for precision, times in noisy.items()
    }
    costs = time_costs(candidates, profiles).layers[:n, :3]
    assert costs.sum(axis=0) == pytest.approx([times.sum() for times in noisy.values()])
    assert costs.min(axis=1).sum() == pytest.approx(min(times.sum() for times in noisy.values()))


def test_a_conversion_costs_what_files_show_in_which_kinds_meet(candidates, files, calibration, tmp_path, monkeypatch):
    """A profiler that says 2 ns for a value that becomes int16, 1 ns for any other, and nothing of 3 us for the call."""
    profiles = {
        precision: timed([(name, "Convolution", 0.02) for name in candidates.names])
        for precision in (INT8, INT16, FLOAT)
    }
    layers, in_turn, whole = 0.02 * len(candidates), {}, {files[FLOAT_FILE]: 0.02 * len(candidates)}
    for chosen in mixed_times.choices_in_turn(candidates):
        path = in_turn[chosen] = tmp_path / f"{len(in_turn)}.tflite"
        recipe = mixed_trials.recipe_of(candidates, chosen)
        path.write_bytes(quantizer((recipe, AI_EDGE), calibration)(files[FLOAT_FILE].read_bytes()))
        met = [(candidates.elements(a), KINDS[chosen[a]], KINDS[chosen[b]]) for a, b in candidates.edges]
        whole[path] = layers + sum(3e-3 + n * (1e-6 if b == 1 else 5e-7) for n, a, b in met if a != b)

    def profile(path, *_):
        graph, rows = read_graph(path), [("a", "Convolution", 1.0)]
        for op in graph.ops:
            if op.kind in ("quantize", "dequantize"):
                out = graph.tensors[op.outputs[0]]
                rows.append(("", "QUANTIZE", np.prod(out.shape) * (2e-6 if out.dtype == np.int16 else 1e-6)))
        return SimpleNamespace(table=timed(rows), uninterrupted_ms=2 * layers)

    monkeypatch.setattr(mixed_times, "profile", profile)
    monkeypatch.setattr(
        mixed_times, "measure_latency", lambda paths: pd.DataFrame({"relative_p50": [1.0, whole[paths[1]] / layers]})
    )
    found = mixed_times.switch_times(candidates, profiles, in_turn, files[FLOAT_FILE])
    every = {(a, b): 1e-6 if b == 1 else 5e-7 for a in range(3) for b in range(3) if a != b}
    assert {kinds: time.value_ms for kinds, time in found.items()} == pytest.approx(every), (
        "the clock of the float file runs at half the time"
    )
    assert [time.each_ms for time in found.values()] == pytest.approx([3e-3] * len(every))


def test_what_is_shorter_than_the_profiler_counts_is_not_chosen_for_it(candidates):
    """Of layers of half a microsecond it says 0 or 1; of those of a millisecond it is believed."""
    rng, names, n = np.random.default_rng(1), candidates.names, len(candidates)
    for scale, trusted in ((1e-3, False), (1.0, True)):
        read = {form: scale * rng.integers(0, 2, n) + 1e-9 for form in (INT8, FLOAT)}
        profiles = {
            form: timed([(name, "Convolution", ms) for name, ms in zip(names, times, strict=True)])
            for form, times in read.items()
        }
        costs = time_costs(candidates, profiles).layers[:n, [0, -1]]
        assert costs.sum(axis=0) == pytest.approx([times.sum() for times in read.values()])
        gained = costs.sum(axis=0).min() - costs.min(axis=1).sum()
        believed = min(times.sum() for times in read.values()) - np.minimum(*read.values()).sum()
        assert (gained > 0.9 * believed) if trusted else (gained < 0.6 * believed)


def test_a_budget_of_time_is_met_on_the_clock_of_the_float_file(searched, tmp_path, monkeypatch):
    """A machine on which a file takes a microsecond per kilobyte, and which is twice as slow while the float file is profiled."""

    def profile(path, *_):
        graph, whole = read_graph(path), os.path.getsize(path) / 1e6
        layers = [name for name, (tensor, op) in zip(layer_names(graph).values(), computing(graph), strict=True)]
        rows = [(layer, "Convolution", 2 * whole / len(layers)) for layer in layers]
        return SimpleNamespace(table=timed(rows), uninterrupted_ms=2 * whole)

    def latency(paths):
        ms = np.array([os.path.getsize(path) / 1e6 for path in paths])
        return pd.DataFrame({"cpu_p50_ms": ms, "relative_p50": ms / ms[0], "guard": "quiet"})

    monkeypatch.setattr(mixed_times, "profile", profile)
    for module in (mixed_times, mixed_trials):
        monkeypatch.setattr(module, "measure_latency", latency)
    out = tmp_path / "quick.tflite"
    limit = 0.05
    done = searched(out, max_ms=limit)
    assert out.stat().st_size / 1e6 <= limit
    row = done.table[done.table["guarantee"] != ""].iloc[0]
    assert row["measured_ms"] == pytest.approx(out.stat().st_size / 1e6)
    assert row["guard"] == "quiet"
    assert "ms" in done.sentence


def test_what_cannot_be_met_is_said_with_the_nearest(searched, tmp_path):
    with pytest.raises(UserError, match=r"cannot be met\. The nearest file takes bytes [\d,]+ of 10,000"):
        searched(tmp_path / "no.tflite", max_bytes=10_000)
    assert not (tmp_path / "no.tflite").exists()


def test_a_drop_is_shown_on_images_that_chose_nothing(searched, tmp_path, files):
    out = tmp_path / "drop.tflite"
    done = searched(out, max_drop=20.0)
    assert done.met
    row = done.table[done.table["guarantee"] != ""].iloc[0]
    assert row["n_images"] == 60, "a third of 90 images chooses"
    assert row["difference_lo"] >= -0.2
    assert out.stat().st_size < files[FLOAT_FILE].stat().st_size / 2


def test_the_inspector_opens_with_the_switches_as_they_were_chosen(searched, tmp_path, written, calibration):
    out = tmp_path / "mixed.tflite"
    done = searched(out, max_bytes=int(0.9 * len(written[INT8])))
    session = WhatIf(out, "scenes", calibration=calibration, limit=4)
    assert session.switches.recipe.text == done.recipe.text
    assert len(set(session.switches.chosen.values())) > 1


def test_a_drop_that_is_not_shown_leaves_the_float_file(searched, tmp_path, files):
    out = tmp_path / "none.tflite"
    done = searched(out, max_drop=1e-6)
    assert not done.met
    assert "the float file does" in done.sentence
    assert read_graph(out).scheme == "float32"


def test_after_a_file_that_failed_one_well_on_the_way_back_is_tested(searched, tmp_path, monkeypatch):
    """All of them pass on the images that choose; of two tests the first one fails."""
    tested = []

    def difference(found, _):
        tested.append(len(found) == 60)
        lost = 0.5 if sum(tested) == 1 and tested[-1] else 0.0
        return {"difference": -lost, "difference_lo": -lost, "difference_hi": -lost, "p_value": 1.0}

    monkeypatch.setattr(mixed_run, "paired_difference", difference)
    done = searched(tmp_path / "drop.tflite", max_drop=20.0)
    assert sum(tested) == 2
    assert done.met
    chosen = done.table[done.table["guarantee"] != ""].iloc[0]
    cheaper = done.table[done.table["predicted_bytes"] < chosen["predicted_bytes"]]
    assert cheaper["choice"].str.contains("mixed").sum() >= 3, "the cheapest failed; its neighbours are passed by"


def test_what_else_lies_in_the_folder_of_a_search_stays(files, calibration, tmp_path):
    """Of another network, too: no file there is anybody's but its own."""
    theirs = {tmp_path / name: name.encode() for name in ("mine.tflite", "notes.csv", "kept.json", "statistics.npz")}
    for path, content in theirs.items():
        path.write_bytes(content)
    for few in (calibration.take(20), calibration.take(24)):
        mixed_precision(
            files[FLOAT_FILE], open_images("scenes", limit=40), calibration=few, max_bytes=10**9, resume=tmp_path
        )
        assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == theirs
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_stopped_it_leaves_a_file_and_goes_on(searched, tmp_path, monkeypatch):
    out = tmp_path / "stopped.tflite"

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mixed_run, "paired_difference", stop)
        with pytest.raises(KeyboardInterrupt):
            searched(out, max_drop=20.0)
    assert read_graph(out).scheme == "float32", "the file that keeps to any drop"
    with monkeypatch.context() as patched:
        patched.setattr("effnet_lab.studies.mixed_trials.sensitivities", stop)  # kept from the run before
        assert searched(out, max_drop=20.0).met
    assert read_graph(out).scheme != "float32"


KILLED = """
import os, signal
from effnet_lab import paths
from effnet_lab.studies import mixed_run

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}
from effnet_lab.cli import main
main()
"""
AT = {
    "while a file is tested": "mixed_run.paired_difference = kill",
    "while a file is being written": "keep = paths.os.replace\npaths.os.replace = lambda a, b: "
    "kill() if str(b).endswith('mixed.tflite') and os.path.exists(b) else keep(a, b)",
}


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("when", AT)
def test_killed_it_leaves_the_best_file_so_far_and_goes_on(files, tmp_path, when):
    out, int8 = tmp_path / "mixed.tflite", files["static_wi8_ai8 ai_edge_quantizer"].stat().st_size
    asked = ["--max-drop", "20"] if when == "while a file is tested" else ["--max-bytes", str(int(0.9 * int8))]
    words = [
        "mixed-precision",
        "--weights",
        str(files[FLOAT_FILE]),
        "--data",
        "scenes",
        "--limit-data",
        "60",
        "--workers",
        "1",
    ]
    words += ["--limit", "20", *asked, "--out", str(out)]  # fmt: skip
    code = KILLED.format(patch=AT[when])
    died = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=ENVIRONMENT)
    assert died.returncode == -signal.SIGKILL, died.stderr
    first = out.read_bytes()
    if when == "while a file is tested":
        assert read_graph(first).scheme == "float32", "the file that keeps to any drop"
    else:
        assert len(first) <= 0.9 * int8, "the smallest, which is tried first"
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "what the killed one left"
    assert out.read_bytes() != first
    assert read_graph(out).scheme != "float32"
    assert when == "while a file is tested" or len(first) <= out.stat().st_size <= 0.9 * int8


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "Say what may be used: --max-drop"),
        ({"max_bytes": -3}, "--max-bytes must be a number above 0. Got -3"),
        ({"max_drop": float("nan")}, "--max-drop must be a number above 0. Got nan"),
        ({"max_drop": 1.0, "minimise": "byte"}, "Did you mean 'bytes'"),
        ({"max_drop": 1.0, "images": 12}, "at least 40 images"),
    ],
)
def test_wrong_questions_are_refused(searched, tmp_path, asked, message):
    with pytest.raises(UserError, match=message):
        searched(tmp_path / "x.tflite", **asked)
    with pytest.raises(UserError, match=r"must end in \.tflite"):
        searched(tmp_path / "x.bin", max_drop=1.0)
