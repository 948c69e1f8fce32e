"""What a comparison with a baseline found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

MOST_ANNOTATIONS = 10  # GitHub shows no more of a step


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What a comparison with the baselines found."""

    table: pd.DataFrame  # COLUMNS, one row per number that moved
    n_compared: int  # numbers
    suspects: tuple[str, ...]  # one sentence per quantized file whose layers moved: the layer to look at
    drift: tuple[str, ...] = ()  # what differs between the environments, one sentence each
    causes: tuple[str, ...] = ()  # one sentence per file: weights, input, ranges, kernels, rounding, labels or speed
    notebooks: pd.DataFrame | None = None  # against another run: which parameter, cell, output and figure differs

    @property
    def github(self) -> list[str]:
        """Annotations as GitHub Actions reads them: drift as warnings, causes and the first numbers as errors."""
        lines = [_command("warning", "Environment", sentence) for sentence in self.drift]
        lines += [_command("error", "Cause", sentence) for sentence in self.causes]
        rows = self.table.head(MOST_ANNOTATIONS).to_dict("records")
        return lines + [_command("error", f"{row['frame']} moved", number_line(row)) for row in rows]


def number_line(row: Mapping[Any, Any]) -> str:
    """One number that moved, in words."""
    was, now = (f"{v:.6g}" if isinstance(v, float) and not pd.isna(v) else str(v) for v in (row["was"], row["is"]))
    return f"{row['frame']}: {row['key']}: {row['what']} was {was}, is {now} (allowed: {row['allowed']})"


def _command(kind: str, title: str, text: str) -> str:
    """What ends a command, or a property of it, is escaped."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title={title.replace(':', '%3A').replace(',', '%2C')}::{text}"
