"""Images through decoding, resizing and a network, the first two in the background while the third computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images import Preprocess

STAGES = ("decode", "preprocess", "inference")
BATCH = 32
_WORKERS = 2  # threads that decode and resize
T = TypeVar("T")
Prepare = Callable[[int], tuple[T, float, float]]  # index -> what the network gets, seconds of decoding, of the rest


class StageClock:
    """Seconds spent in every stage, and from the first image to the last."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)  # decode and preprocess: summed over the threads
        self.wall_s = 0.0
        self.n_images = 0
        self.n_workers = 1  # threads that run networks
        self.started = time.perf_counter()

    @property
    def images_per_s(self) -> float:
        """Throughput of the whole, not of a stage."""
        return self.n_images / self.wall_s if self.wall_s else float("nan")

    @property
    def slowest(self) -> str:
        """The stage that would have to get faster: the longest, when shared among the threads that do it."""
        background = (self.seconds["decode"] + self.seconds["preprocess"]) / _WORKERS
        if self.seconds["inference"] / self.n_workers >= background:
            return "inference"
        return max(("decode", "preprocess"), key=self.seconds.__getitem__)


def stream(prepare: Prepare[T], indices: range, clock: StageClock, size: int = BATCH) -> Iterator[list[T]]:
    """What `prepare` makes of each index, in order, in lists of `size`, at most 64 images ahead of the consumer.

    Parameters
    ----------
    prepare : callable
        Called from several threads.
    indices : range
    clock : StageClock
        Told what decoding and resizing took, and the time from the first to the last image.
    size : int
        Of a list; the last may be shorter.
    """
    clock.started = time.perf_counter()
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="effnet-lab-images")
    waiting: deque[Future[tuple[T, float, float]]] = deque()
    coming = iter(indices)
    try:
        for start in range(0, len(indices), size):
            batch: list[T] = []
            for _ in range(min(size, len(indices) - start)):
                while len(waiting) < 2 * BATCH and (index := next(coming, None)) is not None:
                    waiting.append(pool.submit(prepare, index))
                item, decoding, resizing = waiting.popleft().result()
                clock.seconds["decode"] += decoding
                clock.seconds["preprocess"] += resizing
                batch.append(item)
            yield batch
            clock.n_images += len(batch)
            clock.wall_s = time.perf_counter() - clock.started
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def stream_batches(
    read: Callable[[int], NDArray[Any]], n: int, preprocess: Preprocess, clock: StageClock, size: int = BATCH
) -> Iterator[NDArray[Any]]:
    """Float32 batches (b, s, s, 3) of the images 0 to n - 1; `read` gives uint8 (h, w, 3). See `stream`."""

    def prepare(i: int) -> tuple[NDArray[Any], float, float]:
        start = time.perf_counter()
        image = read(i)
        decoded = time.perf_counter()
        return preprocess(image), decoded - start, time.perf_counter() - decoded

    return (np.stack(batch) for batch in stream(prepare, range(n), clock, size))
