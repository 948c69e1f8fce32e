"""Measuring: counts of calls with a fake clock, intervals against published values, fronts by brute force."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from single_ops import binary, layer, unary
from transcripts import ISSUE_73862

from effnet_lab import frames
from effnet_lab.bench import bench, latency, measure_latency, profile
from effnet_lab.bench.adb import measure_on_device, parse_benchmark
from effnet_lab.bench.compare import judge
from effnet_lab.bench.latency import Runs, _block, _percentiles, _steady
from effnet_lab.bench.machine import Machine, Watch
from effnet_lab.bench.operators import MISSING, OUTSIDE
from effnet_lab.board import measure_memory
from effnet_lab.evaluate import evaluate
from effnet_lab.evaluate.predictors import open_predictors
from effnet_lab.images import open_images
from effnet_lab.litert import ModelInfo, Runner, read_graph
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError
from effnet_lab.scaling import get_spec, totals
from effnet_lab.studies import join_tradeoffs, standing
from effnet_lab.studies.tradeoffs import Needs, choose_row

INT8 = "static_wi8_ai8 converter"


def test_accuracy_is_counted_on_every_image(files):
    images = open_images("scenes", limit=70)
    row = evaluate(files[INT8], images).table.iloc[0]
    runner = Runner(files[INT8])
    from effnet_lab.litert import read_info

    preprocess = read_info(files[INT8]).preprocess
    scores = np.concatenate([runner.predict(preprocess(images.read(i))[None]) for i in range(70)])
    ranks = (scores > scores[np.arange(70), images.labels][:, None]).sum(1)
    assert row["n_images"] == 70
    assert row["top1"] == pytest.approx((ranks == 0).mean())
    assert row["top5"] == pytest.approx((ranks < 5).mean(), abs=1.5 / 70)  # equal scores may fall either way
    assert row["top1_lo"] < row["top1"] < row["top1_hi"]


class CountingMachine(Machine):
    """Both clocks advance by one millisecond per reading; nobody else computes."""

    def __init__(self, n_processors=2):
        wall, cpu = itertools.count(0, 1_000_000), itertools.count(0, 1_000_000)
        super().__init__(
            wall_ns=lambda: next(wall),
            cpu_ns=lambda: next(cpu),
            cpu_seconds=lambda: (0.0, 0.0),
            n_processors=n_processors,
        )


def test_latency_counts_its_runs(files):
    machine = CountingMachine()
    paths = [files["float32 converter"], files[INT8]]
    table = measure_latency(paths, n_runs=20, n_blocks=4, machine=machine)
    # both clocks are read twice around every run; six rounds of warm-up show that a constant clock is steady
    assert machine.cpu_ns() == 2 * 2 * (4 * 6 + 20) * 1_000_000
    assert (table["cpu_p50_ms"] == 1.0).all()
    assert (table["relative_p50"] == 1.0).all()
    assert table[["n_warmup", "n_runs", "threads", "batch"]].drop_duplicates().to_dict("records") == [
        {"n_warmup": 24, "n_runs": 20, "threads": 1, "batch": 1}
    ]
    assert table["reference"].tolist() == ["micro0 float32 converter"] * 2
    assert table["verdict"].tolist() == ["reference", "same"]
    assert table["delegate"].str.fullmatch(r"XNNPACK \d+/\d+ ops").all()


def test_files_that_say_the_same_of_themselves_are_told_apart(files, tmp_path):
    other = shutil.copy(files[INT8], tmp_path / "other.tflite")
    table = measure_latency([files[INT8], other, other], n_runs=4, n_blocks=4, machine=CountingMachine())
    first, *others = table["model"]
    assert first == f"micro0 ({files[INT8].name})"
    assert others == ["micro0 (other.tflite, file 2)", "micro0 (other.tflite, file 3)"]
    a, b = (predictor.info.model for predictor in open_predictors([files[INT8], other]))
    assert (a, b) == (first, "micro0 (other.tflite)")


def test_the_order_of_the_runs_is_drawn_anew():
    ran, rng = [], np.random.default_rng(0)
    calls = [lambda k=k: ran.append(k) for k in range(3)]
    _block(calls, 30, rng, CountingMachine())
    orders = {tuple(ran[i : i + 3]) for i in range(0, len(ran), 3)}
    assert orders == set(itertools.permutations(range(3)))


def test_the_order_of_opening_is_drawn_anew_in_each_block(monkeypatch):
    opened = []

    class Recorded(Runner):
        def __init__(self, model, **how):
            opened.append(model)
            super().__init__(model, **how)

    monkeypatch.setattr(latency, "Runner", Recorded)
    monkeypatch.setattr(latency, "read_info", lambda model: ModelInfo(
        model="one", scheme="int8", backend=str(files.index(model)), preprocess=None, classes=()))  # fmt: skip
    files = [layer("conv", 0.1, 0.01, 0.1, side=side) for side in (4, 5)]
    monkeypatch.setattr(latency, "tell_apart", lambda infos, models: infos)
    table = measure_latency(files, n_runs=24, n_blocks=24, machine=CountingMachine())
    first = [opened[i] for i in range(0, len(opened), 2)]
    assert 4 <= first.count(files[0]) <= 20
    assert table["delegate"].tolist() == ["XNNPACK 1/1 ops"] * 2


def test_one_file_that_is_not_steady_is_enough_to_go_on():
    steady = [np.array([10.0, 10.0])] * 6
    assert _steady(steady)
    assert not _steady(steady[:3] + [np.array([10.0, 12.0])] * 3)
    assert not _steady(steady[:5])


def test_intervals_of_percentiles_end_where_the_runs_end():
    """Order statistics of 48 runs: the median lies between the 17th and the 32nd, the 99th percentile above the 46th."""
    row = _percentiles(np.random.default_rng(0).permutation(np.arange(1, 49) * 1e6), "")
    assert (row["p50_lo_ms"], row["p50_ms"], row["p50_hi_ms"]) == (17, 24.5, 32)
    assert (row["p90_lo_ms"], row["p90_hi_ms"]) == (39, 48)
    assert row["p99_lo_ms"] == 46
    assert np.isnan(row["p99_hi_ms"])


def test_a_network_of_any_inputs_is_timed(tmp_path):
    for i, content in enumerate(
        (binary("add", 1.0, 1.0, 1.0), unary("quantize", None, 0.2, dtypes=("float32", "int8")))
    ):
        (tmp_path / f"{i}.tflite").write_bytes(content)
    table = bench([tmp_path / "0.tflite", tmp_path / "1.tflite"], n_runs=6)
    assert (table["p50_ms"] > 0).all()
    with pytest.raises(UserError, match="needs a \\.tflite file"):
        bench([])


def test_latency_of_real_runs_is_ordered(files):
    table = measure_latency([files["float32 converter"]], n_runs=30).iloc[0]
    assert 0 < table["p50_lo_ms"] <= table["p50_ms"] <= table["p50_hi_ms"] <= table["p99_ms"]
    assert table["p50_ms"] <= table["p90_ms"] <= table["p99_ms"]
    assert 0 < table["cpu_p50_lo_ms"] <= table["cpu_p50_ms"] <= table["cpu_p50_hi_ms"]
    assert table["host"]


def test_latency_needs_runs_in_blocks(files):
    with pytest.raises(UserError, match=r"at least 3 runs.* Got 2 runs"):
        measure_latency([files[INT8]], n_runs=2)


class Simulated(Machine):
    """A processor with one clock per file's cost, noise, an offset of every block, and what a test does to it."""

    def __init__(self, seed, *, noise=0.03, of_block=0.006, waits=0.0, drift=0.0):
        self.rng, self.noise, self.of_block, self.waits, self.drift = (
            np.random.default_rng(seed),
            noise,
            of_block,
            waits,
            drift,
        )
        self.wall = self.cpu = self.runs = 0
        super().__init__(
            wall_ns=lambda: self.wall,
            cpu_ns=lambda: self.cpu,
            cpu_seconds=lambda: (self.cpu / 1e9,) * 2,
            n_processors=1,
        )

    def call(self, ms):
        own = ms * np.exp(self.rng.normal(0, self.of_block))  # where it lies in memory

        def run():
            self.runs += 1
            cost = own * np.exp(abs(self.rng.normal(0, self.noise))) * (1 + self.drift * self.runs / 1000)
            self.cpu += int(cost * 1e6)
            self.wall += int(cost * 1e6 * (1 + self.waits * self.rng.random() * 2))

        return run

    def compare(self, *ms, n_blocks=8):
        watch = Watch(self, threads=1)
        rng = np.random.default_rng(0)
        blocks = [_block([self.call(cost) for cost in ms], 6, rng, self) for _ in range(n_blocks)]
        wall, cpu = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("wall", "cpu"))
        runs = Runs(wall=wall, cpu=cpu, block=np.repeat(np.arange(n_blocks), 6), n_warmup=0)
        return judge(cpu[:, 0], cpu[:, 1], runs.block), watch.guard(runs)


