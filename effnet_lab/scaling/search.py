"""Every specification that fits a budget, the most evenly scaled first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.names import UserError, lookup
from effnet_lab.scaling.budget import Budget
from effnet_lab.scaling.compound import PAPER, Compound
from effnet_lab.scaling.counts import totals
from effnet_lab.scaling.law import features_of, law_of
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.scaling.variants import get_spec


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The candidates: every combination of the three. The default has over 200,000 networks that differ."""

    widths: tuple[float, ...] = tuple(i / 100 for i in range(5, 201))
    depths: tuple[float, ...] = tuple(i / 20 for i in range(2, 61))
    resolutions: tuple[int, ...] = tuple(range(32, 513, 4))


GRID = Grid()
_NONE = np.empty((0, len(frames.CANDIDATES.columns)))
EVENNESS, ACCURACY = ORDERS = ("evenness", "accuracy")


def search(
    *,
    max_params: float | None = None,
    max_madds: float | None = None,
    max_arena: float | None = None,
    max_flash: float | None = None,
    base: NetSpec | str = "lite0",
    scale_ends: bool = True,
    grid: Grid = GRID,
    compound: Compound = PAPER,
    classes: int = 1000,
    by: str = "evenness",
    task: str = "scenes",
) -> pd.DataFrame:
    """Every network of the grid that fits the limits: CANDIDATES frame, the most evenly scaled first.

    By evenness they are ordered by `phi`, the compound coefficient that width, depth and resolution have *all* reached,
    counted from `base`: without training anything, the most that theory says is to spend a budget on the three together.
    More MAdds, then fewer parameters, break ties. Multipliers that round to the same network are one candidate: the
    largest pair. By accuracy it is the EXPECTED_CANDIDATES frame, ordered by the top-1 that the law of a study expects on
    its task, those inside of what was measured first: what lies outside is a guess.

    Parameters
    ----------
    max_params, max_madds : float, optional
        Trainable parameters; multiply-adds per image.
    max_arena, max_flash : float, optional
        Bytes of peak int8 activations; bytes of int8 weights and int32 biases.
    base : NetSpec or str
        What is scaled; a specification or its name.
    scale_ends : bool
        Whether stem, head and the end stages scale too, as they must below lite0.
    classes : int
        Outputs of the classifier.
    by : str
        "evenness" or "accuracy".
    task : str
        Images of the study that the law is fitted to, see `law_of`; by accuracy only.

    Raises
    ------
    UserError
        If a limit is not positive, or nothing fits.

    Examples
    --------
    >>> search(max_params=1e5, classes=10, grid=Grid(widths=(0.1, 0.2), depths=(0.5,), resolutions=(64,)))["width"].tolist()
    [0.2, 0.1]
    """
    lookup("order", by, dict.fromkeys(ORDERS))
    budget = Budget(params=max_params, madds=max_madds, peak_activation_bytes=max_arena, flash_bytes=max_flash)
    start = replace(get_spec(base) if isinstance(base, str) else base, fixed_ends=not scale_ends)
    sides = np.array(sorted(grid.resolutions), dtype=np.int64)
    within = _within(start, grid, budget, classes, int(sides[0]))
    found = [_rows(spec, start, sides, budget, compound, classes) for spec in within]
    table = pd.DataFrame(np.concatenate([_NONE, *found]), columns=list(frames.CANDIDATES.columns))
    if table.empty:
        raise UserError("No network of the grid fits the budget. Raise a limit, or count with fewer classes.")
    whole = [name for name in table if frames.column(str(name)).kind == "count"]
    table = table.astype(dict.fromkeys(whole, "int64"))
    table = table.sort_values(["phi", "madds", "params"], ascending=[False, False, True], ignore_index=True)
    if by == EVENNESS:
        return frames.require(table, frames.CANDIDATES, caller="search")
    table = pd.concat([table, law_of(task).expect(_features(table, start))], axis=1)
    table = table.sort_values(["inside", "expected_top1"], ascending=False, kind="stable", ignore_index=True)
    return frames.require(table, frames.EXPECTED_CANDIDATES, caller="search")


def _features(table: pd.DataFrame, start: NetSpec) -> np.ndarray:
    """`features_of` every row: width decides the first, depth the second, the side the third."""
    widths = {w: features_of(replace(start, width=w))[0] for w in table["width"].unique()}
    depths = {d: features_of(replace(start, depth=d))[1] for d in table["depth"].unique()}
    parts = (table["width"].map(widths), table["depth"].map(depths), np.log2(table["resolution_px"]))
    return np.stack([np.asarray(part, float) for part in parts], axis=1)


def _within(start: NetSpec, grid: Grid, budget: Budget, classes: int, side: int) -> list[NetSpec]:
    """Networks of the grid that meet the budget at their smallest size, the largest first.

    Nobody counts a network with no fewer channels and repeats than one whose weights or MAdds are too many.
    """
    growing, too_large = replace(budget, peak_activation_bytes=None), np.empty((0, 2 * len(start.stages) + 2))
    found = []
    for width, depth in _distinct(start, grid):
        spec = replace(start, width=width, depth=depth)
        size = np.array([*scaled_channels(spec), *scaled_repeats(spec)])
        if (too_large <= size).all(axis=1).any():
            continue
        cost = totals(spec, classes, side)
        if budget.allows(cost):
            found.append(spec)
        elif not growing.allows(cost):
            too_large = np.vstack([too_large, size])
    return found[::-1]


def _rows(
    spec: NetSpec, base: NetSpec, sides: np.ndarray, budget: Budget, compound: Compound, classes: int
) -> np.ndarray:
    """Rows (n, columns of CANDIDATES) of one network at the sizes where it meets the budget."""
    cost = totals(spec, classes, sides)
    phi = compound.phi(spec.width, spec.depth, sides, base)
    columns = (
        spec.width,
        spec.depth,
        sides,
        phi,
        cost.params,
        cost.madds,
        cost.peak_activation_bytes,
        cost.flash_bytes,
    )
    return np.stack(np.broadcast_arrays(*columns), axis=1)[budget.allows(cost)].astype(float)


def _distinct(base: NetSpec, grid: Grid) -> list[tuple[float, float]]:
    """(width, depth) pairs, smallest first: of those that round to the same network the largest."""
    widths = {scaled_channels(replace(base, width=width)): width for width in sorted(grid.widths)}
    depths = {scaled_repeats(replace(base, depth=depth)): depth for depth in sorted(grid.depths)}
    return list(itertools.product(widths.values(), depths.values()))
