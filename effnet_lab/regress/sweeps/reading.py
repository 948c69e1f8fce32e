"""A sweep read back: one row per file of every point, the errors of the layers, and which parameters the grid moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab.frames import MODEL_FILE, PROVENANCE
from effnet_lab.names import UserError
from effnet_lab.paths import data_dir
from effnet_lab.regress.sweeps.ledger import RESULTS
from effnet_lab.regress.sweeps.results import FIRST, POINT_FRAME, read_results, wide

SHIPPED = "sweep_digits"  # in data/studies: width, depth and resolution, in four precisions
_TAKEN = {
    "accuracy": ("data", "n_images", "top1", "top1_lo", "top1_hi"),
    "memory": ("params", "madds", "size_bytes", "peak_activation_bytes"),
    "latency": ("threads", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50"),
}
LAYERS = "layer_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepTables:
    """What a sweep says."""

    table: pd.DataFrame  # one row per file of every finished point: parameters, accuracy, size, latency, worst layer
    points: pd.DataFrame  # one row per point: parameters, status, kind and message of a failure, seconds
    errors: pd.DataFrame  # LAYER_ERROR rows with the parameters of their point
    parameters: tuple[str, ...]  # that differ between points
    axes: tuple[str, ...]  # these, and what tells the files of one point apart


def read_sweep(place: str | Path = "") -> SweepTables:
    """Read a sweep for people and figures; the numbers themselves are what ``pandas.read_parquet`` gives.

    Parameters
    ----------
    place : path
        Folder of a sweep, its ``results``, or one Parquet file of the same rows; empty: the sweep that comes with the
        workbench, see ``data/studies/README.md``.

    Raises
    ------
    UserError
        If there is no sweep.
    """
    path = Path(place) if str(place) else data_dir() / "studies" / f"{SHIPPED}.parquet"
    if path.is_file():
        try:
            long = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            said = str(error).splitlines()[0][:80]
            raise UserError(f"Cannot read {path} as Parquet: {said}. Give the folder of a sweep.") from None
    else:
        long = read_results(path.parent if path.name == RESULTS else path)
    if missing := {*FIRST, "frame", "row", "what", "value", "text"} - set(long.columns):
        raise UserError(f"{path} is no sweep: it has no column {min(missing)!r}. Give the folder of a sweep.")
    return _tables(long)


def _tables(long: pd.DataFrame) -> SweepTables:
    given = [str(name) for name in long.columns[len(FIRST) : long.columns.get_loc(PROVENANCE[0])]]
    points = long.drop_duplicates("point")[[*FIRST, *given]].reset_index(drop=True)
    parameters = tuple(name for name in given if len(set(points[name].astype(str))) > 1)
    points = points[[*FIRST, *parameters]].sort_values(list(parameters) or ["point"], kind="stable")
    about = long[long["frame"] == POINT_FRAME]
    for what, kind in (("seconds", "value"), ("failure", "text"), ("message", "text")):
        points[what] = points["point"].map(about[about["what"] == what].set_index("point")[kind])
    recorded = {str(name): rows for name, rows in long.groupby("frame") if name != POINT_FRAME}
    table = points[["point", *parameters]]
    files = _files(recorded)
    if len(files):
        table = table.merge(files.drop(columns=[name for name in files if name in parameters]), on="point")
    several = [
        name for name in MODEL_FILE[1:] if name in table and _tells_apart(table, name, [*parameters, *MODEL_FILE[1:]])
    ]
    errors = pd.DataFrame()
    if LAYERS in recorded:
        layers = wide(recorded[LAYERS])
        errors = (
            table[["point", *parameters]].drop_duplicates().merge(layers.drop(columns=list(parameters)), on="point")
        )
    return SweepTables(
        table=table.reset_index(drop=True), points=points.reset_index(drop=True), errors=errors, parameters=parameters,
        axes=(*parameters, *several),
    )  # fmt: skip


def _tells_apart(table: pd.DataFrame, name: str, names: list[str]) -> bool:
    """Whether a column says more than those before it: each scheme may have one back end only."""
    before = [known for known in names[: names.index(name)] if known in table]
    if not before:
        return len(set(table[name])) > 1
    pairs = table[[*before, name]].astype(str).drop_duplicates()
    return len(pairs) > len(pairs.drop_duplicates(before))


def _files(recorded: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per file of a point."""
    keys = ["point", *MODEL_FILE]
    parts = []
    for name, columns in _TAKEN.items():
        if name in recorded:
            rows = wide(recorded[name])
            parts.append(rows[[*keys, *(known for known in columns if known in rows)]].drop_duplicates(keys))
    if LAYERS in recorded:
        rows = wide(recorded[LAYERS]).dropna(subset="sqnr_accumulated_db").sort_values("sqnr_accumulated_db")
        worst = rows.drop_duplicates(keys).rename(
            columns={"layer": "worst_layer", "sqnr_accumulated_db": "worst_sqnr_db"}
        )
        parts.append(worst[[*keys, "worst_layer", "worst_sqnr_db"]])
    table = parts[0] if parts else pd.DataFrame()
    for part in parts[1:]:
        table = table.merge(part, on=keys, how="outer", sort=False)
    return table