def verdicts(a, b, n):
    return [Simulated(seed).compare(a, b)[0].verdict for seed in range(n)]


def test_one_file_is_not_called_different_from_itself():
    found = verdicts(10.0, 10.0, 200)
    assert found.count("same") >= 0.95 * len(found)


def test_five_percent_are_seen_and_called_by_their_name():
    slower, faster = verdicts(10.0, 10.5, 100), verdicts(10.5, 10.0, 100)
    assert min(slower.count("slower"), faster.count("faster")) >= 80
    assert "faster" not in slower
    assert "slower" not in faster


def test_the_interval_of_the_ratio_covers_it():
    judged = [Simulated(seed).compare(10.0, 12.0)[0] for seed in range(150)]
    assert sum(j.low <= 1.2 <= j.high for j in judged) >= 0.9 * len(judged)
    assert judged[0].ratio == pytest.approx(1.2, rel=0.03)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"waits": 0.5}, r"contention: 3\d% of the time was spent waiting for a processor"),
        ({"drift": 0.8}, r"drift: CPU times changed by \+\d+% while it ran"),
        ({}, "quiet"),
    ],
)
def test_the_guard(trouble, words):
    assert re.match(words, Simulated(0, **trouble).compare(10.0, 10.5)[1])


def test_the_guard_sees_others_on_the_processors():
    machine = Simulated(0)
    machine.cpu_seconds = lambda: (3 * machine.cpu / 1e9, machine.cpu / 1e9)
    assert machine.compare(10.0, 10.5)[1].startswith("contention: other programs used 2.0 of 1 processors")


