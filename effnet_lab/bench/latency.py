"""Latency of .tflite files on this machine: interleaved runs, wall and CPU time, and a verdict only where it can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.bench.alone import alone
from effnet_lab.bench.compare import judge
from effnet_lab.bench.machine import Machine, Watch, host
from effnet_lab.intervals import quantile_interval
from effnet_lab.litert import Runner, Tensor, delegate_of, read_info, tell_apart
from effnet_lab.names import UserError
from effnet_lab.progress import Progress, counted

N_RUNS, N_BLOCKS = 96, 16
MAX_WARMUP = 60  # rounds
STEADY = 3  # rounds whose median is compared with that of the three before
STEADY_WITHIN = 0.03
PERCENTILES = (50, 90, 99)


@alone()
def measure_latency(
    models: Sequence[Path | str],
    *,
    threads: int = 1,
    kernels: str = "xnnpack",
    n_runs: int = N_RUNS,
    n_blocks: int | None = None,
    seed: int = 0,
    machine: Machine | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """LATENCY frame, one row per file, batch 1.

    All candidates run in every round, so that a busy moment falls on all of them, in an order drawn anew, and in the next
    round in its reverse: who runs later is slower by up to a percent. Rounds come in blocks; each block opens the files anew,
    in orders drawn and reversed alike, and warms up until two runs of three rounds have the same median, because where an
    interpreter happens to lie in memory moves its speed by a percent or two, and that is no property of the file.

    The first file is the reference: ``relative_p50`` is the ratio of CPU times to it, with its interval over the blocks,
    and ``verdict`` says "faster", "slower" or "same" (see `compare.judge`). Under contention or drift of the clock
    ``guard`` says so and the verdict is "none".

    Parameters
    ----------
    models : sequence of path
        .tflite files.
    threads : int
        Threads of each interpreter.
    kernels : str
        Kernel path, see `litert.KERNELS`.
    n_runs : int
        Counted rounds, shared among the blocks.
    n_blocks : int
        How often the files are opened anew, at least 3; by default 16, or as many as there are runs.
    seed : int
        Of the input and of the order.
    machine : Machine, optional
        The clocks and the load; tests pass their own.
    progress : callable, optional
        Counts the rounds, as `tqdm` does.
    """
    n_blocks = min(N_BLOCKS, n_runs) if n_blocks is None else n_blocks
    if not 3 <= n_blocks <= n_runs:
        raise UserError(f"Latency needs at least 3 runs, and no more blocks than runs. Got {n_runs} runs.")
    rng, machine = np.random.default_rng(seed), machine or Machine()
    watch, blocks, openings = Watch(machine, threads), [], _orders(len(models), rng)
    for n in counted(progress, _shares(n_runs, n_blocks), n_runs, int):
        runners: dict[int, Runner] = {}
        for k in next(openings):  # who is opened first lies better in memory, or worse
            runners[k] = Runner(models[k], threads=threads, kernels=kernels)
            runners[k].feed(*(_values(tensor, rng) for tensor in runners[k].inputs))
        blocks.append(_block([runners[k].invoke for k in range(len(models))], n, rng, machine))
    runs = Runs(
        wall=np.concatenate([block.wall for block in blocks]),
        cpu=np.concatenate([block.cpu for block in blocks]),
        block=np.repeat(np.arange(n_blocks), [len(block.wall) for block in blocks]),
        n_warmup=sum(block.n_warmup for block in blocks),
    )
    shared = {"threads": threads, "host": host(), "batch": 1, "kernels": kernels}
    delegates = [delegate_of(runners[k]) for k in range(len(models))]
    infos = tell_apart([read_info(model) for model in models], models)
    return _table(runs, [info.key for info in infos], delegates, watch.guard(runs), shared)


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Nanoseconds of every counted invocation, arrays (rounds, files)."""

    wall: NDArray[np.float64]
    cpu: NDArray[np.float64]
    block: NDArray[np.int_]  # (rounds,): which block a round belongs to
    n_warmup: int


