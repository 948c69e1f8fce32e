"""Networks for little memory: Lite's blocks in Lite's order, with few channels where the pictures are still large.

Lite's six-fold expansion right behind the first block takes several times the memory of everything after it. Here every
stage has an expansion of its own, and the name of a network says them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.scaling.budget import Budget
from effnet_lab.scaling.counts import Totals, totals
from effnet_lab.scaling.planner import estimate_arena
from effnet_lab.scaling.specs import NetSpec, Stage

_FORM = "lean{side}-{stem}-{first}-{channels}x{expansion}-{channels}x{expansion}-{channels}x{expansion}-{head}"
_NAME = re.compile(r"lean(\d+)-(\d+)-(\d+)-(\d+)x(\d+)-(\d+)x(\d+)-(\d+)x(\d+)-(\d+)")
_KERNELS = (3, 5, 3)  # of the three stages whose channels and expansions the name says
_LAST = ((1, 1.25), (2, 1.5))  # of the two stages behind them: stride, channels / channels of the third
_LAST_KERNEL, _LAST_EXPANSION = 5, 4
_SIDES = range(64, 129, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lean:
    """What tells one of these networks from another."""

    side: int  # of the input, px
    stem: int  # channels
    first: int  # channels of the block without expansion
    channels: tuple[int, int, int]
    expansions: tuple[int, int, int]
    head: int  # channels

    @property
    def name(self) -> str:
        """All of it, as `lean_spec` reads it."""
        stages = "-".join(f"{c}x{e}" for c, e in zip(self.channels, self.expansions, strict=True))
        return f"lean{self.side}-{self.stem}-{self.first}-{stages}-{self.head}"

    @property
    def spec(self) -> NetSpec:
        """The specification."""
        begin = Stage(kernel=3, stride=1, expansion=1, channels=self.first, repeats=1)
        twice = (
            Stage(kernel=kernel, stride=2, expansion=expansion, channels=channels, repeats=2)
            for kernel, expansion, channels in zip(_KERNELS, self.expansions, self.channels, strict=True)
        )
        ends = (
            Stage(
                kernel=_LAST_KERNEL, stride=stride, expansion=_LAST_EXPANSION,
                channels=int(self.channels[2] * factor / 8 + 0.5) * 8, repeats=1,
            )
            for stride, factor in _LAST
        )  # fmt: skip
        return NetSpec(
            name=self.name, width=1.0, depth=1.0, resolution=self.side, dropout=0.1, drop_connect=0.0,
            stages=(begin, *twice, *ends), stem=self.stem, head=self.head,
        )  # fmt: skip


def lean_spec(name: str) -> NetSpec:
    """The specification that such a name stands for.

    Examples
    --------
    >>> lean_spec("lean104-8-6-16x2-32x3-40x6-256").resolution
    104
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"A lean network is called {_FORM}, with whole numbers. Got {name[:60]!r}.")
    side, stem, first, *stages, head = (int(number) for number in found.groups())
    if min(stem, first, *stages, head) < 1:
        raise UserError(f"The channels and expansions of a lean network must be >= 1. Got {name[:60]!r}.")
    channels, expansions = (stages[0], stages[2], stages[4]), (stages[1], stages[3], stages[5])
    return Lean(side=side, stem=stem, first=first, channels=channels, expansions=expansions, head=head).spec


def search_lean(
    *,
    max_arena: float,
    max_flash: float,
    max_params: float | None = None,
    max_madds: float | None = None,
    classes: int = 1000,
    limit: int = 10,
) -> pd.DataFrame:
    """The lean networks with most MAdds within a budget of memory: LEAN_CANDIDATES frame.

    Of networks that fit into the same memory, those with more MAdds recognise more in the mean (Lin et al., "MCUNet: tiny
    deep learning on IoT devices", 2020, section 3.1). The arena is planned as the runtime plans it, see `estimate_arena`.

    Parameters
    ----------
    max_arena, max_flash : float
        Bytes of activations in the arena of an int8 file, and of int8 weights and int32 biases.
    max_params, max_madds : float, optional
        Trainable parameters; multiply-adds per image.
    classes : int
        Outputs of the classifier.
    limit : int
        How many.

    Raises
    ------
    UserError
        If a limit is not positive, or nothing fits.
    """
    # Less than the peak of the activations no arena can be, so it is planned only for what may fit.
    budget = Budget(params=max_params, madds=max_madds, peak_activation_bytes=max_arena, flash_bytes=max_flash)
    candidates: list[tuple[int, int, str, Lean, int]] = []
    for lean, cost in _costs(classes):
        fits = budget.allows(cost)
        for side, madds in zip(np.array(_SIDES)[fits], np.asarray(cost.madds)[fits], strict=True):
            sized = replace(lean, side=int(side))
            candidates.append((-int(madds), cost.flash_bytes, sized.name, sized, cost.params))
    rows = list(islice(_planned(sorted(candidates, key=lambda row: row[:3]), max_arena, classes), limit))
    if not rows:
        raise UserError("No lean network fits the budget. Raise a limit, or count with fewer classes.")
    return frames.build(frames.LEAN_CANDIDATES, rows)


@lru_cache(maxsize=2)
def _costs(classes: int) -> tuple[tuple[Lean, Totals], ...]:
    """Every structure that is tried, with what it costs at every side."""
    return tuple((lean, totals(lean.spec, classes, np.array(_SIDES))) for lean in _structures())


def _structures() -> Iterator[Lean]:
    for stem, first, c1, c2, c3 in product((8, 12, 16), (4, 6, 8), (16, 24), (24, 32, 40), range(32, 129, 8)):
        if first < stem and c2 < c3:  # as wide as the stem it would be added to the stem, which is then kept
            for expansions, head in product(product((2, 3), (3, 4), (4, 6)), (128, 256)):
                yield Lean(side=128, stem=stem, first=first, channels=(c1, c2, c3), expansions=expansions, head=head)


def _planned(
    candidates: Iterable[tuple[int, int, str, Lean, int]], max_arena: float, classes: int
) -> Iterator[dict[str, Any]]:
    """Rows of those whose arena, planned, is within the limit."""
    for madds, flash_bytes, name, lean, params in candidates:
        head_bytes = estimate_arena(lean.spec, classes).activation_bytes
        if head_bytes <= max_arena:
            yield {
                "model": name, "resolution_px": lean.side, "madds": -madds, "params": params,
                "planned_head_bytes": head_bytes, "flash_bytes": flash_bytes,
            }  # fmt: skip
