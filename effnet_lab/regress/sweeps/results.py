"""The results of a sweep as one Parquet data set: one row per recorded number, with the point's parameters and provenance.

``pandas.read_parquet("my_sweep/results")`` reads it, also while the sweep runs: a part is there whole or not at all.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effnet_lab.frames import FRAMES, PROVENANCE, column
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.csv_files import read_csv
from effnet_lab.regress.recording import frame_path
from effnet_lab.regress.sweeps.ledger import SweepFolder

if TYPE_CHECKING:
    import pyarrow as pa

POINT_FRAME = "point"  # the rows that speak of the run itself
FIRST = ("point", "status")
LAST = ("frame", "row", "what", "value", "text")
_SEEN = (*PROVENANCE, "host", "ended")
_TAKEN = {*FIRST, *LAST, *_SEEN}


def column_of(parameter: str) -> str:
    """Name of a parameter's column; one that means something else there gets a prefix."""
    return f"parameter_{parameter}" if parameter in _TAKEN else parameter


def write_part(folder: SweepFolder, key: str, kinds: Mapping[str, str]) -> Path:
    """Write the rows of a point that finished or failed, in place of earlier ones.

    Parameters
    ----------
    folder : SweepFolder
    key : str
    kinds : mapping
        Parameters of the notebook and their annotations: every part has the same columns of the same types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = folder.about(key)
    rows = list(_rows(folder.point(key) if folder.is_finished(key) else None, about))
    kinds = {name: kind for name, kind in kinds.items() if name not in ("profile", "out_dir")}
    same: dict[str, Any] = {"point": key, "status": about["status"]}
    same |= {column_of(name): _cell(about["parameters"].get(name), kind) for name, kind in kinds.items()}
    same |= {name: str(about.get(name, "")) for name in _SEEN}
    table = {name: [value] * len(rows) for name, value in same.items()}
    table |= {name: [row[i] for row in rows] for i, name in enumerate(LAST)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(table, schema=_schema(kinds)), buffer, compression="zstd")
    write_atomically(folder.part(key), buffer.getvalue())
    return folder.part(key)


def read_results(folder: str | Path, frame: str = "") -> pd.DataFrame:
    """What a sweep recorded.

    Parameters
    ----------
    folder : path
        Of the sweep.
    frame : str
        One of `frames.FRAMES`: its rows with its own columns, after those of the point and its parameters. Empty: all numbers,
        one per row.

    Raises
    ------
    UserError
        If there is no sweep, or nothing of that frame.
    """
    results = SweepFolder(folder).results
    if not any(results.glob("*.parquet")):
        raise UserError(f"No results of a sweep in {folder}. Run: effnet-lab sweep NOTEBOOK --grid F --out {folder}.")
    if not frame:
        return pd.read_parquet(results)
    long = pd.read_parquet(results, filters=[("frame", "==", frame)])
    if long.empty:
        recorded = sorted(set(pd.read_parquet(results, columns=["frame"])["frame"]) - {POINT_FRAME})
        raise UserError(f"The sweep in {folder} recorded no {frame!r}. It has: {', '.join(recorded) or 'nothing'}.")
    return wide(long)


def wide(long: pd.DataFrame) -> pd.DataFrame:
    """Rows of one frame with its own columns, from one number per row."""
    order = long.columns[: long.columns.get_loc("frame")]
    same = long.drop_duplicates(["point", "row"]).set_index(["point", "row"])[[c for c in order if c != "point"]]
    parts = {}
    for what, cells in long.groupby("what", sort=False):
        kind = column(str(what)).kind
        values = cells.set_index(["point", "row"])["text" if kind == "text" else "value"]
        parts[str(what)] = values.fillna("") if kind == "text" else values
    table = pd.DataFrame(parts)
    repeated = [name for name in same.columns if name in table.columns]  # a parameter that the rows repeat
    return same.drop(columns=repeated).join(table).reset_index().drop(columns="row")


def check_frames(home: Path) -> None:
    """Read what a run recorded, before the run counts as finished.

    Raises
    ------
    UserError
        If a table cannot be read.
    """
    for name, frame in FRAMES.items():
        path = frame_path(home, name)
        if path.exists():
            read_csv(path, frame.keys)


def _rows(home: Path | None, about: Mapping[str, Any]) -> Iterator[tuple[str, int, str, float | None, str | None]]:
    yield POINT_FRAME, 0, "seconds", float(about.get("seconds", np.nan)), None
    failure = about.get("failure")
    if failure:
        yield POINT_FRAME, 0, "failure", None, str(failure["kind"])
        yield POINT_FRAME, 0, "message", None, str(failure["message"])
    for name, frame in FRAMES.items():
        path = frame_path(home, name) if home else None
        if path is not None and path.exists():
            table = read_csv(path, frame.keys)
            columns = [known for known in frame.columns if known in table]
            for i, row in enumerate(table[columns].itertuples(index=False)):
                for what, value in zip(columns, row, strict=True):
                    if column(what).kind == "text":
                        yield name, i, what, None, str(value)
                    elif not pd.isna(value):
                        yield name, i, what, float(value), None


def _cell(value: Any, kind: str) -> Any:
    """A parameter's value as its column holds it: lists as JSON."""
    plain = kind.removesuffix("| None").strip()
    return value if plain in ("int", "float", "bool", "str") or value is None else json.dumps(value, ensure_ascii=False)


def _schema(kinds: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    given = {
        column_of(name): types.get(kind.removesuffix("| None").strip(), pa.string()) for name, kind in kinds.items()
    }
    texts = dict.fromkeys((*FIRST, *given, *_SEEN, *LAST), pa.string()) | given
    return pa.schema(list((texts | {"row": pa.int64(), "value": pa.float64()}).items()))
