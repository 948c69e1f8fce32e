"""What stands between a latency and the truth: other programs on the processor, and its clock."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LOST = 0.10  # share of wall time in which a single-threaded run did not compute: it waited for a processor
BUSY = 0.30  # processors that others used beyond those that were free
DRIFT = 0.08  # change of CPU time from the first blocks to the last
_STAT = Path("/proc/stat")


def _cpu_seconds() -> tuple[float, float]:
    """Processor seconds that all programs of this machine used since it started, and this one; NaN where not known."""
    times = os.times()
    own = times.user + times.system
    if not _STAT.exists():
        return float("nan"), own
    fields = [float(x) for x in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]  # idle and waiting for disks
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK"), own


@dataclass(kw_only=True)
class Machine:
    """Clocks and load of this machine."""

    wall_ns: Callable[[], int] = time.perf_counter_ns
    cpu_ns: Callable[[], int] = time.process_time_ns
    cpu_seconds: Callable[[], tuple[float, float]] = _cpu_seconds
    n_processors: int = os.cpu_count() or 1


class Timed(Protocol):
    """Times of runs in blocks, nanoseconds: arrays (rounds, files), and the block of each round."""

    @property
    def wall(self) -> NDArray[np.float64]:
        """Of the clock on the wall."""

    @property
    def cpu(self) -> NDArray[np.float64]:
        """Of the processor."""

    @property
    def block(self) -> NDArray[np.int_]:
        """Number of the block, (rounds,)."""


class Watch:
    """Looks at the machine from its making on; `guard` says whether the runs in between can be trusted."""

    def __init__(self, machine: Machine, threads: int) -> None:
        self._machine, self._threads = machine, threads
        self._start = machine.wall_ns(), *machine.cpu_seconds()

    def others(self) -> float:
        """Processors that other programs kept busy, on average; NaN where not known."""
        wall, everyone, own = self._start
        now = self._machine.wall_ns(), *self._machine.cpu_seconds()
        seconds = (now[0] - wall) / 1e9
        return max(0.0, ((now[1] - everyone) - (now[2] - own)) / seconds) if seconds > 0 else float("nan")

    def guard(self, runs: Timed) -> str:
        """Say "quiet", or in words what makes a verdict worthless."""
        if self._threads == 1 and (lost := 1 - runs.cpu.sum() / runs.wall.sum()) > LOST:
            return f"contention: {lost:.0%} of the time was spent waiting for a processor"
        free = self._machine.n_processors - self._threads
        if (others := self.others()) > free + BUSY:
            return f"contention: other programs used {others:.1f} of {self._machine.n_processors} processors"
        edge = max(1, len(np.unique(runs.block)) // 4)
        first, last = runs.cpu[runs.block < edge], runs.cpu[runs.block > runs.block.max() - edge]
        drift = float(np.median(np.median(last, axis=0) / np.median(first, axis=0))) - 1
        if abs(drift) > DRIFT:
            return f"drift: CPU times changed by {drift:+.0%} while it ran (temperature, or the clock's frequency)"
        return "quiet"


def ratio_holds(guard: str) -> bool:
    """Whether files that ran in turn can still be compared: when the clock drifts, all of them drift alike."""
    return not guard.startswith("contention")


def host() -> str:
    """What a latency has to be read with: processor and operating system."""
    names = {platform.machine(), platform.system()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        )
        return f"{next(lines, platform.processor())} ({' '.join(sorted(names))})"
    return f"{platform.processor()} ({' '.join(sorted(names))})"
