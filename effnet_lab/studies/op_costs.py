"""What an op costs on this host, learned from timed networks: a latency for a network that has no file yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from effnet_lab.bench import profile
from effnet_lab.quantize import export
from effnet_lab.scaling import layer_counts

_CALIBRATION = 16  # images: the time of an op does not depend on its ranges
FEATURES = ("calls", "madds", "activation_bytes")  # what the time of an op is a sum of


@dataclass(frozen=True, kw_only=True, slots=True)
class OpCosts:
    """Milliseconds per call, per MAdd and per byte written, for each kind of op."""

    table: pd.DataFrame  # columns op and FEATURES
    n_ops: int  # timed
    worst: float  # largest error of a fitted network's total, as a fraction

    def estimate(self, counts: pd.DataFrame) -> float:
        """Estimated latency of a network in ms, from its COUNTS frame; an op that was not timed costs what its MAdds do."""
        costs = self.table.set_index("op").reindex(counts["op"]).fillna(self.table.set_index("op").mean())
        return float((costs.to_numpy() * _features(counts)).sum())


def measure_op_costs(models: Sequence[str], folder: Path | str, *, format: str = "int8", n_runs: int = 30) -> OpCosts:
    """Time every op of some networks here, one thread, and fit what an op of each kind costs.

    Parameters
    ----------
    models : sequence of str
        Networks of different sizes; the estimate is best between them.
    folder : path
        Where their files go.
    format : str
        As `export` names it.
    n_runs : int
        Runs of each file.
    """
    from effnet_lab.models import load_model  # TensorFlow takes seconds to load

    parts = []
    for name in models:
        model = load_model(name)
        (file,) = export(model, folder, format=format, backend="ai_edge_quantizer", limit=_CALIBRATION).files
        timed = profile(file, n_runs).table.groupby("layer", as_index=False)["uninterrupted_ms"].sum()
        counts = layer_counts(model.spec, len(model.classes))
        parts.append(counts.merge(timed, on="layer", validate="one_to_one"))
    return fit_op_costs(pd.concat(parts, ignore_index=True))


def fit_op_costs(rows: pd.DataFrame) -> OpCosts:
    """Least squares with no cost below zero, kind by kind.

    Parameters
    ----------
    rows : DataFrame
        COUNTS rows of one or more networks with their "uninterrupted_ms".
    """
    from scipy.optimize import nnls

    costs = []
    for op, group in rows.groupby("op", sort=False):
        features, scale = _features(group), np.maximum(_features(group).max(axis=0), 1.0)
        fitted, _ = nnls(features / scale, group["uninterrupted_ms"].to_numpy(float))
        costs.append({"op": op, **dict(zip(FEATURES, fitted / scale, strict=True))})
    found = OpCosts(table=pd.DataFrame(costs), n_ops=len(rows), worst=0.0)
    sums = [(found.estimate(group), group["uninterrupted_ms"].sum()) for _, group in rows.groupby("model")]
    worst = max(abs(guess / real - 1) for guess, real in sums)
    return OpCosts(table=found.table, n_ops=found.n_ops, worst=float(worst))


def _features(counts: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A row per op, a column per feature."""
    return counts.assign(calls=1.0)[list(FEATURES)].to_numpy(float)
