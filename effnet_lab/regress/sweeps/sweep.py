"""One notebook at every point of a grid: what is finished is never repeated, what failed is kept and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from effnet_lab.names import UserError, lookup
from effnet_lab.paths import write_atomically
from effnet_lab.regress.environment import write_environment
from effnet_lab.regress.execution import DISK, RETRIED, WORKER
from effnet_lab.regress.notebooks import PROFILES, STANDARD, find_notebook
from effnet_lab.regress.parameters import check_parameters, read_parameters
from effnet_lab.regress.sweeps.fingerprint import Keys, surroundings, with_absolute_paths
from effnet_lab.regress.sweeps.grid import Values, points_of, read_grid
from effnet_lab.regress.sweeps.ledger import PLAN, SweepFolder
from effnet_lab.regress.sweeps.point_run import FAILED, FINISHED, PointOutcome, PointTask, keep_failure
from effnet_lab.regress.sweeps.results import column_of, write_part
from effnet_lab.regress.sweeps.schedule import Runner, SweepStoppedError, runner

NOT_RUN = "not run"
RETRIES = 2


class SweepWatcher(Protocol):
    """Who is told how a sweep goes."""

    def __call__(self, *, finished: int, failed: int, running: int, total: int) -> object:
        """Take the numbers, after every point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRun:
    """What a sweep left behind."""

    table: pd.DataFrame  # one row per point: its parameters, status, kind and message of a failure, seconds, notebook
    folder: Path
    results: Path  # the Parquet data set
    n_run: int  # points that were run by this call; the others were finished before

    @property
    def sentence(self) -> str:
        """How many finished, failed, and were finished before."""
        counts = self.table["status"].value_counts()
        parts = [f"{counts.get(FINISHED, 0):,} of {len(self.table):,} points finished"]
        parts += [f"{counts[status]:,} {status}" for status in (FAILED, NOT_RUN) if counts.get(status)]
        return f"{', '.join(parts)}; {self.n_run:,} run now."


