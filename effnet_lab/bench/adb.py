"""Latency on an Android device: the official `benchmark_model`, driven through adb."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.bench.compare import judge
from effnet_lab.bench.machine import DRIFT
from effnet_lab.intervals import quantile_interval
from effnet_lab.litert import read_info, tell_apart
from effnet_lab.names import UserError, lookup

FOLDER = "/data/local/tmp"  # the one place where the shell user may execute a program
N_PROCESSES = 6  # fewer have no 95 % interval of their median
TIMEOUT_S = 600
DELEGATES = {  # flags of benchmark_model
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true", "--gpu_precision_loss_allowed=true"),
    "nnapi": ("--use_nnapi=true",),
    "none": ("--use_xnnpack=false",),
}
_FIELD = re.compile(r"(\w+)=([-+.\deE]+)")


def measure_on_device(
    models: Sequence[Path | str],
    serial: str,
    *,
    threads: int = 4,
    n_runs: int = 50,
    n_processes: int = N_PROCESSES,
    delegate: str = "xnnpack",
    seed: int = 0,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """LATENCY frame, one row per file, measured on a device; CPU times are NaN, `benchmark_model` does not tell them.

    Every file runs in several processes, in an order drawn anew each time; a process is one observation. Its median counts
    where the tool prints one, else its average. Percentiles beyond the median are those over all processes and NaN where
    the tool prints none.

    Parameters
    ----------
    models : sequence of path
        .tflite files; the first is the reference.
    serial : str
        Of the device, as ``adb devices`` lists it; ``/data/local/tmp/benchmark_model`` must be there.
    threads, n_runs : int
        Of each process.
    n_processes : int
        Per file, at least 3.
    delegate : "xnnpack", "gpu", "nnapi" or "none"

    References
    ----------
    tensorflow, lite/tools/benchmark/README.md.
    """
    if n_processes < 3:
        raise UserError(f"A verdict needs at least 3 processes per file. Got {n_processes}.")
    flags = lookup("delegate", delegate, DELEGATES)
    infos = [read_info(model) for model in models]  # a file that cannot be read is refused before anything is sent
    keys = [info.key for info in tell_apart(infos, models)]
    device = Device(serial)
    host = device.describe()
    rng, us = np.random.default_rng(seed), np.full((n_processes, len(models)), np.nan)
    stats: list[list[dict[str, float]]] = [[] for _ in models]
    remote = [device.push(Path(model), f"effnet-lab-{k}.tflite") for k, model in enumerate(models)]
    try:
        steps = [(i, int(k)) for i in range(n_processes) for k in rng.permutation(len(models))]
        for i, k in progress(steps) if progress else steps:
            found = parse_benchmark(device.benchmark(remote[k], threads, n_runs, flags))
            us[i, k] = found.get("median", found["avg"])
            stats[k].append(found)
    finally:
        device.remove(remote)
    guard = _guard(us)
    shared = {
        "threads": threads, "host": host, "batch": 1, "kernels": f"benchmark_model, {delegate}", "delegate": delegate,
        "n_warmup": float("nan"), "reference": " ".join(filter(None, keys[0].values())), "guard": guard,
    }  # fmt: skip
    rows = [shared | key | _row(us, k, stats[k], guard) for k, key in enumerate(keys)]
    return frames.build(frames.LATENCY, rows)


class Device:
    """One device behind adb."""

    def __init__(self, serial: str) -> None:
        found = shutil.which("adb")
        if found is None:
            raise UserError("adb is not on the PATH. Install the Android platform tools.")
        self.serial, self.adb = serial, found
        if (state := self._call("get-state").strip()) != "device":
            raise UserError(f"Device {serial!r} is {state or 'not there'}. `adb devices` lists what is connected.")

    def describe(self) -> str:
        """Model, system on chip and Android version."""
        names = ("ro.product.model", "ro.board.platform", "ro.build.version.release")
        model, chip, release = (self.shell("getprop", name).strip() for name in names)
        return f"{model} ({chip}, Android {release})"

    def push(self, path: Path, name: str) -> str:
        """Copy a file to the device; its place there."""
        self._call("push", str(path), f"{FOLDER}/{name}")
        return f"{FOLDER}/{name}"

    def remove(self, paths: Sequence[str]) -> None:
        """Leave nothing behind."""
        self.shell("rm", "-f", *paths)

    def benchmark(self, graph: str, threads: int, n_runs: int, flags: Sequence[str]) -> str:
        """Output of one process of `benchmark_model`."""
        return self.shell(
            f"{FOLDER}/benchmark_model", f"--graph={graph}", f"--num_threads={threads}", f"--num_runs={n_runs}", *flags
        )

    def shell(self, *words: str) -> str:
        """Run a program on the device; its standard output and error."""
        return self._call("shell", shlex.join(words))

    def _call(self, *words: str) -> str:
        command = [self.adb, "-s", self.serial, *words]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"adb {words[0]} on {self.serial} gave no answer for {TIMEOUT_S} s. Is it asleep?"
            ) from None
        if done.returncode:
            said = (done.stdout.strip().splitlines() or ["nothing"])[-1]
            raise UserError(f"adb {' '.join(words)[:80]} on {self.serial} failed: {said}")
        return str(done.stdout)


def parse_benchmark(output: str) -> dict[str, float]:
    """Numbers of the counted runs in microseconds: count, first, min, max, avg, std, and p5, median, p95 where printed.

    Raises
    ------
    UserError
        If the output has none, with the last line that it has: the tool's own complaint.
    """
    counted = [line for line in output.splitlines() if "count=" in line and "avg=" in line]
    if not counted or "Inference timings in us" not in output:
        said = (output.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"benchmark_model gave no timings; it said: {said}")
    return {name: float(value) for name, value in _FIELD.findall(counted[-1])}  # before it stand the warm-up runs


def _guard(us: NDArray[np.float64]) -> str:
    edge = max(1, len(us) // 4)
    change = float(np.median(us[-edge:].mean(axis=0) / us[:edge].mean(axis=0))) - 1
    return "quiet" if abs(change) <= DRIFT else f"drift: times changed by {change:+.0%} while it ran (temperature)"


def _row(us: NDArray[np.float64], k: int, stats: list[dict[str, float]], guard: str) -> dict[str, object]:
    judged = judge(us[:, 0], us[:, k], np.arange(len(us)))
    low, high = quantile_interval(us[:, k], 0.5)
    verdict = "reference" if k == 0 else judged.verdict if guard == "quiet" else "none"
    return {
        "n_runs": int(sum(found["count"] for found in stats)),
        "p50_ms": float(np.median(us[:, k])) / 1e3,
        "p50_lo_ms": float(low) / 1e3,
        "p50_hi_ms": float(high) / 1e3,
        "relative_p50": judged.ratio,
        "relative_p50_lo": judged.low,
        "relative_p50_hi": judged.high,
        "verdict": verdict,
    }
