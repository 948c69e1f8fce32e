"""Columns are declared once; what is written to a file comes back as it was, whatever stands in it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from effnet_lab import frames
from effnet_lab.frames import COLUMNS, DECLARED, FRAMES, PROVENANCE, Column, column
from effnet_lab.regress.csv_files import read_csv, write_csv
from effnet_lab.regress.recording import read_frame, record
from effnet_lab.studies import BETTER

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # no shrinking: a row of 40 cells takes minutes
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
REAL = st.floats(allow_nan=True, allow_infinity=True)
CELLS = {
    "text": st.one_of(st.sampled_from(["", "nan", "NA", "None", "1e5", "007", "Größe, 像素", 'a "b"\n c\r']), TEXT),
    "count": st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()),
    "number": REAL,
    "fraction": REAL,
    "flag": st.booleans(),
}


def test_every_column_is_declared_once_and_used():
    used = {name for frame in FRAMES.values() for name in frame.columns} | set(PROVENANCE)
    assert used == COLUMNS.keys()
    names = [part.name for declared in DECLARED for part in declared.parts()]
    assert len(names) == len(set(names)), "a column is declared twice"
    for declared in COLUMNS.values():
        if declared.interval:
            assert {COLUMNS[end].kind for end in declared.ends} == {declared.kind}
        assert declared.better in ("", "low", "high")
        assert declared.title


def test_units_stand_in_the_names():
    for name, declared in COLUMNS.items():
        for ending, unit in (("_ms", "ms"), ("_bytes", "bytes"), ("_px", "px"), ("_db", "dB")):
            assert name.endswith(ending) == (declared.unit.split(",")[0] == unit), name


@pytest.mark.parametrize("name", FRAMES)
@settings(
    max_examples=10,
    deadline=None,
    phases=QUICK,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_frame_comes_back_as_it_was_written(tmp_path, name, data):
    names = [*FRAMES[name].columns, *PROVENANCE]
    row = st.fixed_dictionaries({one: CELLS[COLUMNS[one].kind] for one in names})
    rows = data.draw(st.lists(row, min_size=0, max_size=4))
    table = pd.DataFrame({one: _series([row[one] for row in rows], COLUMNS[one].kind) for one in names})
    back = read_csv(write_csv(table, Path(tmp_path) / "table.csv"))
    assert list(back.columns) == names
    assert len(back) == len(rows)
    for one in names:
        for before, after in zip(table[one], back[one], strict=True):
            assert _same(before, after), (one, before, after)


def _series(values: list, kind: str) -> pd.Series:
    dtypes = {"text": "str", "count": "Int64", "flag": "bool"}
    return pd.Series(values, dtype=dtypes.get(kind, "float64"))


def _same(before: object, after: object) -> bool:
    if pd.isna(before):
        return bool(pd.isna(after))
    if isinstance(before, float):
        return np.float64(before) == after and math.copysign(1, before) == math.copysign(1, after)
    return type(after) is not float and before == after if isinstance(before, str) else before == after


def test_a_network_without_a_published_number_keeps_its_empty_source(tmp_path):
    """It came back as NaN, since the list of text columns had forgotten six of them."""
    row = dict.fromkeys(frames.RIVALS.columns, "") | {
        name: np.nan for name in frames.RIVALS.columns if COLUMNS[name].kind in ("number", "fraction", "count")
    }
    record(frames.build(frames.RIVALS, [row]), "rivals", tmp_path, notebook="plain", profile="smoke")
    back = read_frame(tmp_path, "rivals").iloc[0]
    assert [back[name] for name in frames.RIVALS.columns if COLUMNS[name].kind == "text"] == [""] * 9
    assert math.isnan(back["published_ms"])


def test_values_are_written_by_kind():
    def text(name, value, **more):
        return column(name).write(value, **more)

    assert text("madds", 385_187_552) == "385,187,552"
    assert text("madds", 4.07e8, thousands="'") == "407'000'000"
    assert text("top1", 0.9245) == "92.45%"
    assert text("sqnr_local_db", -3.14159) == "-3.1"
    assert text("sqnr_local_db", -math.inf) == "-∞"
    assert text("p50_ms", 12.3456) == "12.3"
    assert text("n_images", np.int64(2000)) == "2,000"
    assert text("tied", np.bool_(True)) == "yes"
    assert text("value", 4.07e8) == "407,000,000"
    assert text("value", 0.123456) == "0.1235"
    assert text("params", math.nan) == "not measured"
    assert text("params", pd.NA, missing="-") == "-"
    assert text("no_such_column", 1_234_567) == "1,234,567"
    assert text("no_such_column", "as it is") == "as it is"
    assert column("top1").ends == ("top1_lo", "top1_hi")
    assert column("cpu_p50_ms").ends == ("cpu_p50_lo_ms", "cpu_p50_hi_ms")
    assert column("p50_ms").heading == "latency p50 (ms, this host)"


def test_the_axes_of_a_tradeoff_are_those_with_a_direction():
    assert BETTER == {
        "top1": "high", "p50_ms": "low", "relative_p50": "low", "size_bytes": "low", "arena_bytes": "low",
        "peak_activation_bytes": "low", "params": "low", "madds": "low",
    }  # fmt: skip


def test_an_interval_has_two_more_columns():
    names = [part.name for part in Column("p50_ms", "number", "latency", "ms", interval=True).parts()]
    assert names == ["p50_ms", "p50_lo_ms", "p50_hi_ms"]
