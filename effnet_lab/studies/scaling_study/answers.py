"""What a study of scaling answers: each network with its interval, the triples against the paper's, the gain per cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.compare import SIGNIFICANT
from effnet_lab.intervals import crossed_interval, crossed_p_value
from effnet_lab.names import UserError, lookup
from effnet_lab.scaling.compound import DIMENSIONS, PAPER
from effnet_lab.scaling.grown import DIRECTIONS
from effnet_lab.studies.scaling_study.point import hits_of

COSTS = {"madds": "MAdds", "relative_p50": "int8 latency", "arena_bytes": "arena"}
_SHARED = (
    "level", "alpha", "beta", "gamma", "phi", "width", "depth", "resolution_px", "params", "madds", "size_bytes",
    "arena_bytes", "relative_p50", "n_images",
)  # fmt: skip


def summary(study: pd.DataFrame) -> pd.DataFrame:
    """SCALING frame: every network once, its top-1 with the interval over seeds and images.

    Parameters
    ----------
    study : DataFrame
        SCALING_STUDY.
    """
    unit = float(_base(study)["madds"].iloc[0])
    rows = []
    for (model, direction), runs in study.groupby(["model", "direction"], sort=False):
        first = runs.iloc[0]
        row = {name: first[name] for name in _SHARED} | {"model": model, "direction": direction, "n_seeds": len(runs)}
        row["madds_ratio"] = first["madds"] / unit
        for scheme in ("float", "int8"):
            row |= _cells(crossed_interval(_hits(runs, scheme)), f"{scheme}_top1")
        rows.append(row)
    return frames.build(frames.SCALING, rows)


def coefficients(study: pd.DataFrame) -> pd.DataFrame:
    """COEFFICIENTS frame: every triple of the grid, and its difference to the paper's on the same images.

    Only the levels at which the paper's own has been trained.

    The p-values are adjusted for the number of triples of a level (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    unit = float(_base(study)["madds"].iloc[0])
    rows: list[dict[str, Any]] = []
    for level, runs in study[study["direction"] == "grid"].groupby("level"):
        triples = dict(iter(runs.groupby("model", sort=False)))
        paper = next((rows for rows in triples.values() if _is_paper(rows.iloc[0])), None)
        if paper is None:
            continue
        found = [_triple_row(str(model), one, paper, unit) | {"level": level} for model, one in triples.items()]
        rows += _adjusted(found)
    return frames.build(frames.COEFFICIENTS, rows)


def gains(study: pd.DataFrame, cost: str = "madds") -> pd.DataFrame:
    """SCALING_GAIN frame: int8 top-1 that each way to grow wins over the base, per doubling of a cost.

    Parameters
    ----------
    cost : str
        A key of `COSTS`: what a phone pays for is not what a microcontroller pays for.
    """
    lookup("cost", cost, COSTS)
    base = _base(study)
    rows = []
    for (model, direction), runs in study[study["direction"] != "base"].groupby(["model", "direction"], sort=False):
        first = runs.iloc[0]
        doublings = float(np.log2(first[cost] / base[cost].iloc[0]))
        difference = _cells(crossed_interval(_difference(runs, base, "int8")), "gain")
        row = {name: first[name] for name in ("level", "alpha", "beta", "gamma")}
        row |= {name: _per_doubling(value, doublings) for name, value in difference.items()}
        rows.append(row | {"cost": cost, "model": model, "direction": direction, "n_seeds": len(runs)})
    return frames.build(frames.SCALING_GAIN, rows)


def _per_doubling(value: float, doublings: float) -> float:
    """What grows without costing more wins, or loses, without bound; a cost that was not measured says nothing."""
    if np.isnan(doublings):
        return float("nan")
    return value / doublings if doublings > 0 else float(np.sign(value)) * float("inf") if value else 0.0


def which_direction(study: pd.DataFrame) -> str:
    """Whether all three together beat the best single dimension, at the largest level that has both; one sentence."""
    runs = study[study["direction"].isin(DIRECTIONS)]
    counted = runs.groupby("level")["direction"].nunique()
    full = [float(level) for level, n in counted.items() if n == len(DIRECTIONS)]  # type: ignore[arg-type]
    if not full:
        return "No level of this study has all its directions yet."
    last = runs[runs["level"] == max(full)]
    rows = {direction: last[last["direction"] == direction] for direction in DIRECTIONS}
    shares = {name: float(_hits(part, "float").mean()) for name, part in rows.items()}
    best = max(DIMENSIONS, key=shares.__getitem__)
    difference = _difference(rows["compound"], rows[best], "float")
    mean, low, high = crossed_interval(difference)
    told = "can be told apart" if crossed_p_value(difference) < SIGNIFICANT else "cannot be told apart"
    words = ", ".join(f"{name} {shares[name]:.1%}" for name in sorted(shares, key=shares.__getitem__, reverse=True))
    return (
        f"With {max(full):g} times the MAdds: {words}. All three less {best} alone: {100 * mean:+z.1f} points "
        f"({100 * low:+z.1f} to {100 * high:+z.1f}); the two {told}."
    )


def which_triple(table: pd.DataFrame) -> str:
    """Which triple wins, and whether the data can tell it from the paper's; from a COEFFICIENTS frame, one sentence a level."""
    if table.empty:
        return "This study trained no grid of alpha, beta and gamma: effnet-lab study scaling --grid."
    return " ".join(_winner(level, rows) for level, rows in table.groupby("level"))


def _winner(level: Any, rows: pd.DataFrame) -> str:
    rows = rows.sort_values("float_top1", ascending=False, ignore_index=True)
    best = rows.iloc[0]
    triple = f"alpha {best['alpha']:.3g}, beta {best['beta']:.3g}, gamma {best['gamma']:.3g}"
    n = f"{best['n_seeds']} seed{'s' if best['n_seeds'] > 1 else ''}, {best['n_images']:,} images"
    if _is_paper(best):
        return f"At {level:g} times the MAdds the paper's triple is the best of {len(rows)} ({n})."
    told = (
        f"can be told apart (p = {best['p_adjusted']:.2g}, adjusted)"
        if best["p_adjusted"] < SIGNIFICANT
        else f"cannot be told apart with this data (p = {best['p_adjusted']:.2g}, adjusted)"
    )
    return (
        f"At {level:g} times the MAdds {triple} is the best of {len(rows)}: {100 * best['difference']:z.1f} points above the "
        f"paper's ({100 * best['difference_lo']:z.1f} to {100 * best['difference_hi']:z.1f}; {n}); the two {told}."
    )


def _triple_row(model: str, runs: pd.DataFrame, paper: pd.DataFrame, unit: float) -> dict[str, Any]:
    first = runs.iloc[0]
    row = {name: first[name] for name in ("alpha", "beta", "gamma", "n_images")}
    row |= {"model": model, "madds_ratio": first["madds"] / unit, "n_seeds": len(runs)}
    row |= _cells(crossed_interval(_hits(runs, "float")), "float_top1")
    difference = _difference(runs, paper, "float")
    row |= _cells(crossed_interval(difference), "difference")
    return row | {"p_adjusted": crossed_p_value(difference)}


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """p-values of one level, adjusted; the paper's triple against itself is no test."""
    from statsmodels.stats.multitest import multipletests

    tested = [row for row in rows if not _is_paper(row)]
    if tested:
        adjusted = multipletests([row["p_adjusted"] for row in tested], method="holm")[1]
        for row, p in zip(tested, adjusted, strict=True):
            row["p_adjusted"] = float(p)
    return [row if row in tested else row | {"p_adjusted": float("nan")} for row in rows]


def _difference(runs: pd.DataFrame, other: pd.DataFrame, scheme: str) -> NDArray[np.float64]:
    """Recognised or not, first less second, (seeds that both have, images)."""
    shared = sorted(set(runs["seed"]) & set(other["seed"]))
    if not shared:
        raise UserError(f"{runs['model'].iloc[0]} and {other['model'].iloc[0]} have no seed in common.")
    pairs = [frame[frame["seed"].isin(shared)].sort_values("seed") for frame in (runs, other)]
    first, second = (_hits(frame, scheme).astype(float) for frame in pairs)
    return np.asarray(first - second)


def _hits(runs: pd.DataFrame, scheme: str) -> NDArray[np.bool_]:
    return np.stack([hits_of(text) for text in runs[f"{scheme}_hits"]])


def _cells(interval: tuple[float, float, float], name: str) -> dict[str, float]:
    return dict(zip((name, f"{name}_lo", f"{name}_hi"), interval, strict=True))


def _base(study: pd.DataFrame) -> pd.DataFrame:
    base = study[study["direction"] == "base"]
    if base.empty:
        raise UserError("This study has no finished run of its base yet.")
    return base


def _is_paper(row: Mapping[str, Any] | pd.Series) -> bool:
    """Whether the triple of a row is the paper's; gamma follows from the other two."""
    return bool(np.isclose([row["alpha"], row["beta"]], [PAPER.alpha, PAPER.beta]).all())
