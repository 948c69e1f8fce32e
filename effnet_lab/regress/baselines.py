"""Numbers that should not move: a run or a sweep against its baseline, the verdict as a table, and the cause in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.frames import MODEL_FILE, Frame
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.blessed import (
    RULES,
    Rules,
    baselines_folder,
    blessed_rows,
    log_blessing,
    no_rows,
    rules_of,
    write_blessed,
)
from effnet_lab.regress.causes import FILES, causes
from effnet_lab.regress.checked import Checked
from effnet_lab.regress.environment import FILE, as_bytes, drift, moved_conditions, read_environment
from effnet_lab.regress.notebook_diff import compare_notebooks
from effnet_lab.regress.recorded import frame_of, recorded_rows
from effnet_lab.regress.rules import Chance, Rule, columns_of, exact_rule
from effnet_lab.regress.suspects import ROW, SEPARATOR, layer_summary
from effnet_lab.regress.verdict_files import write_junit

PROFILE = "smoke"  # only these rows are baseline rows
COLUMNS = ("frame", "key", "what", "was", "is", "allowed")
__all__ = ["COLUMNS", "PROFILE", "RULES", "Checked", "bless", "check"]


def check(
    results: str | Path = "results",
    baselines: str | Path | None = None,
    *,
    against: str | Path | None = None,
    complete: bool = False,
    exact: bool = False,
    junit: str | Path | None = None,
) -> Checked:
    """Every recorded number that left its allowance, what else differs, and why.

    Parameters
    ----------
    results : str or Path
        Folder that a run or a sweep wrote. Of a run only smoke rows are compared with baselines.
    baselines : str or Path
        Folder of blessed CSVs, by default ``data/baselines``; its ``tolerances.yaml`` may state rules of its own.
    against : str or Path
        Another run or sweep instead, which was not blessed: all profiles are compared, and the notebooks too.
    complete : bool
        After a run of all notebooks with their own parameters: rows without a baseline, and baselines without a row,
        are reported too. A partial run is compared only where both sides have the row.
    exact : bool
        Where the environment is the same: allow no difference in what is computed, only in what is timed.
    junit : path, optional
        Write the verdict as JUnit XML, too.

    Returns
    -------
    Checked
        Its table has the columns frame, key, what, was, is, allowed; no rows if nothing moved. A number that became NaN,
        or a NaN that became a number, has moved.

    Raises
    ------
    UserError
        If there is nothing to compare.
    """
    folder = baselines_folder(baselines) if against is None else Path(against)
    rules = rules_of(folder)
    recorded = recorded_rows(results, rules, profile=PROFILE if against is None else "")
    blessed = blessed_rows(folder, rules, results) if against is None else recorded_rows(folder, rules)
    environments = read_environment(folder), read_environment(results)
    drifted = drift(*environments)
    if exact and not drifted:
        rules = {
            frame: {name: exact_rule(name, rule) for name, rule in known.items()} for frame, known in rules.items()
        }
    table, n_compared = _compared(rules, blessed, recorded, results, complete=complete)
    if not n_compared and not complete:
        raise UserError(f"No row of {results} has a baseline in {folder}. Run all notebooks, then effnet-lab bless.")
    table = pd.concat([_files(moved_conditions(*environments)), table], ignore_index=True)
    found = Checked(
        table=table,
        n_compared=n_compared,
        suspects=tuple(layer_summary(table)),
        drift=tuple(drifted),
        causes=tuple(causes(blessed, recorded, table)),
        notebooks=None if against is None else compare_notebooks(folder, results),
    )
    if junit is not None:
        write_junit(found, junit)
    return found


def bless(
    results: str | Path = "results",
    baselines: str | Path | None = None,
    *,
    complete: bool = False,
    why: str = "",
    who: str = "",
) -> list[Path]:
    """Accept the recorded numbers as baselines, and keep who did, when and why in ``blessed.jsonl``.

    Parameters
    ----------
    results, baselines : str or Path
        As in `check`.
    complete : bool
        Also drop baselines that were not recorded; else rows of other notebooks stay.
    why : str
        The reason, in a sentence.
    who : str
        By default the user that git knows, or the system's.

    Returns
    -------
    list of Path
        The files that changed: keys and compared columns only, sorted by key.
    """
    folder = baselines_folder(baselines)
    rules = rules_of(folder)
    recorded, blessed = recorded_rows(results, rules, profile=PROFILE), blessed_rows(folder, rules, results)
    changed = []
    for name, known in rules.items():
        frame, path = frame_of(name, results), folder / f"{name}.csv"
        rows = recorded.get(name, no_rows(frame))
        rows = rows.reindex(columns=columns_of(known))
        if not complete and name in blessed:
            old = blessed[name]
            kept = old[~old.index.isin(rows.index)]
            rows = pd.concat([part.astype("object") for part in (kept, rows) if len(part)]).infer_objects()
        if write_blessed(rows.sort_index(kind="stable"), path):
            changed.append(path)
    if changed:
        seen = read_environment(results)
        if seen is not None:
            write_atomically(folder / FILE, as_bytes((read_environment(folder) or {}) | seen))
        log_blessing(folder, changed, why=why, who=who)
    return changed


def _files(moved: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Files that were calibrated otherwise, or take another input."""
    rows = [
        (FILES, name.partition(" of ")[2], name.partition(" of ")[0], was, now, "exactly") for name, was, now in moved
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="object")