def sweep(
    notebook: str | Path,
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path = "sweep",
    workers: int = 0,
    cluster: str = "",
    profile: str = "smoke",
    timeout_s: float | None = None,
    force: bool = False,
    only: Sequence[str] = (),
    watch: SweepWatcher | None = None,
    tell: Callable[[str], object] = lambda sentence: None,
) -> SweepRun:
    """Run a notebook at every point of a grid, a list or a random sample.

    Parameters
    ----------
    notebook : str or Path
        A name such as ``"02_quantization_error"``, or a path.
    grid : path or mapping
        YAML file, or its content: ``{"grid": {"width": [0.5, 1.0]}}``; instead of ``grid``, ``points`` with a list, or
        ``sample`` with ``n``, ``seed`` and ``from``. ``fixed`` gives what is the same everywhere.
    out : path
        Folder of the sweep. Points that are finished there are not run again: one is told from another by the notebook's
        code, this package, the parameters, and the content of the files and folders that they name.
    workers : int
        Processes on this machine, each with one point at a time; 0: in this process.
    cluster : str
        Address of a Dask scheduler instead, ``tcp://host:8786``. Its workers see the same folders.
    profile : "smoke" or "full"
    timeout_s : float, optional
        For a whole point. Past it, its kernel is killed.
    force : bool
        Run finished points again.
    only : sequence of str
        Keys of points, as in ``sweep.json``: run no others, and let other sweeps into the folder, too.
    watch : callable, optional
        Is told how many points are finished, failed and running.
    tell : callable
        Takes sentences, such as the address of Dask's dashboard.

    Raises
    ------
    UserError
        If the input is wrong, another sweep is at work in the folder, or the disk is full.
    SweepStoppedError
        If the scheduler is gone. What is finished stays finished, as when this process is killed.
    """
    lookup("profile", profile, PROFILES)
    if workers < 0 or (workers and cluster) or (timeout_s is not None and not timeout_s > 0):
        raise UserError(
            f"A sweep needs workers of 0 or more, or a cluster, and a timeout above 0 s. "
            f"Got workers {workers}, cluster {cluster!r}, timeout {timeout_s}."
        )
    plan = make_plan(notebook, grid, profile=profile)
    folder = SweepFolder(out)
    if unknown := set(only) - plan.points.keys():
        raise UserError(f"There is no point {min(unknown)!r} in this sweep. {PLAN} lists their keys.")
    with _nobody_else(folder, only):
        if not only:
            _prepare(plan, folder)
        if force:
            folder.forget(only or plan.points)
        left = [key for key in only or plan.points if not folder.is_finished(key)]
        tasks = {key: _task(plan, folder, key, timeout_s, one_thread=bool(workers > 1 or cluster)) for key in left}
        outcomes = _run_all(tasks, workers, cluster, len(plan.points), watch, tell) if tasks else {}
    return SweepRun(
        table=_table(plan, folder, outcomes), folder=folder.root, results=folder.results, n_run=len(outcomes)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """What a sweep is about to run, checked."""

    notebook: Path
    source: bytes
    profile: str
    kinds: dict[str, str]  # parameter -> annotation
    points: dict[str, Values]  # by key, in the order of the grid


def make_plan(notebook: str | Path, grid: str | Path | Mapping[str, Any], *, profile: str) -> SweepPlan:
    """Read notebook and grid, and name every point; every mistake is found here.

    Raises
    ------
    UserError
        If a name is unknown, a value has another type, or a parameter is read by no cell.
    """
    form, content = read_grid(grid)
    path = find_notebook(notebook)
    source, declared = path.read_bytes(), read_parameters(path)
    given = list(points_of(form, content, declared, path.stem))
    names = {name: None for point in given for name in point}
    if reserved := set(names) & set(STANDARD):
        raise UserError(
            f"Parameter {min(reserved)!r} is set by the runner. Use its own option (--profile, --out) instead."
        )
    check_parameters(path, {name: declared[name].default for name in names})
    usual = {name: known.default for name, known in declared.items() if name not in STANDARD}
    keys = Keys(source, profile)
    points = {keys.key(values): values for values in (usual | point for point in given)}
    kinds = {name: known.annotation for name, known in declared.items()}
    return SweepPlan(notebook=path, source=source, profile=profile, kinds=kinds, points=points)


def _nobody_else(folder: SweepFolder, only: Sequence[str]) -> AbstractContextManager[object]:
    from contextlib import nullcontext

    return nullcontext() if only else folder.held("sweep")


def _prepare(plan: SweepPlan, folder: SweepFolder) -> None:
    """Say what the sweep is, keep the notebook that it runs, and let the data set have its points and no others."""
    folder.clear_work()
    write_atomically(folder.root / plan.notebook.name, plan.source)
    write_environment(folder.root)
    listed = [{"key": key, "parameters": values} for key, values in plan.points.items()]
    about = {"notebook": plan.notebook.stem, "profile": plan.profile, "surroundings": surroundings(), "points": listed}
    write_atomically(folder.root / PLAN, json.dumps(about, indent=1, ensure_ascii=False).encode())
    for part in folder.results.glob("*.parquet"):
        if part.stem not in plan.points:
            part.unlink()
    for key in plan.points:
        if folder.is_finished(key) and not folder.part(key).exists():  # killed between the two, or another grid before
            write_part(folder, key, plan.kinds)


def _task(plan: SweepPlan, folder: SweepFolder, key: str, timeout_s: float | None, *, one_thread: bool) -> PointTask:
    return PointTask(
        root=str(folder.root), notebook=str(folder.root / plan.notebook.name), key=key,
        values=with_absolute_paths(plan.points[key]), kinds=plan.kinds, profile=plan.profile,
        timeout_s=timeout_s, one_thread=one_thread,
    )  # fmt: skip


def _run_all(
    tasks: Mapping[str, PointTask],
    workers: int,
    cluster: str,
    total: int,
    watch: SweepWatcher | None,
    tell: Callable[[str], object],
) -> dict[str, PointOutcome]:
    """Every point until it is finished, or failed in a way that another try cannot mend."""
    tries = dict.fromkeys(tasks, 0)
    ended: dict[str, PointOutcome] = {}
    with runner(min(workers, len(tasks)), cluster) as run:
        if run.dashboard:
            tell(f"Dask's dashboard: {run.dashboard}")
        for task in tasks.values():
            run.submit(task)
        _report(watch, ended, run, len(tasks), total)
        try:
            for outcome in run.outcomes():
                tries[outcome.key] += 1
                if outcome.kind == DISK:
                    raise UserError(
                        f"{_after(ended, total, tasks)}: {outcome.message} Make room, then repeat the command."
                    )
                if outcome.kind in RETRIED and tries[outcome.key] <= RETRIES:
                    run.submit(tasks[outcome.key])
                    continue
                if outcome.kind == WORKER:  # nobody was left to keep it
                    keep_failure(tasks[outcome.key], outcome)
                ended[outcome.key] = outcome
                _report(watch, ended, run, len(tasks), total)
        except SweepStoppedError as error:
            raise SweepStoppedError(
                f"{error}. {_after(ended, total, tasks)}; the same command goes on there."
            ) from None
    return ended


def _after(ended: Mapping[str, PointOutcome], total: int, tasks: Mapping[str, PointTask]) -> str:
    finished = total - len(tasks) + sum(outcome.status == FINISHED for outcome in ended.values())
    return f"Stopped after {finished:,} of {total:,} points"


def _report(watch: SweepWatcher | None, ended: Mapping[str, PointOutcome], run: Runner, begun: int, total: int) -> None:
    if watch is not None:
        failed = sum(outcome.status == FAILED for outcome in ended.values())
        running = min(run.n_running, begun - len(ended))
        watch(finished=total - begun + len(ended) - failed, failed=failed, running=running, total=total)


def _table(plan: SweepPlan, folder: SweepFolder, outcomes: Mapping[str, PointOutcome]) -> pd.DataFrame:
    rows = []
    for key, values in plan.points.items():
        about, outcome = folder.about(key), outcomes.get(key)
        failure = about.get("failure") or {}
        status = about.get("status") or (outcome.status if outcome else NOT_RUN)
        home = folder.point(key) if status == FINISHED else folder.failure(key)
        executed = home / "notebooks" / plan.notebook.name
        rows.append(
            {"point": key, "status": status}
            | {column_of(name): value for name, value in values.items() if _varies(name, plan)}
            | {"kind": failure.get("kind") or (outcome.kind if outcome else ""),
               "message": failure.get("message") or (outcome.message if outcome else ""),
               "seconds": about.get("seconds", float("nan")),
               "notebook": str(executed.relative_to(folder.root)) if executed.exists() else ""}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _varies(name: str, plan: SweepPlan) -> bool:
    first = next(iter(plan.points.values()))[name]
    return any(values[name] != first for values in plan.points.values())
