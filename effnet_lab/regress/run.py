"""A run: notebooks executed, their numbers compared with the baselines, and the report about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab.regress.baselines import PROFILE, check
from effnet_lab.regress.notebooks import execute_notebooks
from effnet_lab.regress.overview import summary
from effnet_lab.regress.report import write_report


@dataclass(frozen=True, kw_only=True, slots=True)
class NotebookRun:
    """What a run left behind."""

    table: pd.DataFrame  # one row per model file, see `overview.summary`
    notebooks: tuple[Path, ...]  # executed
    report: Path


def run_notebooks(
    notebooks: Sequence[str] | None = None,
    *,
    profile: str = PROFILE,
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "results",
    workers: int | None = None,
    progress: bool = True,
) -> NotebookRun:
    """Execute notebooks headless; write their numbers, figures and a report.

    Parameters
    ----------
    notebooks : sequence of str or None
        Names such as ``"01_scaling"``, or paths; None: all that answer a question.
    profile : "smoke" or "full"
        Embedded data and about a minute each, or what a researcher runs.
    parameters : mapping of str to object
        Values by name; each goes to the notebooks that have it, one must.
    out : str or Path
        Folder for executed notebooks, frames, figures and the report.
    workers : int, optional
        Notebooks at a time, see `execute_notebooks`.
    progress : bool
        A bar on stderr that counts cells.

    Raises
    ------
    UserError, NotebookError
        The input is wrong, or a cell failed (its notebook is saved nevertheless).
    """
    executed = execute_notebooks(
        notebooks, profile=profile, parameters=parameters, out=out, workers=workers, progress=progress
    )
    whole = not notebooks and not parameters and profile == PROFILE  # else only a part can be compared
    report = write_report(out, moved=check(out, complete=True) if whole else None)
    return NotebookRun(table=summary(out), notebooks=tuple(executed), report=report)
