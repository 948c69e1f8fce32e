"""What a column is: text, a count, a number, a fraction or a flag, and how its values are written for people."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["text", "count", "number", "fraction", "flag"]
_UNITS = ("_ms", "_db", "_bytes", "_px")  # endings of a name that stay at its end when an interval is made of it


@dataclass(frozen=True, slots=True)
class Column:
    """One column, declared once for every table, file, axis and terminal.

    A *count* is a whole number, a *fraction* lies between 0 and 1 (a difference of fractions between -1 and 1) and is
    shown in percent, a *number* is any other real one. What was not measured is NaN in all three. *Text* is never NaN.
    """

    name: str
    kind: Kind
    title: str  # without the unit: on axes and in the heads of tables
    unit: str = ""  # "ms", "bytes", "px", "dB", or what it is a number of
    better: str = ""  # "low", "high", or neither
    interval: bool = False  # two more columns hold the ends of its interval
    log: bool = False  # drawn on a logarithmic axis
    digits: str = ""  # Python format of one value; by default what suits the kind and the unit
    ticks: str = ""  # d3 format of the labels on an axis, likewise

    @property
    def heading(self) -> str:
        """Title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def ends(self) -> tuple[str, str]:
        """Names of the columns with the ends of its interval: top1_lo, top1_hi; p50_lo_ms, p50_hi_ms."""
        unit = next((unit for unit in _UNITS if self.name.endswith(unit)), "")
        stem = self.name.removesuffix(unit)
        return f"{stem}_lo{unit}", f"{stem}_hi{unit}"

    def parts(self) -> tuple[Column, ...]:
        """The column, and those of its interval's ends."""
        if not self.interval:
            return (self,)
        ends = (
            replace(self, name=name, title=f"{self.title}, {which} end", interval=False, better="")
            for name, which in zip(self.ends, ("lower", "upper"), strict=True)
        )
        return (self, *ends)

    def write(self, value: object, *, missing: str = "not measured", thousands: str = ",") -> str:
        """The value for people; `missing` stands for NaN, `thousands` between three digits and three.

        Examples
        --------
        >>> Column("madds", "count", "MAdds").write(385_187_552), Column("top1", "fraction", "top-1").write(0.9245)
        ('385,187,552', '92.45%')
        """
        if value is None or type(value).__name__ == "NAType" or value != value:  # NaN alone differs from itself
            return missing
        if isinstance(value, str) or self.kind == "text":
            return str(value)
        if self.kind == "flag" or isinstance(value, bool):
            return "yes" if value else "no"
        return self._written(float(value), value).replace(",", thousands)  # type: ignore[arg-type]

    def _written(self, real: float, value: object) -> str:
        if math.isinf(real):
            return "∞" if real > 0 else "-∞"
        if self.kind == "count" and (isinstance(value, int) or real.is_integer()):
            return f"{int(value):,d}"  # type: ignore[call-overload]
        if self.kind != "count" and self.digits:
            return format(real, self.digits)
        if self.kind == "fraction":
            return f"{real:.2%}"
        usual = {"dB": ".1f", "ms": ".3g"}.get(self.unit.split(",")[0])
        return format(real, usual) if usual else plain(real)


def plain(real: float) -> str:
    """A finite number without a kind: whole ones in full, large ones without decimals, others with four digits."""
    if real.is_integer() and abs(real) < 1e15:
        return f"{int(real):,d}"
    return f"{real:,.0f}" if 1e4 <= abs(real) < 1e15 else f"{real:.4g}"
