"""Latency of .tflite files on this machine: interleaved runs, wall and CPU time, percentiles with an interval."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from effnet_lab import frames
from effnet_lab.litert import Runner, read_info
from effnet_lab.names import UserError

N_WARMUP, N_RUNS = 10, 50


def measure_latency(
    models: Sequence[Path | str],
    *,
    threads: int = 1,
    kernels: str = "xnnpack",
    n_warmup: int = N_WARMUP,
    n_runs: int = N_RUNS,
    seed: int = 0,
    clock: Callable[[], int] = time.perf_counter_ns,
    cpu_clock: Callable[[], int] = time.process_time_ns,
    progress: Callable[..., Iterable] | None = None,
) -> pd.DataFrame:
    """LATENCY frame, one row per file, batch 1.

    All candidates run in every round, in an order drawn anew, so that a busy moment falls on all of them; the first file
    is the reference of `relative_p50`, the ratio of median CPU times, which load from other programs hardly moves.

    Parameters
    ----------
    models : sequence of path
        .tflite files.
    threads : int
        Of each interpreter.
    kernels : str
        Kernel path, see `litert.KERNELS`.
    n_warmup, n_runs : int
        Rounds that are not counted, and rounds that are.
    seed : int
        Of the input and of the order.
    clock, cpu_clock : callable
        Nanoseconds; tests pass their own.
    """
    if n_runs < 2 or n_warmup < 0:
        raise UserError(f"Latency needs at least 2 runs and 0 warm-ups. Got {n_runs} runs, {n_warmup} warm-ups.")
    rng = np.random.default_rng(seed)
    runners = [Runner(model, threads=threads, kernels=kernels) for model in models]
    for runner in runners:
        runner.feed(rng.uniform(-1.0, 1.0, runner.input.shape[1:]).astype(np.float32))
    wall, cpu = np.empty((2, n_runs, len(runners)))
    rounds = range(-n_warmup, n_runs)
    for i in progress(rounds) if progress else rounds:
        for k in rng.permutation(len(runners)):
            before = clock(), cpu_clock()
            runners[k].invoke()
            if i >= 0:
                wall[i, k], cpu[i, k] = clock() - before[0], cpu_clock() - before[1]
    keys = [read_info(model).key for model in models]
    shared = {
        "threads": threads, "host": host(), "batch": 1, "kernels": kernels, "n_warmup": n_warmup, "n_runs": n_runs,
        "reference": " ".join(filter(None, keys[0].values())),
    }  # fmt: skip
    reference_ns = float(np.median(cpu[:, 0]))
    rows = [shared | key | _percentiles(wall[:, k], cpu[:, k], reference_ns) for k, key in enumerate(keys)]
    return frames.build(frames.LATENCY, rows)


def host() -> str:
    """What a latency has to be read with: processor and operating system."""
    names = {platform.machine(), platform.system()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        )
        return f"{next(lines, platform.processor())} ({' '.join(sorted(names))})"
    return f"{platform.processor()} ({' '.join(sorted(names))})"


def _percentiles(wall_ns: np.ndarray, cpu_ns: np.ndarray, reference_ns: float) -> dict[str, float]:
    interval = bootstrap((wall_ns,), np.median, method="percentile", n_resamples=1000, rng=np.random.default_rng(0))
    p50, p90, p99 = np.percentile(wall_ns, (50, 90, 99)) / 1e6
    return {
        "p50_ms": p50,
        "p50_lo_ms": interval.confidence_interval.low / 1e6,
        "p50_hi_ms": interval.confidence_interval.high / 1e6,
        "p90_ms": p90,
        "p99_ms": p99,
        "cpu_p50_ms": float(np.median(cpu_ns)) / 1e6,
        "relative_p50": float(np.median(cpu_ns)) / reference_ns,
    }
