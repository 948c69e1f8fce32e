"""Predict trouble from a file alone; a child process tries whether LiteRT loads it, which takes a fraction of a second."""

from __future__ import annotations

from effnet_lab.analysis.lint.findings import at_least, lint
from effnet_lab.analysis.lint.rules import RULES, SEVERITIES, Finding, Rule
from effnet_lab.analysis.lint.words import in_words

__all__ = ["RULES", "SEVERITIES", "Finding", "Rule", "at_least", "in_words", "lint"]
