"""The stopwatch on files whose cost is known, with clocks that only those files move."""

from __future__ import annotations

import math
import os
import platform

import numpy as np
import pandas as pd
import pytest
from hand_made import tensor

from effnet_lab import frames
from effnet_lab.bench import latency, machine
from effnet_lab.bench.compare import judge
from effnet_lab.bench.latency import Runs, measure_latency
from effnet_lab.bench.machine import Machine, Watch, host
from effnet_lab.images import Preprocess
from effnet_lab.intervals import quantile_interval
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError

MS = 1_000_000  # nanoseconds


class Bench:
    """Files that exist on paper: each run costs what `costs[file](i)` says, the i-th of that opening, in ms."""

    def __init__(self, monkeypatch, **costs) -> None:
        self.costs = {name: cost if callable(cost) else lambda _i, ms=cost: ms for name, cost in costs.items()}
        self.opened, self.ran, self.fed = [], [], []
        self.wall = self.cpu = 0
        self.wait = 0.0  # share of the wall time that is spent waiting
        self.inputs = (tensor(0, "x", (1, 8, 8, 3)),)
        monkeypatch.setattr(latency, "Runner", self._open)
        monkeypatch.setattr(latency, "read_info", lambda name: info(str(name)))
        monkeypatch.setattr(latency, "delegate_of", lambda runner: f"delegate of {runner.name}")

    def _open(self, name, *, threads, kernels):
        self.opened.append((name, threads, kernels))
        return Opened(self, name)

    def machine(self) -> Machine:
        return Machine(
            wall_ns=lambda: self.wall, cpu_ns=lambda: self.cpu, cpu_seconds=lambda: (0.0, 0.0), n_processors=2
        )

    def measure(self, *names: str, **how) -> pd.DataFrame:
        return measure_latency(names or list(self.costs), machine=self.machine(), **how)

    def rounds(self) -> list[tuple[str, ...]]:
        n = len(self.costs)
        return [tuple(self.ran[i : i + n]) for i in range(0, len(self.ran), n)]


class Opened:
    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.name, self.i, self.inputs = bench, name, 0, bench.inputs

    def feed(self, *arrays) -> None:
        self.bench.fed.append(arrays)

    def invoke(self) -> None:
        ms = self.bench.costs[self.name](self.i)
        self.i += 1
        self.bench.ran.append(self.name)
        self.bench.cpu += round(ms * MS)
        self.bench.wall += round(ms * MS / (1 - self.bench.wait))


def info(name: str) -> ModelInfo:
    return ModelInfo(model=name, scheme="int8", backend="", preprocess=Preprocess(size_px=8), classes=())


# --- what is run, and in which order


