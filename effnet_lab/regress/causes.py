"""From a number that moved, over the layer, to the cause: weights, input, ranges, kernels, rounding or labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab.frames import MODEL_FILE
from effnet_lab.regress.environment import CALIBRATION
from effnet_lab.regress.suspects import SEPARATOR

LAYERS = "layer_error"
FILES = "files"  # rows of what the files say of themselves
MOVED = 1e-5  # share from which on a value of a layer counts as another
Rows = Mapping[str, pd.DataFrame]


def causes(was: Rows, now: Rows, moved: pd.DataFrame) -> list[str]:
    """One sentence per file of which a number moved, naming the cause and the layer where it is seen.

    Parameters
    ----------
    was, now : mapping of frame name to DataFrame
        Indexed by key; also columns that no rule compares.
    moved : DataFrame
        The table of `baselines.check`.
    """
    files: dict[tuple[str, ...], set[str]] = {}
    told = [_of_file(row) for row in moved[moved["frame"] == FILES].to_dict("records")]
    moved = moved[moved["frame"] != FILES]
    for frame, key in zip(moved["frame"], moved["key"], strict=True):
        size = _n_file(was, now, frame)
        if size:
            files.setdefault(tuple(str(key).split(SEPARATOR)[:size]), set()).add(str(frame))
    return told + [
        f"{' '.join(filter(None, file))}: {_cause(file, frames, was, now)}" for file, frames in files.items()
    ]


def _of_file(row: Mapping[Any, Any]) -> str:
    cause = "ranges: it was calibrated" if row["what"] == CALIBRATION else "input: it was made to be fed"
    return f"{row['key']}: {cause} otherwise: was {row['was']}, is {row['is']}"


def _n_file(was: Rows, now: Rows, frame: str) -> int:
    """How many parts of a key name the file; 0 where rows belong to no file."""
    table = now[frame] if frame in now else was[frame]
    names = list(table.index.names)
    if not set(MODEL_FILE) <= set(names):
        return 0
    return names.index(MODEL_FILE[-1]) + 1


def _cause(file: tuple[str, ...], frames: set[str], was: Rows, now: Rows) -> str:
    before, after = _layers(was, file), _layers(now, file)
    if before is None or after is None:
        return _without_layers(frames)
    if list(before.index) != list(after.index):
        return f"another network: {len(before)} layers were, {len(after)} are"
    for look in _LOOKS:
        if found := look(before, after):
            return found
    if "latency" in frames and not frames & {"accuracy", LAYERS}:
        return "speed: what it computes is the same"
    if "accuracy" in frames:
        return "labels, or what is counted: every layer computes what it did"
    return "none of its layers moved"


def _without_layers(frames: set[str]) -> str:
    if frames == {"latency"}:
        return "speed: nothing else of it moved"
    return "the cause is not known without the errors of its layers (notebook 02 records them)"


def _layers(rows: Rows, file: tuple[str, ...]) -> pd.DataFrame | None:
    table = rows.get(LAYERS)
    if table is None or table.empty:
        return None
    names = list(table.index.names)[: len(file)]
    flat = table.reset_index()
    mine = flat[np.logical_and.reduce([flat[name].astype(str) == part for name, part in zip(names, file, strict=True)])]
    return mine.set_index(["layer_index", "layer"]).sort_index() if len(mine) else None


def _weights(before: pd.DataFrame, after: pd.DataFrame) -> str:
    names = ["weight_sqnr_db", "weight_worst_channel_sqnr_db", "granularity"]
    return _told(
        before, after, names, "weights: the values that are stored, or the scales they are rounded by", most=True
    )


def _input(before: pd.DataFrame, after: pd.DataFrame) -> str:
    return _told(before, after, ["data", "n_images"], "input: other images") or _told(
        before,
        after,
        ["float_min", "float_max"],
        "input: the float network sees other values (preprocessing or images)",
    )


def _ranges(before: pd.DataFrame, after: pd.DataFrame) -> str:
    words = "ranges: the float network is the same, its calibration is not (images, their number or order, method)"
    return _told(before, after, ["scale", "zero_point"], words)


def _kernels(before: pd.DataFrame, after: pd.DataFrame) -> str:
    return _told(before, after, ["kernels"], "kernel path: other kernels ran the file")


def _rounding(before: pd.DataFrame, after: pd.DataFrame) -> str:
    words = "rounding: weights, ranges and input are the same, the integer arithmetic is not"
    return _told(before, after, ["sqnr_accumulated_db", "mse"], words)


_LOOKS: tuple[Callable[[pd.DataFrame, pd.DataFrame], str], ...] = (_weights, _input, _ranges, _kernels, _rounding)


def _told(before: pd.DataFrame, after: pd.DataFrame, names: list[str], words: str, *, most: bool = False) -> str:
    """The first layer of which one of the values differs, or the one where it differs most; empty if none does."""
    found = []
    for name in names:
        if name in before and name in after:
            changes = [_change(*pair) for pair in zip(before[name], after[name], strict=True)]
            found += [(change, place, name) for place, change in enumerate(changes) if change > MOVED]
    if not found:
        return ""
    _, place, name = max(found, key=lambda item: item[0]) if most else min(found, key=lambda item: item[1])
    index, layer = before.index[place]
    old, new = _text(before[name].iloc[place]), _text(after[name].iloc[place])
    return f"{words}; layer {index} {layer!r}: {name} was {old}, is {new}"


def _change(was: Any, now: Any) -> float:
    """Share by which a value changed; text and what was not measured before or is not now count as wholly another."""
    if isinstance(was, str) or isinstance(now, str):
        return 0.0 if was == now else 1.0
    if pd.isna(was) or pd.isna(now) or np.isinf(was) or np.isinf(now):
        return 0.0 if was == now or (pd.isna(was) and pd.isna(now)) else 1.0
    size = max(abs(was), abs(now))
    return float(abs(now - was) / size) if size else 0.0


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
