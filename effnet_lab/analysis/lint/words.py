"""Findings as lines to read: what is said of many layers is said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from effnet_lab.analysis.lint.rules import RULES

_NAMED = 3  # layers, of many


Row = Mapping[str, Any]


def in_words(findings: Sequence[Row], *, each: bool = False) -> list[str]:
    """One line per kind of finding with the number of layers, then its remedy; at the end a sentence if none is grave.

    Parameters
    ----------
    findings : sequence of mapping
        Rows of FINDINGS.
    each : bool
        A line for every layer instead.
    """
    lines, groups = [], dict[str, list[Row]]()
    for row in findings:
        groups.setdefault(row["id"], []).append(row)
    for rows in groups.values():
        several = len(rows) > 1 and not each
        lines += (
            [_many(rows)] if several else [f"{_head(row)} {row['layer'] or 'file'}: {row['evidence']}" for row in rows]
        )
        lines.append(f"    {rows[0]['remedy']}")
    if not findings:
        lines.append("Nothing found: the file loads, and no rule objects.")
    elif all(row["severity"] == "info" for row in findings):
        lines.append("Nothing here fails or costs accuracy; the lines above are about speed, size and other targets.")
    return lines


def _head(row: Row) -> str:
    return f"{row['severity']} {row['id']}"


def _many(rows: list[Row]) -> str:
    title = RULES[rows[0]["id"]].title
    evidence = list(dict.fromkeys(row["evidence"].removeprefix(f"{title}: ") for row in rows))
    layers = [row["layer"] or f"operator {row['layer_index']:.0f}" for row in rows]
    where = ", ".join(layers[:_NAMED]) + (f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else "")
    first = evidence[0] if len(evidence) == 1 else f"the first: {evidence[0]}"
    return f"{_head(rows[0])} {len(rows)} layers ({where}): {title}: {first}"