def test_every_file_runs_in_every_round_in_an_order_drawn_anew_and_then_reversed(monkeypatch):
    bench = Bench(monkeypatch, a=1.0, b=2.0, c=3.0)
    bench.measure(n_runs=32, n_blocks=4)
    rounds, opened = bench.rounds(), [name for name, *_ in bench.opened]
    assert len(rounds) == 4 * (6 + 8)
    orders = rounds + [tuple(opened[i : i + 3]) for i in (0, 3, 6, 9)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert all(second == first[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True))
    assert len(set(rounds)) == 6  # all orders of three
    assert orders[-4] not in orders[-2:]  # drawn anew


def test_the_order_follows_the_seed(monkeypatch):
    def order(seed):
        bench = Bench(monkeypatch, a=1.0, b=2.0)
        bench.measure(n_runs=24, n_blocks=3, seed=seed)
        return bench.ran

    assert order(0) == order(0) != order(1)
    bench = Bench(monkeypatch, a=1.0, b=2.0)
    bench.measure(n_runs=24, n_blocks=3)
    assert bench.ran == order(0)  # unless said otherwise


@pytest.mark.parametrize(
    ("n_runs", "n_blocks", "shares"),
    [(20, 3, [7, 7, 6]), (96, None, [6] * 16), (5, None, [1] * 5), (3, 3, [1, 1, 1]), (9, 9, [1] * 9)],
)
def test_the_runs_are_shared_among_the_blocks(monkeypatch, n_runs, n_blocks, shares):
    bench, seen = Bench(monkeypatch, a=1.0), []

    def progress(rounds, total):
        for n in rounds:  # a bar counts rounds; a block is opened when those before it are counted
            seen.append((n, len(bench.opened)))
            yield n
        assert total == n_runs

    row = bench.measure(n_runs=n_runs, n_blocks=n_blocks, progress=progress).iloc[0]
    assert [n for n, _ in seen] == list(range(n_runs))
    assert [sum(opened == block for _, opened in seen[1:]) for block in range(1, len(shares))] == shares[:-1]
    assert len(bench.opened) == len(shares)
    assert (row["n_runs"], row["n_warmup"]) == (n_runs, 6 * len(shares))


@pytest.mark.parametrize(("n_runs", "n_blocks"), [(2, None), (2, 2), (9, 2), (5, 6)])
def test_too_few_runs_are_refused(monkeypatch, n_runs, n_blocks):
    with pytest.raises(UserError, match=f"at least 3 runs.* Got {n_runs} runs"):
        Bench(monkeypatch, a=1.0).measure(n_runs=n_runs, n_blocks=n_blocks)


def test_96_runs_in_16_blocks_unless_said_otherwise(monkeypatch):
    bench = Bench(monkeypatch, a=1.0)
    assert bench.measure()["n_runs"].item() == 96
    assert bench.opened == [("a", 1, "xnnpack")] * 16


def test_what_is_said_of_the_measurement(monkeypatch):
    bench = Bench(monkeypatch, a=1.0, b=1.0)
    table = bench.measure(n_runs=3, threads=2, kernels="builtin")
    frames.require(table, frames.LATENCY, caller="test")
    assert {entry[1:] for entry in bench.opened} == {(2, "builtin")}
    said = table[["model", "threads", "kernels", "batch", "delegate", "reference", "host"]].to_dict("records")
    shared = {"threads": 2, "kernels": "builtin", "batch": 1, "reference": "a int8", "host": host()}
    assert said == [{"model": name, "delegate": f"delegate of {name}"} | shared for name in "ab"]


# --- warming up


def test_warm_up_lasts_until_two_runs_of_three_have_one_median(monkeypatch):
    """Falling to 200 until round 20: the medians of rounds 19 to 21 and 22 to 24 are the first two that agree."""
    falling = Bench(monkeypatch, a=lambda i: 1000 - 40 * min(i, 20))
    assert falling.measure(n_runs=3, n_blocks=3)["n_warmup"].item() == 3 * 25


def test_all_files_have_to_be_steady(monkeypatch):
    bench = Bench(monkeypatch, steady=1.0, falling=lambda i: 1000 - 40 * min(i, 20))
    assert bench.measure(n_runs=3, n_blocks=3)["n_warmup"].tolist() == [3 * 25] * 2


@pytest.mark.parametrize(("later", "rounds"), [(103, 6), (97, 6), (103.2, 8), (96.8, 8)])
def test_steady_is_within_three_percent(monkeypatch, later, rounds):
    bench = Bench(monkeypatch, a=lambda i: 100 if i < 3 else later)
    assert bench.measure(n_runs=3, n_blocks=3)["n_warmup"].item() == 3 * rounds


def test_what_never_gets_steady_is_counted_after_sixty_rounds(monkeypatch):
    bench = Bench(monkeypatch, a=lambda i: 1.1**i)
    assert bench.measure(n_runs=3, n_blocks=3)["n_warmup"].item() == 3 * 60


# --- what is counted


def test_percentiles_are_those_of_the_counted_runs(monkeypatch):
    """48 runs from 101 to 148 ms after six of 100, seen by the processor's clock; a twentieth of the wall's is waiting."""
    runs = iter(range(101, 149))
    bench = Bench(monkeypatch, a=lambda i: 100 if i < 6 else next(runs))
    bench.wait = 0.05
    row = bench.measure(n_runs=48).iloc[0]
    values = np.arange(101.0, 149)
    for p in (50, 90, 99):
        assert row[f"cpu_p{p}_ms"] == pytest.approx(np.percentile(values, p))
        assert row[f"p{p}_ms"] == pytest.approx(np.percentile(values, p) / 0.95)
    # order statistics of 48: the 17th and 32nd of the median's interval, see a table of the sign test
    assert (row["cpu_p50_lo_ms"], row["cpu_p50_hi_ms"]) == (117, 132)
    assert row["p50_lo_ms"] == pytest.approx(117 / 0.95)
    assert row["cpu_p90_lo_ms"] < row["cpu_p90_ms"] < row["cpu_p90_hi_ms"] <= 148
    assert math.isnan(row["cpu_p99_hi_ms"])  # the slowest of a hundred runs is not among 48


def test_every_percentile_has_its_own_interval(monkeypatch):
    runs = iter(range(1000, 2000))
    row = Bench(monkeypatch, a=lambda i: 100 if i < 6 else next(runs)).measure(n_runs=960).iloc[0]
    for p in (50, 90, 99):
        ends = quantile_interval(np.arange(1000.0, 1960.0), p / 100)
        assert (row[f"cpu_p{p}_lo_ms"], row[f"cpu_p{p}_hi_ms"]) == ends


def test_the_ratio_and_the_verdict(monkeypatch):
    table = Bench(monkeypatch, first=10.0, slower=12.0, faster=9.0, same=10.05).measure(n_runs=6, n_blocks=3)
    assert table["relative_p50"].tolist() == pytest.approx([1.0, 1.2, 0.9, 1.005])
    assert table["relative_p50_lo"].tolist() == pytest.approx([1.0, 1.2, 0.9, 1.005])
    assert table["relative_p50_hi"].tolist() == pytest.approx([1.0, 1.2, 0.9, 1.005])
    assert table["verdict"].tolist() == ["reference", "slower", "faster", "same"]
    assert (table["guard"] == "quiet").all()


def test_under_contention_there_is_no_verdict(monkeypatch):
    bench = Bench(monkeypatch, first=10.0, slower=12.0)
    bench.wait = 0.25
    table = bench.measure(n_runs=6, n_blocks=3)
    assert table["guard"].tolist() == ["contention: 25% of the time was spent waiting for a processor"] * 2
    assert table["verdict"].tolist() == ["reference", "none"]
    assert table["relative_p50"].tolist() == pytest.approx([1.0, 1.2])


# --- what is fed


def test_quantized_inputs_get_any_code_floats_any_sign_and_indices_zero(monkeypatch):
    bench = Bench(monkeypatch, a=1.0)
    bench.inputs = (
        tensor(0, "codes", (1, 40, 40, 3), "int8", scale=[0.5], zero_point=[-128]),
        tensor(1, "reals", (1, 500)),
        tensor(2, "indices", (1, 4), "int32"),
    )
    bench.measure(n_runs=3)
    codes, reals, indices = bench.fed[0]
    assert sorted({*(codes / 0.5 - 128).ravel()}) == list(range(-128, 128))
    assert [array.shape for array in (codes, reals, indices)] == [(1, 40, 40, 3), (1, 500), (1, 4)]
    assert -1 <= reals.min() < -0.9
    assert 0.9 < reals.max() <= 1
    assert not indices.any()
    assert {array.dtype for array in (codes, reals, indices)} == {np.dtype("float32")}


# --- the comparison of two files


def judged(*medians: float, spread: float = 0.0):
    """Three runs per block whose log ratios have these medians."""
    logs = np.concatenate([[median - spread, median, median + 50 * spread] for median in medians])
    return judge(np.full(logs.size, 1e6), 1e6 * np.exp(logs), np.repeat(np.arange(len(medians)), 3))


def test_the_interval_is_students_over_the_blocks():
    """Medians .1, .2, .3: mean .2, standard error .1 / sqrt(3), t = 4.302653 with two degrees of freedom."""
    found, half = judged(0.1, 0.2, 0.3, spread=0.01), 4.302653 * 0.1 / math.sqrt(3)
    assert (found.ratio, found.low, found.high) == pytest.approx([math.exp(x) for x in (0.2, 0.2 - half, 0.2 + half)])
    assert found.verdict == "same"


@pytest.mark.parametrize(
    ("medians", "verdict"),
    [
        ((0.0100, 0.0101, 0.0102), "slower"),
        ((0.0098, 0.0099, 0.0100), "same"),  # exp(.0099) - 1 is less than a percent
        ((-0.0102, -0.0101, -0.0103), "faster"),
        ((-0.0100, -0.0099, -0.0101), "same"),
        # 99 %: t = 9.924843, so the half width is 5.73 times the spread of three equally spaced medians
        ((0.10 - 0.0170, 0.10, 0.10 + 0.0170), "slower"),
        ((0.10 - 0.0180, 0.10, 0.10 + 0.0180), "same"),
        ((-0.10 - 0.0170, -0.10, -0.10 + 0.0170), "faster"),
    ],
)
def test_the_verdict_needs_99_percent_and_more_than_one_percent(medians, verdict):
    assert judged(*medians).verdict == verdict


# --- the guard


def runs_of(cpu, wall=None, per_block=1) -> Runs:
    cpu = np.asarray(cpu, float).reshape(len(cpu), -1)
    wall = cpu if wall is None else np.asarray(wall, float).reshape(cpu.shape)
    return Runs(wall=wall, cpu=cpu, block=np.arange(len(cpu)) // per_block, n_warmup=0)


def watching(*, threads=1, processors=2, seconds=10.0, everyone=0.0, own=0.0) -> Watch:
    """Looks at a machine on which these processor seconds are used between its making and the question."""
    now = {"wall": 5 * 10**9, "cpu": (100.0, 40.0)}
    watch = Watch(
        Machine(wall_ns=lambda: now["wall"], cpu_ns=lambda: 0, cpu_seconds=lambda: now["cpu"], n_processors=processors),
        threads,
    )
    now["wall"] += round(seconds * 1e9)
    now["cpu"] = (100.0 + everyone, 40.0 + own)
    return watch


EVEN = runs_of([1.0] * 8)


@pytest.mark.parametrize(
    ("cpu", "words"), [(90, "quiet"), (89, "contention: 11% of the time was spent waiting for a processor")]
)
def test_a_tenth_of_the_time_may_be_lost(cpu, words):
    lost = runs_of([cpu] * 8, [100] * 8)
    assert watching().guard(lost) == words
    assert watching(threads=2).guard(lost) == "quiet"  # their processor time is no share of the wall's


@pytest.mark.parametrize(
    ("how", "others"),
    [
        ({"everyone": 13.0, "own": 0.0}, 1.3),
        ({"everyone": 23.0, "own": 10.0}, 1.3),
        ({"everyone": 10.0, "own": 12.0}, 0.0),  # two clocks that do not quite agree
        ({"everyone": 5.0, "own": 0.0, "seconds": 2.0}, 2.5),
        ({"everyone": 5.0, "own": 0.0, "seconds": 0.5}, 10.0),
    ],
)
def test_how_many_processors_others_used(how, others):
    assert watching(**how).others() == pytest.approx(others)


def test_without_a_moment_in_between_others_are_not_known():
    assert math.isnan(watching(seconds=0.0, everyone=5.0).others())
    assert watching(seconds=0.0, everyone=5.0).guard(EVEN) == "quiet"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"everyone": 12.9}, "quiet"),  # one of two processors is free, and three tenths are let pass
        ({"everyone": 13.1}, "contention: other programs used 1.3 of 2 processors"),
        ({"everyone": 13.1, "processors": 4}, "quiet"),
        ({"everyone": 3.1, "threads": 2}, "contention: other programs used 0.3 of 2 processors"),
    ],
)
def test_others_may_use_what_is_free(how, words):
    assert watching(**how).guard(EVEN) == words


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        ([100, 100, 500, 1, 1, 500, 107, 107], "quiet"),  # two of eight blocks at either end count
        ([100, 100, 500, 1, 1, 500, 109, 109], "drift: CPU times changed by +9% while it ran"),
        ([100, 100, 500, 1, 1, 500, 91, 91], "drift: CPU times changed by -9% while it ran"),
        ([100, 100, 500, 1, 1, 500, 93, 93], "quiet"),
        ([80, 120, 500, 1, 1, 500, 109, 109], "drift: CPU times changed by +9% while it ran"),
        ([80, 120, 5, 1, 1, 1, 1, 1, 1, 109, 109], "drift: CPU times changed by +9% while it ran"),  # of eleven, too
        ([100, 500, 109], "drift: CPU times changed by +9% while it ran"),  # of three blocks one
        ([100, 500, 107], "quiet"),
        ([100, 1, 1, 1, 1, 1, 120], "drift: CPU times changed by +20% while it ran"),  # of seven one, too
    ],
)
def test_drift_is_from_the_first_blocks_to_the_last(cpu, words):
    assert watching().guard(runs_of(cpu)).startswith(words)


