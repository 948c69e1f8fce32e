"""What moves a number over a grid: each parameter by itself, and each two of them together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.names import UserError


def grid_effects(table: pd.DataFrame, quantity: str, parameters: Sequence[str]) -> pd.DataFrame:
    """GRID_EFFECTS frame: the variance of a number over a whole grid, split among parameters and pairs of them.

    The share of a parameter is the variance of its means; that of a pair is the variance of the means of both, less their two
    shares: what they do only together. The rest is what three or more do together. Where rows of the grid are missing, the
    shares overlap, and need not add up.

    Parameters
    ----------
    table : DataFrame
        One row per point, or per file of a point.
    quantity : str
        Column with numbers; rows without one are left out.
    parameters : sequence of str
        Columns.

    Raises
    ------
    UserError
        If there are no such columns, or no two numbers that differ.

    Examples
    --------
    >>> grid = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1], "top1": [0.1, 0.2, 0.5, 0.6]})
    >>> grid_effects(grid, "top1", ["a", "b"])["variance_share"].round(2).tolist()
    [0.94, 0.06, 0.0]
    """
    if missing := [name for name in (quantity, *parameters) if name not in table]:
        raise UserError(f"The sweep has no column {missing[0]!r}. It has: {', '.join(map(str, table.columns))}.")
    rows = table.dropna(subset=quantity)
    values = rows[quantity].to_numpy(float)
    whole = float(values.var()) if len(values) else 0.0
    if not whole or not parameters:
        raise UserError(f"{quantity!r} is the same at every point, or was not measured. Choose another quantity.")
    alone = {name: _variance(rows, values, [name]) for name in parameters}
    found = [_row(rows, quantity, name, "", alone[name] / whole) for name in parameters]
    for first, second in itertools.combinations(parameters, 2):
        both = _variance(rows, values, [first, second]) - alone[first] - alone[second]
        found.append(_row(rows, quantity, first, second, max(both, 0.0) / whole))
    return frames.build(frames.GRID_EFFECTS, found)


def _variance(rows: pd.DataFrame, values: np.ndarray, names: list[str]) -> float:
    """Of the mean of the group that each row is in."""
    keys = [rows[name].astype(str) for name in names]
    return float(pd.Series(values, index=rows.index).groupby(keys).transform("mean").to_numpy().var())


def _row(rows: pd.DataFrame, quantity: str, first: str, second: str, share: float) -> dict[str, object]:
    names = [first, second] if second else [first]
    means = rows.groupby([rows[name].astype(str) for name in names])[quantity].mean()
    low, high = means.idxmin(), means.idxmax()
    return {
        "parameter": first, "with_parameter": second, "quantity": quantity, "variance_share": share,
        "lowest_mean": float(means.min()), "lowest_at": _words(low), "highest_mean": float(means.max()),
        "highest_at": _words(high), "n_files": len(rows),
    }  # fmt: skip


def _words(key: object) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
