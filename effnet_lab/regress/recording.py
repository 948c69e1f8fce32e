"""What a notebook hands over: rows with provenance into ``frames/*.csv``, figures into ``figures/``."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from effnet_lab.frames import FRAMES, PROVENANCE, Frame, require
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import write_atomically

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_JS = "plotly.min.js"
_DISTRIBUTIONS = {  # provenance column -> distribution whose version it holds
    "effnet_lab": "effnet-lab",
    "tensorflow": "tensorflow",
    "litert": "ai-edge-litert",
    "quantizer": "ai-edge-quantizer",
}
_TEXT = (  # columns that are never numbers, in whatever frame they stand
    "accelerator", "activation", "against", "backend", "because", "conditions", "crop", "culprit", "data", "delegate",
    "evidence", "evidence_unit", "explanation", "file", "granularity", "guard", "host", "how", "id", "interpolation",
    "kernels", "label", "layer", "mark", "memory_mode", "model", "normalisation", "notes", "npu_op", "op", "operator",
    "precision", "predicted", "quantity", "reason", "reference", "remedy", "rule", "runs_on", "scheme", "sentence",
    "severity", "source", "steps", "system_config", "taken_for", "type", "unit", "verdict", "widest_layer", "part", "at",
    "channels", "method", *PROVENANCE,
)  # fmt: skip
_INTEGER = re.compile(r"(published_)?(params|madds)|count|batch|n_\w+|\w+_bytes")
_EXACT = 2**53  # the largest float64 that still counts one by one


def record(table: pd.DataFrame, frame_name: str, out_dir: str | Path, *, notebook: str, profile: str) -> Path:
    """Add the rows of a table, with their provenance, to ``out_dir/frames/<frame_name>.csv``.

    A row with the key of one already there replaces it, so several notebooks may contribute to one frame, and the last
    one wins. The file is replaced in one step: a crash leaves the old one.

    Parameters
    ----------
    table : DataFrame
        At least the columns of the frame; others are dropped.
    frame_name : str
        One of ``frames.FRAMES``.
    out_dir : str or Path
        The notebook's parameter of that name.
    notebook : str
        File name of the notebook without its suffix.
    profile : str
        ``"smoke"`` or ``"full"``. Only smoke rows are compared with baselines.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If a column of the frame is missing or two rows of the table share a key.
    """
    frame = lookup("frame", frame_name, FRAMES)
    require(table, frame, caller="record")
    rows = table[list(frame.columns)].assign(notebook=notebook, profile=profile, **versions())
    path = frame_path(out_dir, frame_name)
    if path.exists():
        before = read_csv(path, frame)
        rows = _last_wins(before, _as_read(rows, frame), frame)
    return write_csv(rows, path)


def record_figure(figure: go.Figure, name: str, out_dir: str | Path) -> Path:
    """Write ``out_dir/figures/<name>.json`` (plotly JSON, for the report) and ``<name>.html`` beside it.

    The pages of that folder share one ``plotly.min.js`` that lies there too, so they open without a network.

    Returns
    -------
    Path
        The HTML page.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"A figure's name becomes a file name: letters, digits, '_', '-' and '.'. Got {name!r}.")
    folder = Path(out_dir) / "figures"
    _share_plotly(folder / PLOTLY_JS)
    write_atomically(folder / f"{name}.json", figure.to_json().encode())
    page = figure.to_html(include_plotlyjs="directory", div_id=name, config={"responsive": True, "displaylogo": False})
    write_atomically(folder / f"{name}.html", page.encode())
    return folder / f"{name}.html"


def read_frame(out_dir: str | Path, name: str) -> pd.DataFrame:
    """Rows recorded under a frame's name, provenance included.

    Returns
    -------
    DataFrame
        Columns of the frame, then `frames.PROVENANCE`. Text is never NaN; numbers are NaN where not measured.

    Raises
    ------
    UserError
        If the name is unknown or nothing was recorded under it.
    """
    frame = lookup("frame", name, FRAMES)
    path = frame_path(out_dir, name)
    if not path.exists():
        raise UserError(
            f"No {name} frame in {out_dir}. Run the notebook that records it: effnet-lab run --out {out_dir}."
        )
    return read_csv(path, frame)


def forget(out_dir: str | Path, *, notebook: str, profile: str) -> None:
    """Drop the rows that a notebook recorded under a profile, because it is about to record them again."""
    for name, frame in FRAMES.items():
        path = frame_path(out_dir, name)
        if path.exists():
            rows = read_csv(path, frame)
            kept = rows[(rows["notebook"] != notebook) | (rows["profile"] != profile)]
            if len(kept) < len(rows):
                write_csv(kept, path)


def frame_path(out_dir: str | Path, name: str) -> Path:
    """Where a frame's rows lie."""
    return Path(out_dir) / "frames" / f"{name}.csv"


@functools.cache
def versions() -> dict[str, str]:
    """Version per provenance column, from the installed metadata: nothing heavy is imported."""
    return {column: _version(distribution) for column, distribution in _DISTRIBUTIONS.items()}


def read_csv(path: Path, frame: Frame) -> pd.DataFrame:
    """Floats to the last bit, empty numbers as NaN, text as text."""
    text = {column: "str" for column in (*frame.columns, *PROVENANCE) if column in _TEXT}
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    present = [column for column in text if column in table.columns]
    return table.assign(**{column: table[column].fillna("") for column in present})


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Shortest digits that read back as the same float, NaN empty, counts without a decimal point; in one step."""
    whole = {
        column: table[column].astype("Int64")
        for column in table.columns
        if _INTEGER.fullmatch(column)
        and pd.api.types.is_float_dtype(table[column])
        and _is_whole(table[column].dropna())
    }
    write_atomically(path, table.assign(**whole).to_csv(index=False, lineterminator="\n").encode())
    return path


def _is_whole(values: pd.Series) -> bool:
    return bool(((values % 1 == 0) & (values.abs() < _EXACT)).all())


def _as_read(rows: pd.DataFrame, frame: Frame) -> pd.DataFrame:
    """Text columns as `read_csv` gives them, so that keys compare."""
    text = [column for column in (*frame.columns, *PROVENANCE) if column in _TEXT]
    return rows.assign(**{column: rows[column].astype("object").fillna("").astype("str") for column in text})


def _last_wins(before: pd.DataFrame, rows: pd.DataFrame, frame: Frame) -> pd.DataFrame:
    """Old rows whose key is not among the new ones, then the new ones."""
    keys = list(frame.keys)
    new = pd.MultiIndex.from_frame(rows[keys])
    kept = before[~pd.MultiIndex.from_frame(before[keys]).isin(new)]
    both = [part.astype("object") for part in (kept, rows) if len(part)]
    return pd.concat(both, ignore_index=True).infer_objects() if both else rows


def _share_plotly(path: Path) -> None:
    """One copy of plotly.js, of the plotly that writes the figures."""
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs().encode()
    if not path.exists() or path.stat().st_size != len(script):
        write_atomically(path, script)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
