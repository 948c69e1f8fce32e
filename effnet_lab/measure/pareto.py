"""What accuracy, latency, size and memory cost each other."""

from __future__ import annotations

import pandas as pd

from effnet_lab import frames
from effnet_lab.names import lookup

BETTER = {  # which way is better, for every axis that a trade-off can have
    "top1": "high", "p50_ms": "low", "relative_p50": "low", "size_bytes": "low", "peak_activation_bytes": "low",
    "params": "low", "madds": "low",
}  # fmt: skip


def tradeoffs(accuracy: pd.DataFrame, latency: pd.DataFrame, memory: pd.DataFrame) -> pd.DataFrame:
    """TRADEOFFS frame: the rows that all three have, one per file."""
    keys = list(frames.MODEL_FILE)
    table = accuracy.merge(latency, on=keys, validate="one_to_one").merge(memory, on=keys, validate="one_to_one")
    return frames.require(table[list(frames.TRADEOFFS.columns)], frames.TRADEOFFS, caller="tradeoffs")


def on_front(table: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Which rows no other row beats: as good on both axes and better on one.

    Parameters
    ----------
    table : DataFrame
        With columns `x` and `y`, each a name of `BETTER`. A row with NaN on either axis is never on the front.
    """
    costs = pd.DataFrame({axis: table[axis] * (-1 if lookup("axis", axis, BETTER) == "high" else 1) for axis in (x, y)})
    a, b = costs.to_numpy().T
    as_good = (a[None] <= a[:, None]) & (b[None] <= b[:, None])
    better = (a[None] < a[:, None]) | (b[None] < b[:, None])
    beaten = (as_good & better).any(axis=1)
    return pd.Series(~beaten & costs.notna().all(axis=1).to_numpy(), index=table.index)
