"""How closely a number must agree with its baseline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exact:
    """Counts, names and conditions."""

    def allows(self, was: object, now: object) -> bool:
        """Whether the values are the same."""
        return was == now

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return "exactly"


@dataclass(frozen=True, slots=True)
class Within:
    """An absolute tolerance, in the unit of the column. An infinity equals the same infinity only."""

    tolerance: float

    def allows(self, was: float, now: float) -> bool:
        """Whether the values are close; a hair is left for binary fractions."""
        return was == now or abs(now - was) <= self.tolerance * (1 + 1e-9)

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return f"± {self.tolerance:g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A factor up or down."""

    factor: float

    def allows(self, was: float, now: float) -> bool:
        """Whether neither value exceeds the other by more than the factor."""
        low, high = sorted((was, now))
        return was == now or (low > 0 and high / low <= self.factor)

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return f"x or / {self.factor:g}"


Rule = Exact | Within | Ratio
