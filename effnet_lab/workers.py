"""Work shared out over threads or processes: the answers are the same however many there are."""

from __future__ import annotations

import functools
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

import psutil

from effnet_lab.names import UserError

Task = TypeVar("Task")
Answer = TypeVar("Answer")
FEW = 8  # tasks that are not worth sharing out unless somebody asks for it
MOST = 8  # workers that are started unasked
_SHARE = 0.5  # of the memory that is free now
_LOOK_S, _KEPT_S = 0.05, 10.0  # how long the load is looked at, and how long that is believed
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container


def workers_for(asked: int | None, n_tasks: int, bytes_each: float) -> int:
    """How many workers to start: as asked, else one for each free processor, as memory allows.

    Parameters
    ----------
    asked : int, optional
        By whoever runs it.
    n_tasks : int
        Images, say: no worker is without any.
    bytes_each : float
        Memory that one worker takes.

    Raises
    ------
    UserError
        If so many do not fit into memory, or fewer than one are asked for.
    """
    if asked is not None and asked < 1:
        raise UserError(f"--workers must be at least 1. Got {asked}.")
    free = psutil.virtual_memory().available
    fit = max(1, int(_SHARE * free / max(bytes_each, 1.0)))
    if asked is None:
        return 1 if n_tasks < FEW else min(free_processors(), MOST, fit, n_tasks)
    wanted = min(asked, max(n_tasks, 1))
    if wanted > fit:
        raise UserError(
            f"{wanted} workers would take about {wanted * bytes_each / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are "
            f"free. Use --workers {fit}."
        )
    return wanted


def free_processors() -> int:
    """Processors that this process may use and that other programs leave idle now; at least 1."""
    return _free_processors(int(time.monotonic() / _KEPT_S))


@functools.lru_cache(maxsize=1)
def _free_processors(_moment: int) -> int:
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if _QUOTA.is_file():
        quota, _, period = _QUOTA.read_text().partition(" ")
        mine = mine if quota == "max" else min(mine, int(quota) // int(period))
    if mine < 2:
        return 1
    start, before = time.perf_counter(), _others_seconds()
    time.sleep(_LOOK_S)
    busy = (_others_seconds() - before) / (time.perf_counter() - start)
    return max(1, mine - round(busy))


def _others_seconds() -> float:
    """Processor time that other programs of this machine have used."""
    everyone, own = psutil.cpu_times(), psutil.Process().cpu_times()
    idle = everyone.idle + getattr(everyone, "iowait", 0.0)
    return float(sum(everyone[:8]) - idle - own.user - own.system)


def in_order(calls: Sequence[Callable[[Task], Answer]], tasks: Iterable[Task]) -> Iterator[Answer]:
    """What the calls make of the tasks, in the order of the tasks.

    Each call, an interpreter of its own for example, does one task at a time in a thread of its own; the tasks are taken
    from their iterator as they are needed. With one call there are no threads.
    """
    if len(calls) == 1:
        yield from map(calls[0], tasks)
        return
    idle: queue.SimpleQueue[Callable[[Task], Answer]] = queue.SimpleQueue()
    for call in calls:
        idle.put(call)

    def do(task: Task) -> Answer:
        call = idle.get()
        try:
            return call(task)
        finally:
            idle.put(call)

    pool = ThreadPoolExecutor(len(calls), thread_name_prefix="effnet-lab-workers")
    waiting: deque[Future[Answer]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(do, task))
            if len(waiting) >= 2 * len(calls):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_workers(call: Callable[[Task], Answer], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Answer]]:
    """Each task with its answer, as they are finished, by processes that give way to everything else.

    A worker has the lowest priority and one TensorFlow thread: networks of this size spend more time on passing work
    between threads than on the work (2.3 times the CPU time for micro0 with two threads). It ends when its parent does,
    however that ends.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_give_way)
    try:
        waiting = {pool.submit(call, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        for process in set(multiprocessing.active_children()) - others:  # a point that is being trained takes minutes
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _give_way() -> None:
    """In the worker, before TensorFlow is loaded: it reads these variables once."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    psutil.Process().nice(psutil.IDLE_PRIORITY_CLASS if os.name == "nt" else 19)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
