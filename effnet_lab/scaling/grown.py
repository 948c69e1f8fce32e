"""One base grown in one dimension, or in all three, to the same MAdds."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from effnet_lab.names import UserError
from effnet_lab.scaling.compound import DIMENSIONS, PAPER, Compound
from effnet_lab.scaling.counts import totals
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec

DIRECTIONS = (*DIMENSIONS, "compound")
GRID_LEVELS = (2.0, 4.0)  # MAdds, in those of the base: phi = 1 and 2 where alpha * beta**2 * gamma**2 = 2
_TRIED = 400  # multipliers per direction
_ALPHAS, _BETAS = (1.0, 1.2, 1.5, 2.0), (1.0, 1.1, 1.2, 2**0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class GrownNetwork:
    """A network and how it came from its base."""

    spec: NetSpec
    direction: str  # "base", one of DIRECTIONS, or "grid"
    level: float  # MAdds that were asked for, in those of the base
    compound: Compound | None = None  # the coefficients, where all three dimensions grow by them
    phi: float = float("nan")


def matched_networks(base: NetSpec, levels: int, classes: int, compound: Compound = PAPER) -> list[GrownNetwork]:
    """The base, then each direction at 2, 4, 8, ... times its MAdds.

    Channels round to multiples of 8 and repeats round up, so a level is met by the nearest of all multipliers, and what is
    left over is seen in the `totals` of each network. The resolution goes by two pixels, since steps of 8 would be too
    coarse at 32 px.

    Parameters
    ----------
    base : NetSpec
    levels : int
        1 is the base alone, 4 goes to eight times its MAdds.
    classes : int
        Outputs of the classifier, which counts too.
    compound : Compound
        What grows all three dimensions; phi is what gives the MAdds.

    Examples
    --------
    >>> from effnet_lab.scaling import get_spec
    >>> [grown.spec.name for grown in matched_networks(get_spec("micro0"), 2, 10)]
    ['micro0', 'micro0_width_x2', 'micro0_depth_x2', 'micro0_resolution_x2', 'micro0_compound_x2']
    """
    if levels < 1:
        raise UserError(f"A study of scaling needs at least 1 level. Got {levels}.")
    found = [GrownNetwork(spec=base, direction="base", level=1.0)]
    for level in (2.0**k for k in range(1, levels)):
        for direction, candidates in _ALONE.items():
            spec = _nearest(candidates(base, level), level, base, classes)
            named = replace(spec, name=f"{base.name}_{direction}_x{level:g}")
            found.append(GrownNetwork(spec=named, direction=direction, level=level))
        found.append(compound_at(base, compound, level, classes, direction="compound"))
    return found


def grid_networks(base: NetSpec, classes: int, levels: Sequence[float] = GRID_LEVELS) -> list[GrownNetwork]:
    """The base grown by each triple of a small grid under ``alpha * beta**2 * gamma**2 = 2``; alpha 1.2, beta 1.1 is the paper's.

    For each triple phi is what really gives the MAdds: at these sizes rounding may leave half of them, or add as much, and
    triples at unequal cost say nothing about each other. Source of the grid: Tan and Le, ICML 2019, section 3.3.
    """
    triples = [
        Compound(alpha=alpha, beta=beta, gamma=float(np.sqrt(max(1.0, 2 / (alpha * beta**2)))))
        for alpha in _ALPHAS
        for beta in _BETAS
        if alpha * beta**2 <= 2 + 1e-9
    ]
    return [compound_at(base, triple, level, classes, direction="grid") for triple in triples for level in levels]


def compound_at(base: NetSpec, compound: Compound, level: float, classes: int, *, direction: str) -> GrownNetwork:
    """The base grown by the phi whose MAdds come nearest to `level` times its own."""
    phis = np.linspace(0.0, 4 * np.log2(level) + 2, _TRIED)
    tried = {_compound_spec(base, compound, float(phi)): float(phi) for phi in phis}
    spec = _nearest(tried, level, base, classes)
    triple = f"_a{compound.alpha:.3g}_b{compound.beta:.3g}" if direction == "grid" else f"_{direction}"
    named = replace(spec, name=f"{base.name}{triple}_x{level:g}")
    return GrownNetwork(spec=named, direction=direction, level=level, compound=compound, phi=tried[spec])


def _compound_spec(base: NetSpec, compound: Compound, phi: float) -> NetSpec:
    """As `Compound.spec`, with the resolution to the nearest even pixel."""
    side = max(32, 2 * round(base.resolution * compound.gamma**phi / 2))
    return replace(compound.spec(base, phi, base.name), resolution=side)


def _wider(base: NetSpec, level: float) -> list[NetSpec]:
    return [replace(base, width=base.width * factor) for factor in np.geomspace(1, 4 * level, _TRIED).tolist()]


def _deeper(base: NetSpec, level: float) -> list[NetSpec]:
    return [replace(base, depth=base.depth * factor) for factor in np.geomspace(1, 5 * level, _TRIED).tolist()]


def _larger(base: NetSpec, level: float) -> list[NetSpec]:
    return [replace(base, resolution=side) for side in range(base.resolution, int(base.resolution * level) + 1, 2)]


_ALONE: dict[str, Callable[[NetSpec, float], list[NetSpec]]] = dict(
    zip(DIMENSIONS, (_wider, _deeper, _larger), strict=True)
)


def _nearest(specs: Iterable[NetSpec], level: float, base: NetSpec, classes: int) -> NetSpec:
    """Of networks that grow: the one whose MAdds come nearest; of those that round to the same the first."""
    distinct: dict[object, NetSpec] = {}
    for spec in specs:
        distinct.setdefault((scaled_channels(spec), scaled_repeats(spec), spec.resolution), spec)
    ladder, wanted = list(distinct.values()), level * float(totals(base, classes).madds)
    above = bisect.bisect_left(ladder, wanted, key=lambda spec: float(totals(spec, classes).madds))
    beside = ladder[max(0, above - 1) : above + 1]
    return min(beside, key=lambda spec: abs(np.log(float(totals(spec, classes).madds) / wanted)))
