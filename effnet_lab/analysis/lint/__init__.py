"""Predict trouble from a file alone; a child process tries whether LiteRT loads it, which takes a fraction of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.analysis.lint.findings import Findings, lint
    from effnet_lab.analysis.lint.rules import RULES, SEVERITIES, Finding, Rule

__all__ = ["RULES", "SEVERITIES", "Finding", "Findings", "Rule", "lint"]
offer(
    __name__,
    {"findings": ("Findings", "lint"), "rules": ("RULES", "SEVERITIES", "Finding", "Rule")},
)
