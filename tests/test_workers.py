"""Images shared out over several interpreters: every number is the same to the bit, and nothing starts that does not fit."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from effnet_lab import workers
from effnet_lab.analysis import layer_error, verdicts
from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.repair.held_out import HeldOut
from effnet_lab.analysis.repair.moments import measure_moments
from effnet_lab.analysis.twins import Twins
from effnet_lab.cpu_limit import run_limited
from effnet_lab.evaluate import evaluate, open_predictor
from effnet_lab.evaluate.predictors import team_of as sets_of
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, read_info
from effnet_lab.litert.samples import team_of
from effnet_lab.names import UserError
from effnet_lab.quantize import calibrate
from effnet_lab.studies import repair
from effnet_lab.workers import free_processors, in_order, workers_for

FLOAT, INT8 = "float32 converter", "static_wi8_ai8 converter"
ALL = ("accumulated", "local", "effect", "split")


class Slow:
    """A call that takes its time, and minds being called twice at once."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s, self.busy, self.done = pause_s, threading.Lock(), 0

    def __call__(self, task: int) -> tuple[int, int]:
        assert self.busy.acquire(blocking=False)
        time.sleep(self.pause_s)
        self.done += 1
        self.busy.release()
        return task, task**2


def test_answers_come_in_the_order_of_the_tasks():
    calls = [Slow(0.0), Slow(0.003), Slow(0.001)]
    assert list(in_order(calls, range(60))) == [(i, i**2) for i in range(60)]
    assert sum(call.done for call in calls) == 60
    assert all(call.done for call in calls)


def test_one_call_needs_no_thread():
    assert list(in_order([lambda _: threading.current_thread()], [1])) == [threading.main_thread()]
    assert list(in_order([abs], [])) == []
    assert list(in_order([abs, abs], [])) == []


def test_tasks_are_taken_as_they_are_needed():
    """Images that wait take memory: four for two workers."""
    taken = []
    found = in_order([abs, abs], (taken.append(i) or i for i in range(100)))
    assert next(found) == 0
    assert taken == [0, 1, 2, 3]
    found.close()
    assert [t for t in threading.enumerate() if t.name.startswith("effnet-lab-workers")] == []


def test_what_a_task_raises_is_raised_in_its_turn():
    def odd(i):
        if i == 5:
            raise UserError("five")
        return i

    found = in_order([odd, odd], range(10))
    assert [next(found) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="five"):
        next(found)


def test_memory_is_counted_before_a_worker_starts(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000.0}))
    monkeypatch.setattr(workers, "free_processors", lambda: 4)
    assert workers_for(None, 100, 1.0) == 4
    assert workers_for(None, 100, 200.0) == 2  # half of what is free is for others
    assert workers_for(None, 100, 9999.0) == 1  # one there has to be
    assert workers_for(2, 100, 250.0) == 2
    with pytest.raises(UserError, match=r"3 workers would take about .* Use --workers 2"):
        workers_for(3, 100, 250.0)


def test_nobody_is_started_without_work(monkeypatch):
    monkeypatch.setattr(workers, "free_processors", lambda: 64)
    assert [workers_for(None, n, 1.0) for n in (0, 1, 7, 8, 1000)] == [1, 1, 1, 8, 8]
    assert [workers_for(3, n, 1.0) for n in (0, 1, 2, 100)] == [1, 1, 2, 3]
    for wrong in (0, -2):
        with pytest.raises(UserError, match=f"--workers must be at least 1. Got {wrong}"):
            workers_for(wrong, 10, 1.0)


