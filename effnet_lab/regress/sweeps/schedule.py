"""Who runs the points, and when: this process one after the other, or Dask, which knows how."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from effnet_lab.names import UserError
from effnet_lab.regress.execution import CELL, ONE_THREAD, WORKER
from effnet_lab.regress.kernel import shared_kernels
from effnet_lab.regress.sweeps.point_run import FAILED, PointOutcome, PointTask, run_point

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

LOST_WORKERS = 2  # after so many deaths of its worker, a point is listed as failed
SCHEDULER_S = 10  # a scheduler that does not answer for so long is gone
LOOK_S = 2  # how often workers are looked for that Dask could not start again
_LOOPBACK = "127.0.0.1"


class SweepStoppedError(RuntimeError):
    """A sweep cannot go on, and why; what is finished stays finished."""


class InProcess:
    """One point after the other, in this process."""

    dashboard = ""
    n_running = 1

    def __init__(self) -> None:
        self._waiting: list[PointTask] = []

    def submit(self, task: PointTask) -> None:
        """Put a point at the end of the line."""
        self._waiting.append(task)

    def outcomes(self) -> Iterator[PointOutcome]:
        """Each as it ends."""
        while self._waiting:
            yield run_point(self._waiting.pop(0))


class OnDask:
    """Points on the workers of a Dask scheduler, one process each."""

    def __init__(self, client: Client, gone: str) -> None:
        from distributed import as_completed

        self._client, self._ended, self._gone = client, as_completed(loop=client.loop), gone
        self._tasks: dict[str, PointTask] = {}
        self._tries = 0
        self.dashboard = client.dashboard_link or ""

    @property
    def n_running(self) -> int:
        """Points that workers have now."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError, ValueError):
            busy = self._client.processing() or {}
            return min(sum(map(len, busy.values())), len(busy))
        return 0

    def submit(self, task: PointTask) -> None:
        """Hand a point to the scheduler."""
        self._tries += 1
        name = f"point-{task.key}-{self._tries}"
        self._tasks[name] = task
        self._ended.add(self._client.submit(run_point, task, key=name, pure=False))

    def outcomes(self) -> Iterator[PointOutcome]:
        """Each as it ends.

        Raises
        ------
        SweepStoppedError
            If the scheduler is gone.
        """
        for future in self._ended:
            if future.status in ("cancelled", "lost"):
                raise SweepStoppedError(self._gone)
            yield self._outcome(future)

    def _outcome(self, future: Any) -> PointOutcome:
        from distributed import KilledWorker

        task = self._tasks.pop(future.key)
        try:
            outcome: PointOutcome = future.result(timeout=SCHEDULER_S)
        except KilledWorker:
            words = f"its worker was lost {LOST_WORKERS + 1} times"
            return PointOutcome(key=task.key, status=FAILED, kind=WORKER, message=words)
        except Exception as error:  # noqa: BLE001  such as a worker that lacks this package: it is the point's failure
            lines = str(error).strip().splitlines() or [""]
            return PointOutcome(key=task.key, status=FAILED, kind=CELL, message=f"{type(error).__name__}: {lines[0]}")
        return outcome


Runner = InProcess | OnDask


@contextlib.contextmanager
def runner(workers: int, cluster: str) -> Iterator[Runner]:
    """What runs the points.

    Parameters
    ----------
    workers : int
        Processes on this machine; 0: this one.
    cluster : str
        Address of a scheduler that is there, ``tcp://host:8786``; empty: none.
    """
    if not workers and not cluster:
        yield InProcess()
        return
    kernels = shared_kernels(ONE_THREAD) if workers > 1 else contextlib.nullcontext()
    with kernels, _on_dask(workers, cluster) as running:  # kernels first: what they import takes longer than Dask
        yield running


@contextlib.contextmanager
def _on_dask(workers: int, cluster: str) -> Iterator[OnDask]:
    import dask
    from distributed import Client

    for name in ("distributed", "tornado", "asyncio", "bokeh"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # deaths are told once, by the sweep
    settings = {
        "distributed.scheduler.allowed-failures": LOST_WORKERS,
        "distributed.comm.timeouts.connect": f"{SCHEDULER_S}s",
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        address = cluster or stack.enter_context(_local(workers))
        try:
            client = stack.enter_context(Client(address, timeout=SCHEDULER_S, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            said = str(error).splitlines()[0][:100]
            raise UserError(f"No Dask scheduler answers at {cluster!r} ({said}). Start one: dask scheduler.") from None
        yield OnDask(
            client, "The Dask scheduler is gone" if cluster else "Workers end again and again before they are up"
        )


@contextlib.contextmanager
def _local(workers: int) -> Iterator[LocalCluster]:
    """Processes on this machine, which begin to come up; one that dies before it is up is replaced, too."""
    from distributed import LocalCluster
    from tornado.ioloop import PeriodicCallback

    with LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=True,
        host=_LOOPBACK,
        dashboard_address=f"{_LOOPBACK}:0",
        memory_limit=0,  # the memory is that of the kernels, which Dask does not see
        silence_logs=logging.CRITICAL,
    ) as cluster:
        cluster.scale(workers)
        patience = iter(range(workers * LOST_WORKERS * 2))

        def replace() -> None:
            for name in _given_up(cluster):
                if next(patience, None) is None:
                    look.stop()
                    cluster.scheduler.loop.add_callback(cluster.scheduler.close)
                    return
                del cluster.worker_spec[name]
                cluster.scale(workers)

        look = PeriodicCallback(replace, LOOK_S * 1000)
        cluster.loop.add_callback(look.start)
        try:
            yield cluster
        finally:
            cluster.loop.add_callback(look.stop)


def _given_up(cluster: LocalCluster) -> list[object]:
    """Workers that Dask has tried to start, and will not again."""
    ended = {"failed", "closed"}
    return [
        name for name, worker in cluster.workers.items() if worker.status.name in ended and name in cluster.worker_spec
    ]
