"""Numbers that should not move: what is compared and how closely, and the verdict as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.frames import FRAMES, MODEL_FILE, Frame
from effnet_lab.names import UserError
from effnet_lab.paths import data_dir
from effnet_lab.regress.csv_files import read_csv, write_csv
from effnet_lab.regress.recording import frame_path
from effnet_lab.regress.rules import Exact, Ratio, Rule, Within
from effnet_lab.regress.suspects import ROW, SEPARATOR, layer_summary

PROFILE = "smoke"  # only these rows are baseline rows
COLUMNS = ("frame", "key", "what", "was", "is", "allowed")


_COUNT = Exact()
RULES: dict[str, dict[str, Rule]] = {
    "counts": dict.fromkeys(
        ("op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"), _COUNT
    ),
    "variants": dict.fromkeys(
        ("width", "depth", "resolution_px", "params", "madds", "peak_activation_bytes", "flash_bytes"), _COUNT
    ),
    "layer_error": {
        "op": _COUNT,
        "data": _COUNT,  # a condition, not a result: other images explain other numbers
        "n_images": _COUNT,
        "sqnr_accumulated_db": Within(1.0),  # kernels of other processors differ by up to 1.1 dB
        "weight_sqnr_db": Within(0.1),
        "weight_worst_channel_sqnr_db": Within(0.1),
    },
    "layer_effect": {
        "op": _COUNT,
        "data": _COUNT,
        "n_images": _COUNT,
        "sqnr_effect_db": Within(1.0),  # as the accumulated error: kernels of other processors differ
    },
    "accuracy": {"n_images": _COUNT, "top1": Within(0.01)},
    "latency": {"relative_p50": Ratio(3.0)},  # never a time: those belong to one machine
    "memory": {
        "size_bytes": Ratio(1.01),  # converters change their metadata between releases
        "peak_activation_bytes": _COUNT,
        "params": _COUNT,
        "madds": _COUNT,
    },
    "footprint": {"weight_bytes": _COUNT, "arena_head_bytes": _COUNT, "planned_head_bytes": _COUNT},
    "ethosu": {"npu_ops": _COUNT, "cpu_ops": _COUNT, "madds": _COUNT, "inference_ms": Ratio(1.02)},
    "repair": {"n_images": _COUNT, "top1": Within(0.02)},
    "activation_style": {"n_images": _COUNT, "float_top1": Within(0.01), "int8_top1": Within(0.03)},
    "claims": {"verdict": _COUNT, "ours": Ratio(1.0001)},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What a comparison with the baselines found."""

    table: pd.DataFrame  # COLUMNS, one row per number that moved
    n_compared: int  # numbers
    suspects: tuple[str, ...]  # one sentence per quantized file whose layers moved: the layer to look at


