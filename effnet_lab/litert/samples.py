"""Samples through a file, shared out over interpreters: what is read after each of them, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from numpy.typing import NDArray

from effnet_lab.litert.graph import Graph
from effnet_lab.litert.runner import DelegateError, Runner
from effnet_lab.workers import in_order, workers_for

T = TypeVar("T")
Sample = tuple[NDArray[Any], ...]  # an array per input, without the batch


def team_of(runner: Runner, workers: int | None, n_samples: int, bytes_each: float = 0.0) -> list[Runner]:
    """The runner and others like it, one for each worker; alone where an answer depends on what was asked before.

    Parameters
    ----------
    workers : int, optional
        As asked; see `workers_for`.
    bytes_each : float
        What a worker holds beside its interpreter.
    """
    if runner.graph.keeps_state:
        return [runner]
    n = workers_for(workers, n_samples, runner.memory_bytes + bytes_each)
    return [runner, *(runner.another() for _ in range(n - 1))]


def read_each(team: Sequence[Runner], samples: Iterable[Sample], read: Callable[[Runner, Sample], T]) -> Iterator[T]:
    """Run every sample, each from a clean state, and yield what `read` finds in the interpreter afterwards."""
    return in_order([partial(_read_one, read, runner) for runner in team], samples)


def ran(
    content: bytes, samples: Sequence[Sample], read: Callable[[Runner, Sample], T], *, graph: Graph | None = None,
    keep_all: bool = False, workers: int | None = None,
) -> list[T]:  # fmt: skip
    """`read_each` over a file; on the plain kernels where the delegate refuses it."""

    def on(kernels: str) -> list[T]:
        runner = Runner(content, keep_all=keep_all, graph=graph, kernels=kernels)
        return list(read_each(team_of(runner, workers, len(samples)), samples, read))

    try:
        return on("xnnpack")
    except DelegateError:
        return on("builtin")


def _read_one(read: Callable[[Runner, Sample], T], runner: Runner, sample: Sample) -> T:
    runner.reset()
    runner.feed(*sample)
    runner.invoke()
    return read(runner, sample)
