"""Long work shared out over processes that give way to everything else and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import TypeVar

import psutil

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def in_workers(call: Callable[[Task], Answer], tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Answer]]:
    """Each task with its answer, as they are finished.

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
