"""What a scaling coefficient buys, measured: networks grown in one dimension or in all three, trained alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.bench import measure_latency
from effnet_lab.images import open_images
from effnet_lab.ledger import POINTS, Ledger
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.scaling import NetSpec, get_spec
from effnet_lab.scaling.grown import GrownNetwork, grid_networks, matched_networks
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.studies.scaling_study.answers import coefficients, summary, which_triple
from effnet_lab.studies.scaling_study.point import INT8, Point, StudyRecipe, measure_point
from effnet_lab.workers import in_workers

TABLE, LATENCIES = "scaling_study.csv", "latency.csv"
_NOT_MEASURED: dict[str, object] = {
    **dict.fromkeys(("relative_p50", "relative_p50_lo", "relative_p50_hi"), float("nan")), "guard": "",
}  # fmt: skip
Progress = Callable[..., Iterable[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalingStudy:
    """What a study found, so far."""

    table: pd.DataFrame  # SCALING: every network once
    runs: pd.DataFrame  # SCALING_STUDY: every network and seed
    coefficients: pd.DataFrame | None = None  # COEFFICIENTS, where the grid was asked for
    sentence: str = ""  # which triple wins


def scaling_study(
    data: str,
    out: Path | str,
    *,
    base: NetSpec | str = "micro0",
    levels: int = 4,
    seeds: int = 3,
    grid: bool = False,
    n_train: int = StudyRecipe.n_train,
    epochs: int = StudyRecipe.epochs,
    workers: int = 1,
    progress: Progress | None = None,
) -> ScalingStudy:
    """Train a base and what it grows into with every seed, and measure each in float and in int8.

    Parameters
    ----------
    data : str
        Image source with train, calibration and evaluation splits.
    out : path
        Folder of the ledger: a point for each network and seed, with its row and its int8 file. A point that is finished is
        not repeated, so a study that was ended at any moment goes on where it stopped. All runs are in
        ``scaling_study.csv``.
    base : NetSpec or str
    levels : int
        Width, depth, resolution and all three grow to 2, 4, ... ``2**(levels - 1)`` times the MAdds of the base.
    seeds : int
        Of weights and of the order of images. They run outermost: a study that was stopped has whole seeds first.
    grid : bool
        Also grow by the triples of `grid_networks`.
    n_train, epochs : int
        Of every network; `n_train` counts for ``scenes``, other sources have what they have.
    workers : int
        Processes, each at the lowest priority and with one thread.
    progress : callable, optional
        Wraps the points that are still to be trained, as `tqdm` does.

    Raises
    ------
    UserError
        If levels, seeds or workers are below 1, the folder holds points of another recipe or source, or another study is
        at work in it.
    """
    if seeds < 1 or workers < 1:
        raise UserError(f"A study of scaling needs at least 1 seed and 1 worker. Got {seeds} and {workers}.")
    recipe, ledger = StudyRecipe(n_train=n_train, epochs=epochs), Ledger(out)
    start = get_spec(base) if isinstance(base, str) else base
    grown = networks_of(start, levels, len(open_images(data, "evaluation").classes), grid=grid)
    points = _points(grown, range(seeds), data, recipe, ledger.root)
    _check_ledger(ledger, data, recipe)
    with ledger.held("study"):
        ledger.clear_work()
        left = [point for key, point in points.items() if not ledger.is_finished(key)]
        done = in_workers(measure_point, left, workers) if left else ()
        for _ in progress(done, total=len(left)) if progress else done:
            pass
        runs = read_study(grown, ledger, seeds=range(seeds), latencies=_latencies(points, ledger))
        write_atomically(ledger.root / TABLE, runs.to_csv(index=False).encode())
    triples = coefficients(runs) if grid else None
    return ScalingStudy(
        table=summary(runs), runs=runs, coefficients=triples, sentence="" if triples is None else which_triple(triples)
    )


def networks_of(base: NetSpec, levels: int, classes: int, *, grid: bool) -> list[GrownNetwork]:
    """Every network of a study, in the order in which they are trained: what every reader wants to see comes first."""
    return [*matched_networks(base, levels, classes), *(grid_networks(base, classes) if grid else ())]


def read_study(
    grown: Sequence[GrownNetwork], ledger: Ledger, *, seeds: Iterable[int], latencies: pd.DataFrame | None = None
) -> pd.DataFrame:
    """SCALING_STUDY frame of the points that are finished; without latencies theirs is not measured."""
    rows, relative = [], _relative(latencies)
    for seed in seeds:
        for network in grown:
            if cells := ledger.about(point_key(network.spec, seed)):
                latency = relative.get(point_key(network.spec, 0), _NOT_MEASURED)
                rows.append(_role(network, grown[0].spec) | latency | cells)
    return frames.build(frames.SCALING_STUDY, rows)


def point_key(spec: NetSpec, seed: int) -> str:
    """Of a network and a seed, in the ledger."""
    return f"{network_key(spec)}_s{seed}"


def network_key(spec: NetSpec) -> str:
    """What tells one trained network from another, whatever role it plays: several multipliers round to the same."""
    channels, repeats = scaled_channels(spec), scaled_repeats(spec)
    return f"{spec.resolution}px_c{'-'.join(map(str, channels))}_r{'-'.join(map(str, repeats))}"


def _points(
    grown: Sequence[GrownNetwork], seeds: Iterable[int], data: str, recipe: StudyRecipe, folder: Path
) -> dict[str, Point]:
    keys = {point_key(network.spec, seed): (network.spec, seed) for seed in seeds for network in grown}
    return {
        key: Point(spec=spec, seed=seed, data=data, recipe=recipe, folder=folder, key=key)
        for key, (spec, seed) in keys.items()
    }


def _check_ledger(ledger: Ledger, data: str, recipe: StudyRecipe) -> None:
    for path in sorted((ledger.root / POINTS).glob("*")):
        row = ledger.about(path.name)
        if (row["data"], row["epochs"], row["learning_rate"]) != (data, recipe.epochs, recipe.learning_rate):
            raise UserError(
                f"{ledger.root} holds a study of {row['data']!r}, {row['epochs']} epochs at {row['learning_rate']:g}. "
                "Name another folder, or repeat those."
            )


def _latencies(points: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """CPU time of each int8 file relative to the base's; kept beside the ledger, since it does not depend on weights."""
    path = ledger.root / LATENCIES
    keys = [key for key in points if key.endswith("_s0")]  # the file of the first seed stands for all
    if path.exists():
        kept = pd.read_csv(path)
        if kept["point"].tolist() == keys:
            return kept
    measured = measure_latency([ledger.point(key) / INT8 for key in keys])
    measured = measured[["relative_p50", "relative_p50_lo", "relative_p50_hi", "guard"]]
    measured.insert(0, "point", keys)
    write_atomically(path, measured.to_csv(index=False).encode())
    return measured


def _relative(latencies: pd.DataFrame | None) -> dict[str, dict[str, object]]:
    """Cells of every point whose int8 file was measured."""
    if latencies is None:
        return {}
    rows = latencies.to_dict("records")
    return {str(row["point"]): {str(key): value for key, value in row.items() if key != "point"} for row in rows}


def _role(network: GrownNetwork, base: NetSpec) -> dict[str, object]:
    compound, spec = network.compound, network.spec
    coefficients = {name: getattr(compound, name, float("nan")) for name in ("alpha", "beta", "gamma")}
    return coefficients | {
        "model": spec.name, "base": base.name, "direction": network.direction, "level": network.level, "phi": network.phi,
        "width": spec.width, "depth": spec.depth, "resolution_px": spec.resolution,
    }  # fmt: skip
