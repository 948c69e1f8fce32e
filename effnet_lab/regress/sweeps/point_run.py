"""One point: its notebook executed in a kernel of its own, and its folder kept whole, finished or failed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from effnet_lab.bench.machine import host
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.execution import CELL, DISK, ONE_THREAD, USER, Failure, Limits, execute, is_disk_full
from effnet_lab.regress.kernel import sliced_polling
from effnet_lab.regress.notebooks import PROFILES, save_notebook
from effnet_lab.regress.recording import versions
from effnet_lab.regress.sweeps.ledger import SweepFolder
from effnet_lab.regress.sweeps.results import check_frames, write_part

FINISHED, FAILED = "finished", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PointTask:
    """What a worker is sent."""

    root: str  # the sweep's folder
    notebook: str  # the copy of the notebook that the sweep runs
    key: str
    values: Mapping[str, object]  # typed, with absolute paths; without the two that the runner sets
    kinds: Mapping[str, str]  # parameter -> its annotation
    profile: str
    timeout_s: float | None
    one_thread: bool  # several points at a time: each kernel keeps to one processor


@dataclass(frozen=True, kw_only=True, slots=True)
class PointOutcome:
    """What became of one run of a point."""

    key: str
    status: str  # FINISHED or FAILED
    kind: str = ""  # of the failure
    message: str = ""
    seconds: float = 0.0


def run_point(task: PointTask, started: Callable[[int], object] = lambda pid: None) -> PointOutcome:
    """Run one point; nothing is raised but what ends this process.

    What a finished run leaves appears in one step, so a run that is killed at any moment leaves nothing but its work folder.
    """
    folder, begun = SweepFolder(task.root), time.perf_counter()
    if folder.is_finished(task.key):
        return PointOutcome(key=task.key, status=FINISHED)
    try:
        draft = folder.begin(task.key)
        try:
            failure = _run(task, draft, started) or _unreadable(draft)
            about = _about(task, failure, time.perf_counter() - begun)
            if failure is None:
                folder.finish(task.key, draft, about)
            else:
                folder.fail(task.key, draft, about)
            write_part(folder, task.key, task.kinds)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:  # a full disk, a folder that went away
        failure = Failure(kind=DISK if is_disk_full(error) else CELL, name=type(error).__name__, message=str(error))
    if failure is None:
        return PointOutcome(key=task.key, status=FINISHED, seconds=time.perf_counter() - begun)
    return PointOutcome(key=task.key, status=FAILED, kind=failure.kind, message=failure.message,
                   seconds=time.perf_counter() - begun)  # fmt: skip


def _unreadable(draft: Path) -> Failure | None:
    try:
        check_frames(draft)
    except UserError as error:
        return Failure(kind=USER, name=type(error).__name__, message=str(error))
    return None


def keep_failure(task: PointTask, outcome: PointOutcome) -> None:
    """List a point as failed of which nothing came back."""
    folder = SweepFolder(task.root)
    failure = Failure(kind=outcome.kind, name="", message=outcome.message)
    folder.fail(task.key, folder.begin(task.key), _about(task, failure, float("nan")))
    write_part(folder, task.key, task.kinds)


def _run(task: PointTask, draft: Path, started: Callable[[int], object]) -> Failure | None:
    source = Path(task.notebook)
    name = source.name
    raw = draft / f".{name}"
    values = dict(task.values) | {"profile": task.profile, "out_dir": str(draft)}
    with sliced_polling():
        failure = execute(
            source,
            raw,
            {known: value for known, value in values.items() if known in task.kinds},
            limits=Limits(cell_s=PROFILES[task.profile], whole_s=task.timeout_s),
            environment=ONE_THREAD if task.one_thread else None,
            started=started,
        )
    executed = draft / "notebooks" / name
    home = SweepFolder(task.root).point(task.key) if failure is None else SweepFolder(task.root).failure(task.key)
    with suppress(ValueError):  # cut short, by a full disk for example
        save_notebook(raw, executed, name, moved=(draft, home))
    raw.unlink(missing_ok=True)
    if executed.exists() and failure is not None:
        _put_on_top(executed, failure)
    for page in (draft / "figures").glob("*"):
        if page.suffix != ".json":  # a page has 5 MB of script; the report draws from the JSON files
            page.unlink()
    return failure


def _put_on_top(executed: Path, failure: Failure) -> None:
    """Say what failed, then show the cell with its output; it stays where it was, too."""
    from effnet_lab.notebook_format import nbformat

    notebook = nbformat.read(executed, as_version=4)
    place = "" if failure.number is None else f" in cell [{failure.number}]"
    words = nbformat.v4.new_markdown_cell(
        f"## {failure.kind.capitalize()}{place}: `{failure.name}`\n\n{failure.message}"
    )
    top = [words]
    if 0 <= failure.cell < len(notebook.cells):
        copy: Any = nbformat.from_dict(json.loads(json.dumps(notebook.cells[failure.cell])))
        copy.id = "failed-cell"
        top.append(copy)
    notebook.cells[:0] = top
    write_atomically(executed, nbformat.writes(notebook).encode())


def _about(task: PointTask, failure: Failure | None, seconds: float) -> dict[str, Any]:
    return {
        "key": task.key,
        "status": FINISHED if failure is None else FAILED,
        "failure": None if failure is None else asdict(failure),
        "notebook": Path(task.notebook).stem,
        "profile": task.profile,
        "parameters": dict(task.values),
        "seconds": round(seconds, 3),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host(),
        **versions(),
    }
