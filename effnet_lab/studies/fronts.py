"""Which files are worth having: a front that chance does not make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.compare import SIGNIFICANT
from effnet_lab.names import lookup

BETTER = {  # which way is better, for every axis that a trade-off can have
    name: better for name in frames.TRADEOFFS.columns if (better := frames.column(name).better)
}
NEAR = 0.02  # two costs that differ by less are near each other, however exactly they are known
ACCURACY = "top1"


def standing(table: pd.DataFrame, x: str, y: str, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Which rows are on the front, and which are near ties of one that is.

    A file beats another when it is certainly better on one axis and not certainly worse on the other: so one that is slower
    and not distinguishably better is off. Of two that are told apart on neither axis the cheaper one stays. Only a file that
    is on the front itself puts others off, and no two files on it beat each other: along it, both numbers rise.

    Parameters
    ----------
    table : DataFrame
        With columns `x` and `y`, each a name of `BETTER`, and the ends of their intervals where there are some. A row with
        NaN on either axis is neither on the front nor a near tie.
    pairs : DataFrame, optional
        COMPARISON frame of the files that saw the same images: their accuracies are told apart by the paired test. Those
        of other files are told apart where their intervals do not overlap.

    Returns
    -------
    DataFrame
        Index of the table; bool columns ``on_front`` and ``near_tie``. A near tie is off the front, but its accuracy is not
        told apart from that of a file on it, and its other number is not either, or differs by less than 2 %.
    """
    for axis in (x, y):
        lookup("axis", axis, BETTER)
    known = table[[x, y]].notna().all(axis=1).to_numpy()
    sides = [_told_apart(table, axis, pairs) for axis in (x, y)]
    front = np.zeros(len(table), bool)
    left = known.copy()
    beats = _beats(table, x, y, sides)
    while left.any():
        best = left & ~(beats & left[:, None]).any(axis=0)
        if not best.any():  # three that beat each other in a ring: the cheapest of them
            order = _order(table, x, y)
            best[order[left[order]][0]] = True
        front |= best
        left &= ~best & ~beats[best].any(axis=0) & ~beats[:, best].any(axis=1)
    near = [(side == 0) | _close(table, axis) for side, axis in zip(sides, (x, y), strict=True)]
    ties = known & ~front & (near[0] & near[1])[front].any(axis=0)
    return pd.DataFrame({"on_front": front, "near_tie": ties}, index=table.index)


def not_told_apart(table: pd.DataFrame, pairs: pd.DataFrame | None = None) -> pd.Series:
    """Which rows the images cannot tell from the first by their accuracy; a bool Series."""
    return pd.Series(_told_apart(table, ACCURACY, pairs)[0] == 0, index=table.index)


def _beats(table: pd.DataFrame, x: str, y: str, sides: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Bool (n, n): whether the file of the row beats that of the column."""
    first, second = sides
    place = np.empty(len(table), int)
    place[_order(table, x, y)] = np.arange(len(table))
    equal = np.logical_and.reduce([table[axis].to_numpy()[:, None] == table[axis].to_numpy() for axis in (x, y)])
    neither = (first == 0) & (second == 0) & ~equal & (place[:, None] < place)
    return np.asarray((first <= 0) & (second <= 0) & ((first < 0) | (second < 0)) | neither)


def _order(table: pd.DataFrame, x: str, y: str) -> NDArray[np.int_]:
    """The rows from the cheapest on; of equally cheap ones the best first."""
    cost, other = (y, x) if x == ACCURACY else (x, y)
    return np.lexsort([_costs(table, other), _costs(table, cost)])


def _told_apart(table: pd.DataFrame, axis: str, pairs: pd.DataFrame | None) -> NDArray[np.int_]:
    """Int (n, n): -1 where the row is certainly better than the column, 1 where it is certainly worse, else 0."""
    best, worst = _ends(table, axis)
    told = np.where(worst[:, None] < best, -1, np.where(best[:, None] > worst, 1, 0))
    if axis != ACCURACY or pairs is None:
        return told
    places = {" ".join(filter(None, key)): i for i, key in enumerate(table[list(frames.MODEL_FILE)].to_numpy())}
    columns = [*frames.MODEL_FILE, "against", "difference", "p_value"]
    for *key, against, difference, p_value in pairs[columns].itertuples(index=False):
        i, j = places.get(" ".join(filter(None, key))), places.get(against)
        if i is not None and j is not None:
            side = int(np.sign(-difference)) if p_value < SIGNIFICANT else 0
            told[i, j], told[j, i] = side, -side
    return told


def _costs(table: pd.DataFrame, axis: str) -> NDArray[np.float64]:
    sign = -1 if BETTER[axis] == "high" else 1
    return np.asarray(sign * table[axis].to_numpy(float))


def _close(table: pd.DataFrame, axis: str) -> NDArray[np.bool_]:
    """Bool (n, n): two costs that differ by little; two accuracies are never close by their numbers alone."""
    values = table[axis].to_numpy(float)
    if axis == ACCURACY:
        return np.zeros((len(values),) * 2, bool)
    return np.asarray(np.abs(values[:, None] - values) <= NEAR * np.minimum(np.abs(values[:, None]), np.abs(values)))


def _ends(table: pd.DataFrame, axis: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Best and worst case of every row as a cost; the number itself where it has no interval."""
    value = _costs(table, axis)
    ends = [name for name in frames.column(axis).ends if name in table]
    if len(ends) < 2:
        return value, value
    sign = -1 if BETTER[axis] == "high" else 1
    costs = sign * table[ends].to_numpy(float)
    costs = np.where(np.isnan(costs), value[:, None], costs)
    return costs.min(axis=1), costs.max(axis=1)