def test_contention_takes_the_verdict_away(files):
    machine, wall = CountingMachine(), itertools.count(0, 2_000_000)
    machine.wall_ns = lambda: next(wall)
    table = measure_latency([files["float32 converter"], files[INT8]], n_runs=12, n_blocks=3, machine=machine)
    assert table["guard"].str.startswith("contention").all()
    assert table["verdict"].tolist() == ["reference", "none"]


# --- where the time goes


def test_every_layer_has_its_operator(files):
    table = profile(files["float32 converter"], n_runs=3).table
    frames.require(table, frames.PROFILE, caller="test")
    graph = read_graph(files["float32 converter"])
    assert [layer for layer in table["layer"] if layer] == list(layer_names(graph).values())
    assert table["share"].sum() == pytest.approx(1.0)
    assert (table["delegate"][:-1] == "XNNPACK").all()
    assert table.iloc[-1][["operator", "layer", "delegate"]].tolist() == [OUTSIDE, "", ""]


@pytest.mark.real
def test_the_operators_add_up_to_the_inference(shared):
    """The profile of lite0 and the stopwatch agree, and depthwise and pointwise convolutions take most of it."""
    model = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    table = profile(model, n_runs=15).table
    runner = Runner(model)
    runner.feed(np.zeros((224, 224, 3), np.float32))
    seconds = []
    for _ in range(20):
        start = time.process_time()
        runner.invoke()
        seconds.append(time.process_time() - start)
    assert table["uninterrupted_ms"].sum() == pytest.approx(1e3 * np.median(seconds), rel=0.5)
    time_of = table[table["operator"] != OUTSIDE].groupby("op")["uninterrupted_ms"].sum()
    assert time_of[["conv", "depthwise"]].sum() > 0.9 * time_of.sum()
    assert table.query("layer == 'Identity1'")["delegate"].item() == ""  # a uint8 softmax is not XNNPACK's


@pytest.mark.real
def test_a_profile_of_several_parts_has_every_operator(shared):
    """XNNPACK takes this network in two parts, whose operators have the same numbers; the pooling lies between them."""
    model = shared / "fixtures" / "wild" / "mlcommons__kws_ref_model.tflite"
    found = profile(model, n_runs=3)
    kinds = [op.kind for op in read_graph(model).ops]
    assert [op for op in found.table["op"] if op] == [kind for kind in kinds if kind != "reshape"]
    assert found.table["uninterrupted_ms"].sum() >= found.uninterrupted_ms * (1 - 1e-9)
    assert found.table["share"].sum() == pytest.approx(1)
    outside = found.table["share"].iloc[-1]
    assert (found.warning != "") == (outside > MISSING)


