"""One op, bit for bit: the integer arithmetic of the kernels, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.analysis.integer.explain import check_integer, explain, explain_op, walk
    from effnet_lab.analysis.integer.steps import KINDS

__all__ = ["KINDS", "check_integer", "explain", "explain_op", "walk"]
offer(__name__, {"explain": ("check_integer", "explain", "explain_op", "walk"), "steps": ("KINDS",)})