def test_the_median_file_says_whether_the_clock_drifted():
    assert watching().guard(runs_of([[100, 100, 100], [100, 100, 100], [150, 100, 101]])) == "quiet"
    drifted = watching().guard(runs_of([[100, 100, 100], [100, 100, 100], [150, 109, 100]]))
    assert drifted.startswith("drift: CPU times changed by +9%")


def test_a_block_has_a_median_run():
    cpu = [100, 100, 900, 1, 2, 3, 107, 106, 900]  # medians 100, 2, 107
    assert watching().guard(runs_of(cpu, per_block=3)) == "quiet"
    cpu[-3:] = 110, 109, 900  # median 110
    assert "+10%" in watching().guard(runs_of(cpu, per_block=3))


def test_processor_seconds_of_all_programs(tmp_path, monkeypatch):
    """User, nice, system, irq, softirq, steal: not idle, not waiting for disks, and guests stand in user already."""
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 20 30 4000 500 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    monkeypatch.setattr(machine, "_STAT", stat)
    everyone, own = Machine().cpu_seconds()
    assert everyone == (100 + 20 + 30 + 6 + 7 + 8) / os.sysconf("SC_CLK_TCK")
    assert 0 < own <= os.times().user + os.times().system
    monkeypatch.setattr(machine, "_STAT", tmp_path / "nowhere")
    assert math.isnan(Machine().cpu_seconds()[0])


def test_a_machine_knows_its_processors():
    assert Machine().n_processors == (os.cpu_count() or 1)


def test_own_seconds_are_the_users_and_the_systems(monkeypatch):
    monkeypatch.setattr(os, "times", lambda: os.times_result((3.0, 0.5, 7.0, 7.0, 7.0)))
    assert Machine().cpu_seconds()[1] == 3.5


def test_the_host_has_a_name():
    assert host().endswith(f"({' '.join(sorted({platform.machine(), platform.system()}))})")
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        assert not named or host().startswith(f"{named[0]} (")
