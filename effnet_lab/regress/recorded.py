"""What a run or a sweep recorded, ready to be compared: rows per frame, indexed by what tells them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from effnet_lab.frames import FRAMES, Frame
from effnet_lab.names import UserError
from effnet_lab.regress.csv_files import read_csv
from effnet_lab.regress.recording import frame_path
from effnet_lab.regress.sweeps.ledger import is_sweep
from effnet_lab.regress.sweeps.reading import read_sweep
from effnet_lab.regress.sweeps.results import POINT_FRAME, read_results, wide

POINT = "point"  # first key of a sweep's rows: the parameters that differ between its points, in words


def frame_of(name: str, folder: str | Path) -> Frame:
    """The frame; in a sweep its rows belong to points."""
    frame = FRAMES[name]
    return replace(frame, keys=(POINT, *frame.keys)) if is_sweep(folder) else frame


def recorded_rows(results: str | Path, names: Iterable[str], *, profile: str = "") -> dict[str, pd.DataFrame]:
    """Rows per frame, indexed by the keys of `frame_of`.

    Parameters
    ----------
    results : path
        Folder of a run or a sweep.
    names : iterable of str
        Frames.
    profile : str
        Rows of this profile only; empty: all.

    Raises
    ------
    UserError
        If nothing was recorded there.
    """
    place = Path(results)
    found = _of_sweep(place, names) if is_sweep(place) else _of_run(place, names)
    if profile:
        found = {name: rows[rows["profile"] == profile] for name, rows in found.items()}
    if not any(len(rows) for rows in found.values()):
        which = f"{profile} rows" if profile else "rows"
        raise UserError(f"No {which} in {place / 'frames'}. Run the notebooks first: effnet-lab run --out {place}.")
    return {name: rows.set_index(list(frame_of(name, place).keys)) for name, rows in found.items()}


def _of_run(place: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    paths = {name: frame_path(place, name) for name in names}
    return {name: read_csv(path, FRAMES[name].keys, ("profile",)) for name, path in paths.items() if path.exists()}


def _of_sweep(place: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    long = read_results(place)
    tables = read_sweep(place)
    words = {
        row["point"]: ", ".join(f"{name} {row[name]}" for name in tables.parameters)
        for row in tables.points.to_dict("records")
    }
    found = {}
    for name in (set(long["frame"]) - {POINT_FRAME}) & set(names):
        rows = wide(long[long["frame"] == name])
        columns = [POINT, *FRAMES[name].columns, "profile"]
        found[name] = rows.assign(**{POINT: rows["point"].map(words)}).reindex(columns=columns)
    return found
