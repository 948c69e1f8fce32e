"""One row per model file: what it weighs, how right it is, how long it takes, where it hurts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab.frames import FRAMES, MODEL_FILE
from effnet_lab.regress.recording import frame_path, read_frame

_TAKEN = {  # frame -> columns that the summary takes from it
    "memory": ("params", "size_bytes"),
    "accuracy": ("data", "n_images", "top1", "top1_lo", "top1_hi"),
    "latency": ("threads", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50", "reference"),
}
_COUNTS = ("params", "size_bytes", "n_images", "threads")
COLUMNS = (*MODEL_FILE, *(column for columns in _TAKEN.values() for column in columns), "worst_layer", "worst_sqnr_db")


def summary(out: str | Path) -> pd.DataFrame:
    """What a results folder says about every model file.

    Parameters
    ----------
    out : str or Path
        Results folder of a run.

    Returns
    -------
    DataFrame
        One row per model, scheme and back end (and data set, thread count or reference of the latency, where several were
        measured), columns `COLUMNS`; NaN where not measured, no rows if nothing was. `worst_layer` is the one with the
        lowest accumulated SQNR, `worst_sqnr_db`.
    """
    parts = [_frame(out, name)[[*MODEL_FILE, *columns]] for name, columns in _TAKEN.items()]
    parts.append(_worst_layers(_frame(out, "layer_error")))
    table = parts[0]
    for part in parts[1:]:
        table = table.merge(part, on=list(MODEL_FILE), how="outer", sort=False)
    table = table.astype(dict.fromkeys(_COUNTS, "Int64"))
    size = table.groupby("model")["params"].transform("max")  # a file without a memory row stays beside its model
    order = table.assign(size=size).sort_values(["size", *MODEL_FILE], kind="stable").index
    return table.loc[order, list(COLUMNS)].reset_index(drop=True)


def _frame(out: str | Path, name: str) -> pd.DataFrame:
    """A recorded frame, or an empty one."""
    if frame_path(out, name).exists():
        return read_frame(out, name)
    columns = {column: pd.Series(dtype="str" if column in MODEL_FILE else "float64") for column in FRAMES[name].columns}
    return pd.DataFrame(columns)


def _worst_layers(errors: pd.DataFrame) -> pd.DataFrame:
    """The layer with the lowest accumulated SQNR of each file."""
    worst = errors.dropna(subset="sqnr_accumulated_db").sort_values("sqnr_accumulated_db", kind="stable")
    worst = worst.drop_duplicates(list(MODEL_FILE)).rename(
        columns={"layer": "worst_layer", "sqnr_accumulated_db": "worst_sqnr_db"}
    )
    return worst[[*MODEL_FILE, "worst_layer", "worst_sqnr_db"]]
