"""Every specification that fits a budget, the most evenly scaled first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.scaling.compound import Compound
from effnet_lab.scaling.counts import totals
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Upper limits; None means no limit."""

    params: float | None = None
    madds: float | None = None
    peak_activation_bytes: float | None = None  # int8; what a microcontroller's arena must at least hold
    flash_bytes: float | None = None  # int8 weights and int32 biases

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise UserError(f"The budget on {name} must be > 0. Got {limit:g}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The candidates: every combination of the three. The default has over 200,000 networks that differ."""

    widths: tuple[float, ...] = tuple(i / 100 for i in range(5, 201))
    depths: tuple[float, ...] = tuple(i / 20 for i in range(2, 61))
    resolutions: tuple[int, ...] = tuple(range(32, 513, 4))


GRID, PAPER = Grid(), Compound()


def search(
    budget: Budget, base: NetSpec, *, grid: Grid = GRID, compound: Compound = PAPER, classes: int = 1000
) -> pd.DataFrame:
    """CANDIDATES frame of all networks within the budget.

    They are ordered by `phi`, the compound coefficient that width, depth and resolution have *all* reached, counted from
    `base`: without training anything, the most that theory says is to spend a budget on the three together. MAdds, then
    fewer parameters, break ties. Multipliers that round to the same network are one candidate: the largest pair.
    """
    sides = np.array(sorted(grid.resolutions), dtype=np.int64)
    found = [
        _fitting(replace(base, width=w, depth=d), base, sides, budget, compound, classes)
        for w, d in _distinct(base, grid)
    ]
    table = pd.DataFrame(np.concatenate(found), columns=list(frames.CANDIDATES.columns))
    whole = [column for column in table if column not in ("width", "depth", "phi")]
    table = table.astype(dict.fromkeys(whole, "int64"))
    table = table.sort_values(["phi", "madds", "params"], ascending=[False, False, True], ignore_index=True)
    return frames.require(table, frames.CANDIDATES, caller="search")


def _fitting(
    spec: NetSpec, base: NetSpec, sides: np.ndarray, budget: Budget, compound: Compound, classes: int
) -> np.ndarray:
    """Rows (n, columns of CANDIDATES) of one network at the sizes where it meets the budget."""
    cost = totals(spec, classes, sides)
    fits = np.ones(sides.shape, bool)
    for name in budget.__slots__:
        if (limit := getattr(budget, name)) is not None:
            fits &= getattr(cost, name) <= limit
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
    return np.stack(np.broadcast_arrays(*columns), axis=1)[fits].astype(float)


def _distinct(base: NetSpec, grid: Grid) -> list[tuple[float, float]]:
    """(width, depth) pairs, one per network that differs after rounding."""
    seen = {}
    for width in sorted(grid.widths, reverse=True):
        for depth in sorted(grid.depths, reverse=True):
            spec = replace(base, width=width, depth=depth)
            seen.setdefault((scaled_channels(spec), scaled_repeats(spec)), (width, depth))
    return list(seen.values())
