"""Findings of the lint as a person reads them: what is said of many layers is said once, with their names."""

from __future__ import annotations

import pandas as pd

from effnet_lab.frames import FINDINGS, MODEL_FILE, require
from effnet_lab.view.text import short_layer

N_NAMED = 4  # layers of one finding
WHOLE_FILE = "the file as a whole"
COLUMNS = ("severity", "evidence", "layers", "remedy")


def findings_by_kind(findings: pd.DataFrame) -> pd.DataFrame:
    """One row per finding: how grave, in words, on which layers, what to do, and in which files.

    What is found alike in several files stands once.

    Parameters
    ----------
    findings : DataFrame
        FINDINGS frame, gravest first.
    """
    require(findings, FINDINGS, caller="findings_by_kind")
    named = MODEL_FILE if len(set(findings["model"])) > 1 else MODEL_FILE[1:]
    found: dict[tuple[str, ...], list[str]] = {}
    for _, group in findings.groupby([*MODEL_FILE, "id"], sort=False):
        first = group.iloc[0]
        said = _evidence(group["evidence"].tolist()), _layers(group["layer"].tolist())
        found.setdefault((first["severity"], *said, first["remedy"]), []).append(" ".join(first[[*named]]))
    return pd.DataFrame([(*said, ", ".join(files)) for said, files in found.items()], columns=[*COLUMNS, "files"])


def _evidence(said: list[str]) -> str:
    """What is said of all; of several sentences the first, marked as an example."""
    if len(set(said)) == 1:
        return said[0]
    title, _, example = said[0].partition(": ")
    return f"{title}, for example {example}" if example else said[0]


def _layers(names: list[str]) -> str:
    named = [short_layer(name, 40) for name in dict.fromkeys(names) if name]
    if not named:
        return WHOLE_FILE
    more = f" and {len(named) - N_NAMED} more" if len(named) > N_NAMED else ""
    return ", ".join(named[:N_NAMED]) + more
