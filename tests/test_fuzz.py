"""Damaged files at every command, for two minutes: no traceback, no death, nothing slow or large, nothing outside the folder."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effnet_lab.images.labels import read_labels
from effnet_lab.litert import read_graph
from effnet_lab.names import UserError
from effnet_lab.quantize.calibration import Statistics
from effnet_lab.regress import check_parameters

FUZZ = Path(__file__).parent / "fuzz"
BUDGET_S = 900  # a quiet machine needs less than a minute for these mutants


@pytest.fixture(scope="module")
def fuzz():
    """The script `make fuzz`, as a module."""
    sys.path.insert(0, str(FUZZ))
    spec = importlib.util.spec_from_file_location("fuzz_run", FUZZ / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_run"] = module
    spec.loader.exec_module(module)
    return module


def test_two_minutes_of_damaged_files(fuzz, tmp_path):
    attack = fuzz.Attack(seed=1, keep=tmp_path)
    attack.run(fuzz.QUICK, share=0.05, seconds=BUDGET_S)
    assert attack.faults == []
    assert attack.counts.keys() == set(fuzz.QUICK)
    outcomes = sum(attack.counts.values(), start=type(attack.counts["lint"])())
    assert outcomes["refused"] > 20
    assert outcomes["done"] > 5


def test_a_door_that_got_no_time_has_a_row(fuzz):
    attack = fuzz.Attack(seed=0, counts={"lint": Counter(done=2, refused=1), "png": Counter()}, slowest={"lint": 0.25})
    assert attack.table().splitlines()[2:] == [
        "| lint | tflite | 3 | 2 | 1 | 0 | 0.2 |",
        "| png | png | 0 | 0 | 0 | 0 | 0.0 |",
    ]


def test_doors_that_were_not_tried_keep_their_rows(fuzz, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("What.\n<!-- counts -->\n<!-- end -->\nMore.\n")
    for counts in ({"png": Counter(done=1), "lint": Counter(done=7)}, {"png": Counter(refused=2)}):
        fuzz.write_page(page, fuzz.Attack(seed=0, counts=counts).table())
    before, head, line, *rows, end, after = page.read_text().splitlines()[1:]
    assert (before, end, after) == ("<!-- counts -->", "<!-- end -->", "More.")
    assert head.startswith("| door |")
    assert set(line) == set("|-:")
    assert rows == ["| lint | tflite | 7 | 7 | 0 | 0 | 0.0 |", "| png | png | 2 | 0 | 2 | 0 | 0.0 |"]


def test_a_fault_is_noticed(fuzz, tmp_path):
    """Deaths, hangs, memory, writing elsewhere, tracebacks and long refusals, each planted in a command."""
    attacked = fuzz.Attacked(tmp_path, tmp_path)
    try:
        planted = {
            "traceback": "1 / 0",
            "late": "while True: pass",
            "memory": "kept = b'x' * (2 << 30); import time; time.sleep(60)",
            "outside": f"open({str(tmp_path.parent / 'outside')!r}, 'w').close()",
            "badly said": "import effnet_lab.names as n; print('effnet-lab: one line more'); raise n.UserError('')",
            "died": "import os; os.abort()",
        }
        for outcome, code in planted.items():
            late_s = 1.0 if outcome == "late" else 60.0
            answer = attacked.ask({"door": "planted", "file": code, "out": ""}, late_s=late_s)
            assert answer["outcome"].startswith(outcome), answer
            if attacked.process.poll() is not None:
                attacked.close()
                attacked = fuzz.Attacked(tmp_path, tmp_path)
    finally:
        attacked.close()


# ---- whatever the bytes are: read, or refused in one line

CARELESS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)


NESTED = st.recursive(st.none() | st.integers(), st.lists).map(lambda tree: repr(tree).replace("None", "null").encode())


def refused_at_most(read, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        read(path)


@CARELESS
@given(content=st.binary(max_size=200).map(lambda raw: b"\x1c\0\0\0TFL3" + raw))
def test_any_bytes_as_a_tflite_file(tmp_path, content):
    refused_at_most(read_graph, tmp_path / "m.tflite", content)


@CARELESS
@given(content=NESTED | st.binary(max_size=80) | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_as_labels(tmp_path, content):
    refused_at_most(lambda path: read_labels(path, 10), tmp_path / "labels", content)


@CARELESS
@given(content=st.binary(max_size=300), kind=st.sampled_from(["", "PK\x03\x04"]))
def test_any_bytes_as_statistics(tmp_path, content, kind):
    refused_at_most(Statistics.load, tmp_path / "s.npz", kind.encode() + content)


@CARELESS
@given(array=st.sampled_from([np.zeros(3), np.array("{}"), np.zeros((0, 2), "U3"), np.full((1, 1), np.nan)]),
       name=st.sampled_from(["about", "low", "counts", "x"]))  # fmt: skip
def test_any_arrays_as_statistics(tmp_path, array, name):
    np.savez(buffer := io.BytesIO(), **{name: array})
    refused_at_most(Statistics.load, tmp_path / "s.npz", buffer.getvalue())


@CARELESS
@given(source=st.text(max_size=60))
def test_any_source_as_parameters_of_a_notebook(tmp_path, source):
    import json

    cell = {"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}, "outputs": []}
    content = json.dumps({"cells": [cell, cell | {"metadata": {}}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}})
    refused_at_most(lambda path: check_parameters(path, {}), tmp_path / "n.ipynb", content.encode())
