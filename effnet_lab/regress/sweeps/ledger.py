"""The folder of a sweep: the ledger of its points, and ``results``, the Parquet data set with one part per point."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from effnet_lab.ledger import Ledger
from effnet_lab.names import UserError

PLAN = "sweep.json"  # what the sweep is
RESULTS = "results"


class SweepFolder(Ledger):
    """Where the points of a sweep and their results are."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self.results = self.root / RESULTS

    def plan(self) -> dict[str, Any]:
        """What the sweep is: its notebook, profile, and points with their parameters."""
        try:
            plan: dict[str, Any] = json.loads((self.root / PLAN).read_bytes())
        except (OSError, ValueError):
            raise UserError(
                f"There is no sweep in {self.root}. Run: effnet-lab sweep NOTEBOOK --grid F --out DIR."
            ) from None
        return plan

    def part(self, key: str) -> Path:
        """The rows of a point in the data set."""
        return self.results / f"{key}.parquet"

    def forget(self, keys: Iterable[str]) -> None:
        """Let points run again; their rows leave the data set."""
        keys = list(keys)
        super().forget(keys)
        for key in keys:
            self.part(key).unlink(missing_ok=True)


def is_sweep(folder: str | Path) -> bool:
    """Whether a sweep has begun there."""
    return (Path(folder) / PLAN).is_file()