def test_a_profile_of_nothing(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"....TFL3 and nothing else")
    with pytest.raises(UserError, match="is damaged"):
        profile(tmp_path / "x.tflite")


# --- a phone

FAKE_ADB = """#!{python}
import sys, pathlib
sys.path.insert(0, {tests!r})
from transcripts import BENCHMARK_MODEL
log = pathlib.Path({log!r})
words = sys.argv[1:]
assert words[:2] == ["-s", "PHONE1"] or sys.exit("error: device '" + words[1] + "' not found")
with log.open("a") as file:
    file.write(" ".join(words[2:]) + "\\n")
line = " ".join(words[2:])
answers = {{"get-state": "device", "ro.product.model": "Pixel 4", "ro.board.platform": "msmnile", "version.release": "13"}}
for key, answer in answers.items():
    if key in line:
        print(answer)
if "benchmark_model" in line and "push" not in line:
    if {broken!r}:
        sys.exit("/system/bin/sh: /data/local/tmp/benchmark_model: inaccessible or not found")
    n = sum("--graph" in line for line in log.read_text().splitlines())
    avg = (7000 if "effnet-lab-0" in line else 12000) + 10 * (n % 3)
    print(BENCHMARK_MODEL.format(avg=avg, percentiles={percentiles!r}.format(median=avg - 50)))
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A function that puts a fake adb on the PATH, and gives the log of what it was asked."""

    def make(broken=False, percentiles=" p5=6900 median={median} p95=7300"):
        log = tmp_path / "log"
        script = FAKE_ADB.format(
            python=sys.executable,
            tests=str(Path(__file__).parent),
            log=str(log),
            broken=broken,
            percentiles=percentiles,
        )
        (tmp_path / "adb").write_text(script)
        (tmp_path / "adb").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return log

    return make


def test_a_phone_lands_in_the_same_frame(files, phone):
    log = phone()
    table = measure_on_device([files[INT8], files["float32 converter"]], "PHONE1", n_processes=4)
    frames.require(table, frames.LATENCY, caller="test")
    assert table["host"].unique().tolist() == ["Pixel 4 (msmnile, Android 13)"]
    assert table["p50_ms"].tolist() == pytest.approx([6.96, 11.96], abs=0.02)
    assert table["relative_p50"].tolist() == pytest.approx([1.0, 12 / 7], rel=0.01)
    assert table["verdict"].tolist() == ["reference", "slower"]
    assert table["n_runs"].tolist() == [4 * 143] * 2
    asked = log.read_text().splitlines()
    assert sum("--num_threads=4 --num_runs=50 --use_xnnpack=true" in line for line in asked) == 8
    assert asked[-1] == "shell rm -f /data/local/tmp/effnet-lab-0.tflite /data/local/tmp/effnet-lab-1.tflite"


def test_an_older_tool_prints_no_median(files, phone):
    phone(percentiles="")
    assert measure_on_device([files[INT8]], "PHONE1")["p50_ms"].item() == pytest.approx(7.01, abs=0.02)


def test_a_transcript_from_elsewhere():
    """The counted runs of a machine that is not ours; the warm-up's line above them is not taken."""
    found = parse_benchmark(ISSUE_73862)
    assert found == {
        "count": 74, "first": 14850, "curr": 13315, "min": 13105, "max": 15765, "avg": 13520.2, "std": 470,
    }  # fmt: skip


def test_a_phone_that_cannot(files, phone, monkeypatch):
    log = phone(broken=True)
    with pytest.raises(UserError, match="benchmark_model: inaccessible or not found"):
        measure_on_device([files[INT8]], "PHONE1")
    assert "rm -f" in log.read_text().splitlines()[-1]
    with pytest.raises(UserError, match="device 'OTHER' not found"):
        measure_on_device([files[INT8]], "OTHER")
    with pytest.raises(UserError, match="Did you mean 'gpu'"):
        measure_on_device([files[INT8]], "PHONE1", delegate="gp")
    with pytest.raises(UserError, match="gave no timings; it said: Segmentation fault"):
        parse_benchmark("INFO: STARTING!\nSegmentation fault")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="adb is not on the PATH"):
        measure_on_device([files[INT8]], "PHONE1")


