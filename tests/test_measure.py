"""Measuring: counts of calls with a fake clock, intervals against published values, fronts by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from effnet_lab import frames
from effnet_lab.images import open_images
from effnet_lab.litert import Runner
from effnet_lab.measure import measure_accuracy, measure_latency, measure_memory, on_front, tradeoffs
from effnet_lab.measure.accuracy import _class_order
from effnet_lab.names import UserError
from effnet_lab.scaling import get_spec, totals

INT8 = "static_wi8_ai8 converter"


def test_accuracy_is_counted_on_every_image(files):
    images = open_images("scenes", limit=70)
    row = measure_accuracy(files[INT8], images).iloc[0]
    runner = Runner(files[INT8])
    from effnet_lab.litert import read_info

    preprocess = read_info(files[INT8]).preprocess
    scores = np.concatenate([runner.predict(preprocess(images.read(i))[None]) for i in range(70)])
    ranks = (scores > scores[np.arange(70), images.labels][:, None]).sum(1)
    assert row["n_images"] == 70
    assert row["top1"] == pytest.approx((ranks == 0).mean())
    assert row["top5"] == pytest.approx((ranks < 5).mean(), abs=1.5 / 70)  # equal scores may fall either way
    assert row["top1_lo"] < row["top1"] < row["top1_hi"]


def test_outputs_are_matched_to_classes_by_name():
    order = _class_order(("b", "a", "c"), ("a", "b", "c"), 3)
    assert order.tolist() == [1, 0, 2]
    with pytest.raises(UserError, match="3 outputs, the images have 2 classes"):
        _class_order((), ("a", "b"), 3)
    with pytest.raises(UserError, match="labels are unlike the images' classes: z"):
        _class_order(("a", "z"), ("a", "b"), 2)


class FakeClock:
    """Advances by one millisecond per reading; counts them."""

    def __init__(self):
        self.readings = 0

    def __call__(self):
        self.readings += 1
        return self.readings * 1_000_000


def test_latency_counts_its_runs(files):
    wall, cpu = FakeClock(), FakeClock()
    paths = [files["float32 converter"], files[INT8]]
    table = measure_latency(paths, n_warmup=3, n_runs=20, clock=wall, cpu_clock=cpu)
    # every round reads both clocks before each file; the counted ones once more after it
    assert wall.readings == cpu.readings == 2 * (3 + 20) + 2 * 20
    assert (table["p50_ms"] == 1.0).all()
    assert (table["relative_p50"] == 1.0).all()
    assert table[["n_warmup", "n_runs", "threads", "batch"]].drop_duplicates().to_dict("records") == [
        {"n_warmup": 3, "n_runs": 20, "threads": 1, "batch": 1}
    ]
    assert table["reference"].tolist() == ["micro0 float32 converter"] * 2


def test_latency_of_real_runs_is_ordered(files):
    table = measure_latency([files["float32 converter"]], n_runs=30).iloc[0]
    assert 0 < table["p50_lo_ms"] <= table["p50_ms"] <= table["p50_hi_ms"] <= table["p99_ms"]
    assert table["p50_ms"] <= table["p90_ms"] <= table["p99_ms"]
    assert table["host"]


def test_latency_needs_two_runs(files):
    with pytest.raises(UserError, match="at least 2 runs"):
        measure_latency([files[INT8]], n_runs=1)


def test_memory_is_that_of_the_file_and_the_specification(files):
    row, cost = measure_memory(files[INT8]).iloc[0], totals(get_spec("micro0"), classes=10)
    assert row["size_bytes"] == files[INT8].stat().st_size
    assert row["size_bytes"] >= cost.flash_bytes
    assert (row["params"], row["madds"]) == (cost.params, cost.madds)
    assert row["peak_activation_bytes"] == cost.peak_activation_bytes


def test_tradeoffs_join_the_three(files):
    images = open_images("scenes", limit=20)
    paths = [files["float32 converter"], files[INT8]]
    accuracy = pd.concat([measure_accuracy(path, images) for path in paths])
    memory = pd.concat([measure_memory(path) for path in paths])
    table = tradeoffs(accuracy, measure_latency(paths, n_runs=5), memory)
    frames.require(table, frames.TRADEOFFS, caller="test")
    assert len(table) == 2


def test_front_by_brute_force():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"p50_ms": rng.integers(0, 9, 60).astype(float), "top1": rng.integers(0, 9, 60) / 9})
    table.loc[5, "top1"] = np.nan
    front = on_front(table, "p50_ms", "top1")
    for i, row in table.iterrows():
        beaten = any(
            other.p50_ms <= row.p50_ms
            and other.top1 >= row.top1
            and (other.p50_ms < row.p50_ms or other.top1 > row.top1)
            for other in table.itertuples()
        )
        assert front[i] == (not beaten and not np.isnan(row.top1))


def test_front_knows_its_axes():
    with pytest.raises(UserError, match="Did you mean 'p50_ms'"):
        on_front(pd.DataFrame({"p50": [1.0]}), "p50", "top1")


@pytest.mark.real
def test_flower_photographs_with_a_network_nobody_here_made(shared, flowers_cache):
    """Fixtures README: top-1 .9245 on the 3,670 photographs with the centre crop."""
    model = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    row = measure_accuracy(model, open_images("flowers160"), threads=2).iloc[0]
    assert row["n_images"] == 3670
    assert row["top1"] == pytest.approx(0.9245, abs=0.005)
    assert list(itertools.chain(row[["top1_lo", "top1_hi"]])) == pytest.approx([0.9155, 0.9326], abs=0.006)
