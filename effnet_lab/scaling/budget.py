"""Limits on what a network may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effnet_lab.names import UserError
from effnet_lab.scaling.counts import Totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As the limits are called where they are asked for.
_SAID = {
    "params": "max_params", "madds": "max_madds", "peak_activation_bytes": "max_arena", "flash_bytes": "max_flash",
}  # fmt: skip


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
                raise UserError(f"{_SAID[name]} must be > 0. Got {limit:g}.")

    def allows(self, cost: Totals) -> NDArray[np.bool_]:
        """Whether a network is within the limits, at each size that was counted."""
        within = np.ones(np.shape(cost.madds), bool)
        for name in self.__slots__:
            if (limit := getattr(self, name)) is not None:
                within &= getattr(cost, name) <= limit
        return within
