"""How closely a number must agree with its baseline: exactly, within an absolute or relative tolerance, or within chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from effnet_lab.frames import column
from effnet_lab.names import UserError

HAIR = 1e-9  # share left for binary fractions
SAME = 1e-6  # share by which two runs of the same code in the same environment may differ
Row = Mapping[str, Any]  # the other cells of the number's row


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
        return was == now or abs(now - was) <= self.tolerance * (1 + HAIR)

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return f"± {self.tolerance:g}"


@dataclass(frozen=True, slots=True)
class Relative:
    """A share of the baseline, up or down; near zero an absolute tolerance takes its place."""

    share: float
    floor: float = 0.0

    def allows(self, was: float, now: float) -> bool:
        """Whether the values differ by no more than the share of the first."""
        return was == now or abs(now - was) <= max(self.share * abs(was), self.floor) * (1 + HAIR)

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return f"± {100 * self.share:g} %" + (f", ± {self.floor:g} near zero" if self.floor else "")


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


@dataclass(frozen=True, slots=True)
class Chance:
    """Two measured numbers with intervals: their difference must be one that chance makes.

    The half widths of two independent 95 % intervals add up like legs of a right triangle; they are stretched to the level.
    """

    level: float = 0.999

    def allows_rows(self, name: str, was: Row, now: Row) -> bool:
        """Whether the difference of the numbers lies within the interval of a difference of nothing."""
        from scipy.stats import norm

        low, high = column(name).ends
        halves = [(float(row[high]) - float(row[low])) / 2 for row in (was, now)]
        stretch = norm.ppf((1 + self.level) / 2) / norm.ppf(0.975)
        return bool(abs(now[name] - was[name]) <= stretch * math.hypot(*halves))

    def __str__(self) -> str:
        """Say it in the column `allowed`."""
        return f"chance, {100 * self.level:g} %"


Rule = Exact | Within | Relative | Ratio | Chance


def parse_rule(text: str) -> Rule:
    """A rule from what stands under `allowed`: ``exactly``, ``± 0.1``, ``± 2 %``, ``x or / 3``, ``chance, 99 %``.

    Raises
    ------
    UserError
    """
    words = text.replace(",", " ").replace("or /", " ").split()
    try:
        if words == ["exactly"]:
            return Exact()
        if words[0] == "x" and len(words) == 2 and float(words[1]) >= 1:
            return Ratio(float(words[1]))
        if words[0] == "±" and float(words[1]) >= 0 and len(words) <= 3:
            return Relative(float(words[1]) / 100) if words[2:] == ["%"] else Within(float(words[1]))
        if words[0] == "chance" and words[2:] in ([], ["%"]) and 50 <= float(words[1]) < 100:
            return Chance(round(float(words[1]) / 100, 9))
    except (IndexError, ValueError):
        pass
    raise UserError(f"A rule is 'exactly', '± 0.1', '± 2 %', 'x or / 3' or 'chance, 99.9 %'. Got {text[:40]!r}.")


def columns_of(rules: Mapping[str, Rule]) -> list[str]:
    """What a baseline has to keep: the columns, and the ends of the intervals that chance is judged by."""
    names = [part for name, rule in rules.items() for part in _parts(name, rule)]
    return list(dict.fromkeys(names))


def _parts(name: str, rule: Rule) -> tuple[str, ...]:
    return (name, *column(name).ends) if isinstance(rule, Chance) else (name,)


def exact_rule(name: str, rule: Rule) -> Rule:
    """The rule for two runs in the same environment: what is computed is the same, what is timed keeps its tolerance."""
    if isinstance(rule, Exact | Chance) or name in TIMED:
        return rule
    return Exact() if column(name).kind in ("text", "count") else Relative(SAME)


TIMED = ("relative_p50", "p50_ms", "cpu_p50_ms", "seconds")