def _compared(
    rules: Rules,
    blessed: dict[str, pd.DataFrame],
    recorded: dict[str, pd.DataFrame],
    results: str | Path,
    *,
    complete: bool,
) -> tuple[pd.DataFrame, int]:
    """What moved, and how many numbers were compared."""
    moved: list[dict[str, object]] = []
    n_compared = 0
    for name, known in rules.items():
        frame = frame_of(name, results)
        was, now = blessed.get(name, no_rows(frame)), recorded.get(name, no_rows(frame))
        shared = was.index.intersection(now.index, sort=False)
        n_compared += len(shared) * len(known)
        moved += _moved(frame, known, was.loc[shared], now.loc[shared])
        if complete:
            moved += _unpaired(frame, was, now, allowed="a row")
            moved += _unpaired(frame, now, was, allowed="no row")
    return pd.DataFrame(moved, columns=list(COLUMNS), dtype="object"), n_compared


def _moved(
    frame: Frame, rules: Mapping[str, Rule], was: pd.DataFrame, now: pd.DataFrame
) -> Iterator[dict[str, object]]:
    """Cells of shared rows that a rule does not allow, row by row."""
    columns = columns_of(rules)  # one that a file lacks is NaN there, and so has moved
    was, now = was.reindex(columns=columns), now.reindex(columns=columns)
    pairs = zip(was.index, was.to_dict("records"), now.to_dict("records"), strict=True)
    for key, before, after in pairs:
        for name, rule in rules.items():
            if not _allows(rule, name, before, after):
                yield _finding(frame, key, name, before[name], after[name], str(rule))


def _allows(rule: Rule, name: str, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> bool:
    """NaN equals NaN only; everything else is the rule's."""
    was, now = before[name], after[name]
    if pd.isna(was) or pd.isna(now):
        return bool(pd.isna(was) and pd.isna(now))
    return rule.allows_rows(name, before, after) if isinstance(rule, Chance) else rule.allows(was, now)


def _unpaired(frame: Frame, have: pd.DataFrame, lack: pd.DataFrame, *, allowed: str) -> Iterator[dict[str, object]]:
    """Rows of one side without partner; all rows of a model or file at once where none has one."""
    alone = have.loc[~have.index.isin(lack.index)].index
    group = [key for key in ("point", *MODEL_FILE, "data") if key in frame.keys]
    partners = set(lack.index.to_frame()[group].itertuples(index=False, name=None))
    counted = alone.to_frame(index=False).groupby(group, sort=False).size()
    was, now = ("recorded", "missing") if allowed == "a row" else ("no baseline", "recorded")
    for key in alone:
        whole = tuple(key[alone.names.index(name)] for name in group) if len(frame.keys) > 1 else (key,)
        if whole in partners:
            yield _finding(frame, key, ROW, was, now, allowed)
    for key, n_rows in counted.items():
        whole = key if isinstance(key, tuple) else (key,)
        if whole not in partners:
            yield _finding(frame, whole, ROW, was, f"{now} ({n_rows} row{'s' * (n_rows != 1)})", allowed)


def _finding(frame: Frame, key: object, what: str, was: object, now: object, allowed: str) -> dict[str, object]:
    text = SEPARATOR.join(str(part) for part in key) if isinstance(key, tuple) else str(key)
    return dict(zip(COLUMNS, (frame.name, text, what, was, now, allowed), strict=True))
