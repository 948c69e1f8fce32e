"""Which file to take: what was not measured meets no budget, and equal accuracy is settled by time."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import effnet_lab as el
from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.studies import Needs, choose_row


def files(*changes: dict) -> pd.DataFrame:
    """TRADEOFFS rows, alike but for their name and what is given."""
    alike = {
        "scheme": "int8", "backend": "", "n_images": 100, "top1": 0.9, "top1_lo": 0.8, "top1_hi": 0.95, "p50_ms": 5.0,
        "size_bytes": 50_000, "peak_activation_bytes": 20_000, "arena_bytes": 30_000,
    }  # fmt: skip
    return frames.build(frames.TRADEOFFS, [alike | {"model": f"m{i}"} | change for i, change in enumerate(changes)])


@pytest.mark.parametrize(
    ("unmeasured", "needs"),
    [
        ({"p50_ms": math.nan}, Needs(max_ms=1e9)),
        ({"size_bytes": math.nan}, Needs(max_flash_kib=1e9)),
        ({"arena_bytes": math.nan, "peak_activation_bytes": math.nan}, Needs(max_ram_kib=1e9)),
        ({"top1": math.nan}, Needs(min_top1=1e-9)),
    ],
    ids=["latency", "flash", "ram", "top1"],
)
def test_what_was_not_measured_meets_no_need(unmeasured, needs):
    taken, words = choose_row(files(unmeasured, {"top1": 0.5}), needs)
    assert taken.tolist() == [False, True], words


@pytest.mark.parametrize("slow_first", [True, False])
def test_of_two_equally_accurate_files_the_faster_one_is_taken(slow_first):
    table = files({"p50_ms": 9.0}, {"p50_ms": 2.0})
    table = table if slow_first else table.iloc[::-1].reset_index(drop=True)
    taken, _words = choose_row(table, Needs())
    assert table.loc[taken, "p50_ms"].tolist() == [2.0]


def test_an_arena_that_was_measured_counts_more_than_the_peak():
    assert choose_row(files({}), Needs(max_ram_kib=25))[0].tolist() == [False]  # arena 29.3 KiB, peak 19.5
    assert choose_row(files({"arena_bytes": math.nan}), Needs(max_ram_kib=25))[0].tolist() == [True]


@pytest.fixture(scope="module")
def measured(files):
    """The float and the int8 file."""
    return el.tradeoffs([files["float32 converter"], files["static_wi8_ai8 converter"]], "scenes", limit=20, n_runs=3)


def test_tradeoffs_measure_each_network_once(files, measured):
    """Every number is that of the question that measures it alone."""
    images = el.open_images("scenes", limit=20)
    for row, name in zip(measured.table.itertuples(), ("float32", "static_wi8_ai8"), strict=True):
        file = files[f"{name} converter"]
        alone = el.evaluate(file, images).table.iloc[0]
        assert (row.scheme, row.top1, row.n_images) == (name, alone["top1"], 20)
        assert row.size_bytes == file.stat().st_size
        assert row.arena_bytes == el.footprint(file).table["arena_bytes"].item()
    assert measured.latency["reference"].unique().tolist() == ["micro0 float32 converter"]
    assert measured.table["p50_ms"].tolist() == measured.latency["p50_ms"].tolist()


def test_a_choice_is_made_of_what_was_measured(measured):
    table = measured.table
    smallest = table.loc[table["size_bytes"].idxmin()]
    limit = smallest["size_bytes"] / 1024
    for asked in (measured, table):
        choice = el.choose(asked, max_flash_kib=limit)
        assert choice.table.loc[choice.chosen, "scheme"].tolist() == [smallest["scheme"]]
        assert choice.sentence.startswith(f"At most {limit:.4g} KiB of flash: take micro0 static_wi8_ai8")
    assert not el.choose(measured, max_ms=1e-9).chosen.any()


def test_what_cannot_be_chosen_from_is_refused_before_the_work(files):
    with pytest.raises(UserError, match="choose needs images"):
        el.choose(files["float32 converter"])
    with pytest.raises(UserError, match="Did you mean 'micro0'"):
        el.tradeoffs(["micro00"], "scenes")
    with pytest.raises(UserError, match="min_top1 is a fraction"):
        el.choose("micro0", "scenes", min_top1=90)
