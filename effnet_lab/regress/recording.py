"""What a notebook hands over: rows with provenance into ``frames/*.csv``, figures into ``figures/``."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from effnet_lab.frames import FRAMES, Frame, require
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import only_one, write_atomically
from effnet_lab.regress.csv_files import as_read, read_csv, write_csv
from effnet_lab.versions import version_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_JS = "plotly.min.js"
_WHO = ("notebook", "profile")  # of the provenance: what rows are chosen by
_DISTRIBUTIONS = {  # provenance column -> distribution whose version it holds
    "effnet_lab": "effnet-lab",
    "tensorflow": "tensorflow",
    "litert": "ai-edge-litert",
    "quantizer": "ai-edge-quantizer",
}


def record(table: pd.DataFrame, frame_name: str, out_dir: str | Path, *, notebook: str, profile: str) -> Path:
    """Add the rows of a table, with their provenance, to ``out_dir/frames/<frame_name>.csv``.

    A row with the key of one already there replaces it, so several notebooks may contribute to one frame, and the last
    one wins. The file is replaced in one step: a crash leaves the old one. Several processes may record at once: they take turns.

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
    with only_one(path):  # two processes that record at once: neither loses a row
        if path.exists():
            rows = _last_wins(read_csv(path, frame.keys, _WHO), as_read(rows), frame)
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
    lookup("frame", name, FRAMES)
    path = frame_path(out_dir, name)
    if not path.exists():
        raise UserError(
            f"No {name} frame in {out_dir}. Run the notebook that records it: effnet-lab run --out {out_dir}."
        )
    return read_csv(path, FRAMES[name].keys, _WHO)


def forget(out_dir: str | Path, *, notebook: str, profile: str) -> None:
    """Drop the rows that a notebook recorded under a profile, because it is about to record them again."""
    for name in FRAMES:
        path = frame_path(out_dir, name)
        if path.exists():
            with only_one(path):
                rows = read_csv(path, FRAMES[name].keys, _WHO)
                kept = rows[(rows["notebook"] != notebook) | (rows["profile"] != profile)]
                if len(kept) < len(rows):
                    write_csv(kept, path)


def frame_path(out_dir: str | Path, name: str) -> Path:
    """Where a frame's rows lie."""
    return Path(out_dir) / "frames" / f"{name}.csv"


@functools.cache
def versions() -> dict[str, str]:
    """Version per provenance column, from the installed metadata: nothing heavy is imported."""
    return {column: version_of(distribution) or "not installed" for column, distribution in _DISTRIBUTIONS.items()}


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
