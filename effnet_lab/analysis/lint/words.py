"""Findings as lines to read: what is said of many layers is said once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from effnet_lab.analysis.lint.rules import RULES

_NAMED = 3  # layers, of many


def in_words(findings: pd.DataFrame, *, each: bool = False) -> list[str]:
    """One line per kind of finding with the number of layers, then its remedy; at the end a sentence if none is grave.

    Parameters
    ----------
    findings : DataFrame
        FINDINGS.
    each : bool
        A line for every layer instead.
    """
    lines = []
    for _, group in findings.groupby("id", sort=False):
        rows: list[dict[Hashable, Any]] = group.to_dict("records")
        several = len(rows) > 1 and not each
        lines += (
            [_many(rows)] if several else [f"{_head(row)} {row['layer'] or 'file'}: {row['evidence']}" for row in rows]
        )
        lines.append(f"    {rows[0]['remedy']}")
    if not len(findings):
        lines.append("Nothing found: the file loads, and no rule objects.")
    elif set(findings["severity"]) == {"info"}:
        lines.append("Nothing here fails or costs accuracy; the lines above are about speed, size and other targets.")
    return lines


def _head(row: dict[Hashable, Any]) -> str:
    return f"{row['severity']} {row['id']}"


def _many(rows: list[dict[Hashable, Any]]) -> str:
    title = RULES[rows[0]["id"]].title
    evidence = list(dict.fromkeys(row["evidence"].removeprefix(f"{title}: ") for row in rows))
    layers = [row["layer"] or f"operator {row['layer_index']:.0f}" for row in rows]
    where = ", ".join(layers[:_NAMED]) + (f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else "")
    first = evidence[0] if len(evidence) == 1 else f"the first: {evidence[0]}"
    return f"{_head(rows[0])} {len(rows)} layers ({where}): {title}: {first}"