def test_memory_is_that_of_the_file_and_the_specification(files):
    row, cost = measure_memory(files[INT8]).iloc[0], totals(get_spec("micro0"), classes=10)
    assert row["size_bytes"] == files[INT8].stat().st_size
    assert row["size_bytes"] >= cost.flash_bytes
    assert (row["params"], row["madds"]) == (cost.params, cost.madds)
    assert row["peak_activation_bytes"] == cost.peak_activation_bytes


def test_tradeoffs_join_the_three(files):
    images = open_images("scenes", limit=20)
    paths = [files["float32 converter"], files[INT8]]
    accuracy = pd.concat([evaluate(path, images).table for path in paths])
    memory = pd.concat([measure_memory(path) for path in paths])
    latency = measure_latency(paths, n_runs=9, n_blocks=3)
    table = join_tradeoffs(accuracy, latency.iloc[::-1], memory)
    frames.require(table, frames.TRADEOFFS, caller="test")
    assert table["scheme"].tolist() == accuracy["scheme"].tolist()  # the order of the first; each row is one file's
    for part in (accuracy, latency, memory):
        shared = [name for name in part if name in frames.TRADEOFFS.columns]
        assert len(shared) > len(frames.MODEL_FILE)
        whole = part.reset_index(drop=True)[shared]
        pd.testing.assert_frame_equal(table[shared], whole, check_dtype=False)
    assert measure_memory(paths[1])["size_bytes"].item() == table["size_bytes"][1] == paths[1].stat().st_size


def test_front_by_brute_force():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"p50_ms": rng.integers(0, 9, 60).astype(float), "top1": rng.integers(0, 9, 60) / 9})
    table.loc[5, "top1"] = np.nan
    front = standing(table, "p50_ms", "top1")["on_front"]
    for i, row in table.iterrows():
        beaten = any(
            other.p50_ms <= row.p50_ms
            and other.top1 >= row.top1
            and (other.p50_ms < row.p50_ms or other.top1 > row.top1)
            for other in table.itertuples()
        )
        assert front[i] == (not beaten and not np.isnan(row.top1))


def budget_table():
    rows = [("small", 0.80, 1.0, 20, 30), ("middle", 0.90, 2.0, 60, 90), ("large", 0.91, 4.0, 200, 400)]
    return frames.build(
        frames.TRADEOFFS,
        [
            {
                "model": name, "scheme": "static_wi8_ai8", "backend": "", "n_images": 1000, "top1": top1,
                "top1_lo": top1 - 0.02, "top1_hi": top1 + 0.02, "p50_ms": ms, "p50_lo_ms": ms, "p50_hi_ms": ms,
                "peak_activation_bytes": ram * 1024, "size_bytes": flash * 1024,
            }
            for name, top1, ms, ram, flash in rows
        ],
    )  # fmt: skip


def test_which_one_to_take():
    table = budget_table()
    taken, words = choose_row(table, Needs(max_ms=3.0, max_flash_kib=100))
    assert table.loc[taken, "model"].tolist() == ["middle"]
    assert words.startswith(
        "At most 3 ms, at most 100 KiB of flash: take middle static_wi8_ai8, top-1 90.0% (88.0% to 92.0%"
    )
    taken, words = choose_row(table, Needs())
    assert table.loc[taken, "model"].tolist() == ["large"]
    assert "middle static_wi8_ai8 is not told apart from it by these images (90.0%) and needs 90 KiB of flash" in words
    taken, words = choose_row(table, Needs(max_ram_kib=50, min_top1=0.85))
    assert not taken.any()
    assert words.endswith("nothing fits. small static_wi8_ai8 comes nearest, but has top-1 80.0%.")


def test_needs_are_checked():
    with pytest.raises(UserError, match=r"min_top1 is a fraction. Got 90. Did you mean 0.9"):
        Needs(min_top1=90)
    with pytest.raises(UserError, match="max_ms must be > 0"):
        Needs(max_ms=0)


@pytest.mark.real
def test_flower_photographs_with_a_network_nobody_here_made(shared, flowers_cache):
    """Fixtures README: top-1 .9245 on the 3,670 photographs with the centre crop."""
    model = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    row = evaluate(model, open_images("flowers160"), threads=2).table.iloc[0]
    assert row["n_images"] == 3670
    assert row["top1"] == pytest.approx(0.9245, abs=0.005)
    assert list(itertools.chain(row[["top1_lo", "top1_hi"]])) == pytest.approx([0.9155, 0.9326], abs=0.006)