def check(results: str | Path = "results", baselines: str | Path | None = None, *, complete: bool = False) -> Checked:
    """Every recorded smoke number that left its allowance.

    Parameters
    ----------
    results : str or Path
        Folder that a run wrote.
    baselines : str or Path
        Folder of blessed CSVs, by default ``data/baselines``.
    complete : bool
        After a run of all notebooks with their own parameters: rows without a baseline, and baselines without a row,
        are reported too. A partial run is compared only where both sides have the row.

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
    folder = _folder(baselines)
    recorded, blessed = _smoke_rows(Path(results)), _blessed_rows(folder)
    moved: list[dict[str, object]] = []
    n_compared = 0
    for name, rules in RULES.items():
        frame = FRAMES[name]
        was, now = blessed.get(name, _empty(frame)), recorded.get(name, _empty(frame))
        shared = was.index.intersection(now.index, sort=False)
        n_compared += len(shared) * len(rules)
        moved += _moved(frame, rules, was.loc[shared], now.loc[shared])
        if complete:
            moved += _unpaired(frame, was, now, allowed="a row")
            moved += _unpaired(frame, now, was, allowed="no row")
    if not n_compared and not complete:
        raise UserError(f"No row of {results} has a baseline in {folder}. Run all notebooks, then effnet-lab bless.")
    table = pd.DataFrame(moved, columns=list(COLUMNS), dtype="object")
    return Checked(table=table, n_compared=n_compared, suspects=tuple(layer_summary(table)))


def bless(
    results: str | Path = "results", baselines: str | Path | None = None, *, complete: bool = False
) -> list[Path]:
    """Accept the recorded smoke numbers as baselines.

    Parameters
    ----------
    results, baselines : str or Path
        As in `check`.
    complete : bool
        Also drop baselines that were not recorded; else rows of other notebooks stay.

    Returns
    -------
    list of Path
        The files that changed: keys and compared columns only, sorted by key.
    """
    folder = _folder(baselines)
    recorded, blessed = _smoke_rows(Path(results)), _blessed_rows(folder)
    changed = []
    for name, rules in RULES.items():
        frame, path = FRAMES[name], folder / f"{name}.csv"
        rows = recorded.get(name, _empty(frame))[list(rules)]
        if not complete and name in blessed:
            old = blessed[name]
            kept = old[~old.index.isin(rows.index)]
            rows = pd.concat([part.astype("object") for part in (kept, rows) if len(part)]).infer_objects()
        if _write_baseline(rows.sort_index(kind="stable"), path):
            changed.append(path)
    return changed


def _folder(baselines: str | Path | None) -> Path:
    return data_dir() / "baselines" if baselines is None else Path(baselines)


def _smoke_rows(results: Path) -> dict[str, pd.DataFrame]:
    """Recorded rows per frame, indexed by key."""
    found = {}
    for name in RULES:
        path = frame_path(results, name)
        if path.exists():
            rows = read_csv(path, FRAMES[name].keys, ("profile",))
            found[name] = rows[rows["profile"] == PROFILE].set_index(list(FRAMES[name].keys))
    if not any(len(rows) for rows in found.values()):
        raise UserError(
            f"No {PROFILE} rows in {results / 'frames'}. Run the notebooks first: effnet-lab run --out {results}."
        )
    return found


def _blessed_rows(baselines: Path) -> dict[str, pd.DataFrame]:
    """Baseline rows per frame, indexed by key."""
    paths = {name: baselines / f"{name}.csv" for name in RULES}
    keys = {name: list(FRAMES[name].keys) for name in paths}
    return {name: read_csv(path, keys[name]).set_index(keys[name]) for name, path in paths.items() if path.exists()}


def _empty(frame: Frame) -> pd.DataFrame:
    return pd.DataFrame(columns=list(frame.columns)).set_index(list(frame.keys))


def _moved(frame: Frame, rules: dict[str, Rule], was: pd.DataFrame, now: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Cells of shared rows that a rule does not allow, row by row."""
    columns = list(rules)  # one that a file lacks is NaN there, and so has moved
    was, now = was.reindex(columns=columns), now.reindex(columns=columns)
    pairs = zip(was.index, was.itertuples(index=False), now.itertuples(index=False), strict=True)
    for key, before, after in pairs:
        for column, old, new in zip(columns, before, after, strict=True):
            if not _allows(rules[column], old, new):
                yield _finding(frame, key, column, old, new, str(rules[column]))


def _allows(rule: Rule, was: Any, now: Any) -> bool:
    """NaN equals NaN only; everything else is the rule's."""
    if pd.isna(was) or pd.isna(now):
        return bool(pd.isna(was) and pd.isna(now))
    return rule.allows(was, now)


def _unpaired(frame: Frame, have: pd.DataFrame, lack: pd.DataFrame, *, allowed: str) -> Iterator[dict[str, object]]:
    """Rows of one side without partner; all rows of a model or file at once where none has one."""
    alone = have.loc[~have.index.isin(lack.index)].index
    group = [key for key in (*MODEL_FILE, "data") if key in frame.keys]
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


def _write_baseline(rows: pd.DataFrame, path: Path) -> bool:
    """Write or remove one file; whether that changed anything."""
    before = path.read_bytes() if path.exists() else None
    if len(rows):
        write_csv(rows.reset_index(), path)
    else:
        path.unlink(missing_ok=True)
    return before != (path.read_bytes() if path.exists() else None)