def _values(tensor: Tensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Something to compute with, real values: any code, or floats about zero; zeros for integers, which may be indices."""
    if tensor.quantized:
        limits = np.iinfo(tensor.dtype)
        return tensor.real(rng.integers(limits.min, limits.max + 1, tensor.shape))
    if tensor.dtype.kind == "f":
        return rng.uniform(-1.0, 1.0, tensor.shape).astype(np.float32)
    return np.zeros(tensor.shape, np.float32)


def _shares(n_runs: int, n_blocks: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(n_runs), n_blocks)]


def _orders(n: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Orders of n files, each drawn anew and followed by its reverse."""
    while True:
        order = rng.permutation(n).tolist()
        yield order
        yield order[::-1]


def _block(calls: Sequence[Callable[[], None]], n: int, rng: np.random.Generator, machine: Machine) -> Runs:
    """Warm up until steady, then n rounds."""
    wall: list[NDArray[np.float64]] = []
    cpu: list[NDArray[np.float64]] = []
    orders = _orders(len(calls), rng)
    while not _steady(cpu) and len(cpu) < MAX_WARMUP:
        _round(calls, next(orders), machine, wall, cpu)
    n_warmup, orders = len(cpu), _orders(len(calls), rng)
    for _ in range(n):
        _round(calls, next(orders), machine, wall, cpu)
    counted = np.array(wall[n_warmup:]), np.array(cpu[n_warmup:])
    return Runs(wall=counted[0], cpu=counted[1], block=np.zeros(n, int), n_warmup=n_warmup)


def _round(
    calls: Sequence[Callable[[], None]],
    order: list[int],
    machine: Machine,
    wall: list[NDArray[np.float64]],
    cpu: list[NDArray[np.float64]],
) -> None:
    times = np.empty((2, len(calls)))
    for k in order:
        before = machine.wall_ns(), machine.cpu_ns()
        calls[k]()
        after = machine.cpu_ns(), machine.wall_ns()
        times[:, k] = after[1] - before[0], after[0] - before[1]
    wall.append(times[0])
    cpu.append(times[1])


def _steady(cpu: list[NDArray[np.float64]]) -> bool:
    if len(cpu) < 2 * STEADY:
        return False
    before, now = (np.median(cpu[part], axis=0) for part in (slice(-2 * STEADY, -STEADY), slice(-STEADY, None)))
    return bool((np.abs(now - before) <= STEADY_WITHIN * before).all())


def _table(
    runs: Runs, keys: list[dict[str, str]], delegates: list[str], guard: str, shared: dict[str, object]
) -> pd.DataFrame:
    reference = " ".join(filter(None, keys[0].values()))
    rows = []
    for k, key in enumerate(keys):
        judged = judge(runs.cpu[:, 0], runs.cpu[:, k], runs.block)
        verdict = "reference" if k == 0 else judged.verdict if guard == "quiet" else "none"
        rows.append(
            key
            | shared
            | {"delegate": delegates[k], "n_warmup": runs.n_warmup, "n_runs": len(runs.wall), "reference": reference}
            | _percentiles(runs.wall[:, k], "")
            | _percentiles(runs.cpu[:, k], "cpu_")
            | {"relative_p50": judged.ratio, "relative_p50_lo": judged.low, "relative_p50_hi": judged.high}
            | {"guard": guard, "verdict": verdict}
        )
    return frames.build(frames.LATENCY, rows)


def _percentiles(ns: NDArray[np.float64], prefix: str) -> dict[str, float]:
    """Percentiles in ms, each with its 95 % interval; NaN for the end of one that lies beyond the slowest run."""
    row: dict[str, float] = {}
    for p in PERCENTILES:
        low, high = quantile_interval(ns, p / 100)
        row |= {f"{prefix}p{p}_ms": float(np.percentile(ns, p)) / 1e6}
        row |= {f"{prefix}p{p}_lo_ms": low / 1e6, f"{prefix}p{p}_hi_ms": high / 1e6}
    return row