def test_processors_that_others_keep_busy_are_not_free(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(workers, "_QUOTA", workers.Path("nowhere"))
    clock = iter(range(100))
    monkeypatch.setattr(workers.time, "perf_counter", lambda: next(clock))
    for busy, free in ((0.0, 4), (1.4, 3), (2.6, 1), (9.0, 1)):
        others = iter((100.0, 100.0 + busy))
        monkeypatch.setattr(workers, "_others_seconds", lambda others=others: next(others))
        assert workers._free_processors.__wrapped__(0) == free


def test_somebody_can_always_work():
    assert 1 <= free_processors() <= (psutil.cpu_count() or 1)


def test_a_container_has_as_many_processors_as_it_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(workers, "_others_seconds", lambda: 0.0)
    monkeypatch.setattr(workers, "_QUOTA", tmp_path / "cpu.max")
    for said, free in (("max 100000\n", 64), ("200000 100000\n", 2), ("50000 100000\n", 1)):
        (tmp_path / "cpu.max").write_text(said)
        assert workers._free_processors.__wrapped__(0) == free


@pytest.fixture(scope="module")
def images():
    return open_images("scenes", limit=19)  # no multiple of any number of workers


@pytest.fixture(scope="module")
def calibration():
    return open_images("scenes", "calibration", limit=9)


def test_accuracy_is_the_same_to_the_bit(files, images):
    found = [evaluate(files[INT8], images, against=files[FLOAT], workers=n) for n in (1, 2, 3)]
    for other in found[1:]:
        for name in ("table", "per_class", "confusion", "reliability", "comparison", "outputs"):
            pd.testing.assert_frame_equal(getattr(other, name), getattr(found[0], name), check_exact=True)
        assert other.sentence == found[0].sentence
        assert other.clock.n_images == 19


def test_answers_are_kept_and_continued_by_any_number_of_workers(files, images, tmp_path):
    whole = evaluate(files[INT8], images, against=files[FLOAT], workers=1)
    seen = []

    def stop(numbers, total):
        for i in numbers:
            if i == 7:
                raise KeyboardInterrupt
            seen.append(i)
            yield i

    path = tmp_path / "kept.npz"
    with pytest.raises(KeyboardInterrupt):
        evaluate(files[INT8], images, against=files[FLOAT], workers=2, resume=path, progress=stop)
    with np.load(path) as kept:
        assert 0 < len(kept["ranked0"]) < 19
    again = evaluate(files[INT8], images, against=files[FLOAT], workers=3, resume=path)
    pd.testing.assert_frame_equal(again.outputs, whole.outputs, check_exact=True)
    pd.testing.assert_frame_equal(again.table, whole.table, check_exact=True)


def test_layer_error_is_the_same_to_the_bit(files, images):
    """Sums over images, in which the order of additions shows in the last digits."""
    for notions, several in ((("accumulated",), (1, 2, 3)), (("accumulated", "local"), (1, 3)), (ALL, (1, 2))):
        found = [
            layer_error(files[INT8], images, float_model=files[FLOAT], notions=notions, workers=n).table
            for n in several
        ]
        for other in found[1:]:
            pd.testing.assert_frame_equal(other, found[0], check_exact=True)
    assert (found[0]["n_images"] == 19).all()


def test_verdicts_are_the_same_to_the_bit(files, images):
    one, two = (verdicts(files[INT8], images, float_model=files[FLOAT], workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(two.table, one.table, check_exact=True)
    pd.testing.assert_frame_equal(two.errors, one.errors, check_exact=True)
    assert (two.loss, two.closing) == (one.loss, one.closing)
    for a, b in zip(one.noted, two.noted, strict=True):
        for name, values in vars(a).items():
            if isinstance(values, np.ndarray):
                assert np.array_equal(values, getattr(b, name), equal_nan=True), name


def test_who_comes_after_finds_the_last_image(files, images):
    seen = []
    for n in (1, 2):
        twins = Twins(files[INT8], files[FLOAT])
        Measuring(twins, ("accumulated", "local"), workers=n).run(images)
        seen.append([twins.codes(pair).copy() for pair in twins.pairs])
    assert all(np.array_equal(a, b) for a, b in zip(*seen, strict=True))


def test_statistics_are_the_same_to_the_bit(files, calibration, tmp_path):
    one, two = (calibrate(files[FLOAT], calibration, workers=n).statistics for n in (1, 2))
    assert (one.images, one.tensors) == (two.images, two.tensors)
    for name in ("low", "high", "exponent", "counts"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_moments_and_losses_are_the_same_to_the_bit(files, calibration):
    content, info = files[FLOAT].read_bytes(), read_info(files[FLOAT])
    one, three = (measure_moments(content, calibration, info.preprocess, workers=n) for n in (1, 3))
    assert one.keys() == three.keys()
    for name, moments in one.items():
        for part in ("low", "high", "mean", "mean_square"):
            assert np.array_equal(getattr(moments, part), getattr(three[name], part)), name
    quantized = files[INT8].read_bytes()
    lost = [HeldOut(content, calibration, info.preprocess, n).losses(quantized) for n in (1, 3)]
    assert np.array_equal(*lost)


def test_an_interrupted_measurement_counts_whole_images(files, images):
    def stop(work, total):
        assert total == 19
        for n, do in enumerate(work):
            if n == 5:
                raise KeyboardInterrupt
            yield do

    found = layer_error(files[INT8], images, float_model=files[FLOAT], workers=2, progress=stop)
    assert found.interrupted
    first = layer_error(files[INT8], images.pick(np.arange(5)), float_model=files[FLOAT], workers=1).table
    pd.testing.assert_frame_equal(found.table, first, check_exact=True)


def test_nobody_looks_into_a_pair_of_interpreters_that_is_still_running(files, images, monkeypatch):
    """Threads are ahead of what is counted: where Ctrl-C ends the count, the last look waits for them."""
    run, running, twice = Twins.run, [], []

    def slowly(twins, *arguments, **options):
        twice.extend(each for each in running if each is twins)
        running.append(twins)
        try:
            time.sleep(0.05)
            run(twins, *arguments, **options)
        finally:
            running.remove(twins)

    def stop(work, total):
        for n, do in enumerate(work):
            if n == 3:
                raise KeyboardInterrupt
            yield do

    monkeypatch.setattr(Twins, "run", slowly)
    assert layer_error(files[INT8], images, float_model=files[FLOAT], workers=2, progress=stop).interrupted
    assert twice == []


def test_threads_of_an_interpreter_are_workers_enough(files, monkeypatch):
    monkeypatch.setattr(workers, "free_processors", lambda: 4)
    one, two = ([open_predictor(files[INT8], threads)] for threads in (1, 2))
    assert [len(sets_of(network, None, 100)) for network in (one, two)] == [4, 1]
    assert len(sets_of(two, 3, 100)) == 3


def test_a_network_with_a_memory_stays_alone(files):
    runner = Runner(files[FLOAT])
    assert len(team_of(runner, 3, 100)) == 3
    runner.graph.__dict__["keeps_state"] = True
    assert team_of(runner, 3, 100) == [runner]


def test_a_repair_is_the_same_to_the_bit(files, images):
    """Moments, losses on held-out images and accuracies; the rounding walks from layer to layer alone."""
    how = {"calibration": open_images("scenes", "calibration", limit=12), "steps": "equalize,bias"}
    one, two = (repair(files[FLOAT], images, workers=n, **how) for n in (1, 2))
    pd.testing.assert_frame_equal(two.table, one.table, check_exact=True)
    assert [stage.quantized for stage in two.stages] == [stage.quantized for stage in one.stages]


@pytest.mark.parametrize(
    ("code", "ends"),
    [("while True: pass", None), ("import time; time.sleep(1); print('done')", 0), ("raise SystemExit(3)", 3)],
)
def test_a_child_may_take_processor_time_not_time_by_the_clock(code, ends):
    """However busy the machine is: a process that waits has taken none."""
    code, said = run_limited([sys.executable, "-S", "-c", code], 0.5)
    assert code == ends
    assert said == ("done\n" if ends == 0 else "")
