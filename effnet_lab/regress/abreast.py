"""Several notebooks at a time, each in a kernel of its own; what is made of them is taken in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TypeVar

from effnet_lab.bench.alone import BESIDE, turn
from effnet_lab.paths import scratch_folder
from effnet_lab.regress.execution import ONE_THREAD, end_kernel
from effnet_lab.regress.kernel import sliced_polling
from effnet_lab.workers import FEW

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Kernels:
    """The kernels that run now: whoever measures in one can stop the others, and none outlives the run."""

    def __init__(self, folder: Path, *, one_thread: bool) -> None:
        self.ended, self._folder = False, folder
        self.environment = {BESIDE: str(folder)} | (ONE_THREAD if one_thread else {})

    @contextmanager
    def one(self) -> Iterator[Callable[[int], None]]:
        """For as long as a kernel runs; it begins when nobody measures. What is yielded is to be told its process number."""
        started, lock = list[Path](), turn(self._folder)

        def tell(pid: int) -> None:
            started.append(self._folder / str(pid))
            started[-1].touch()
            lock.release()
            if self.ended:
                end_kernel(pid)

        lock.acquire()
        try:
            yield tell
        finally:
            lock.release()
            for file in started:
                file.unlink(missing_ok=True)

    def end(self) -> None:
        """End those that run, and those that are about to start."""
        self.ended = True
        for file in self._folder.iterdir():
            if file.name.isdecimal():
                end_kernel(int(file.name))


def run_each(
    tasks: Sequence[Task],
    run: Callable[[Task, Kernels], Outcome],
    take: Callable[[Task, Outcome], object],
    *,
    fails: Callable[[Outcome], bool],
    n_at_a_time: int,
) -> None:
    """Run tasks, so many at a time.

    Parameters
    ----------
    tasks : sequence
    run : callable
        Called in a thread.
    take : callable
        Is given each task and what became of it, in the order of the tasks.
    fails : callable
        Whether an outcome is such that no other task is begun.
    n_at_a_time : int
    """
    with scratch_folder() as folder, sliced_polling(), ThreadPoolExecutor(n_at_a_time) as pool:
        # what is trained depends on the number of threads: of many, it must not depend on how many processors are free now
        kernels, stop = Kernels(folder, one_thread=n_at_a_time > 1 or len(tasks) >= FEW), Event()

        def work(task: Task) -> Outcome:
            if stop.is_set():
                raise CancelledError
            outcome = _in_own_loop(run, task, kernels)
            if fails(outcome):
                stop.set()
            return outcome

        try:
            for task, future in [(task, pool.submit(work, task)) for task in tasks]:
                with suppress(CancelledError):
                    take(task, future.result())
        except BaseException:  # Ctrl-C, or a full disk
            stop.set()
            kernels.end()
            raise


def _in_own_loop(run: Callable[[Task, Kernels], Outcome], task: Task, kernels: Kernels) -> Outcome:
    """Close the event loop that Jupyter's libraries make for each thread."""
    try:
        return run(task, kernels)
    finally:
        with suppress(RuntimeError):  # there is none
            asyncio.get_event_loop().close()
