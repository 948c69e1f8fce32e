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
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.scaling import NetSpec, get_spec
from effnet_lab.scaling.grown import GrownNetwork, grid_networks, matched_networks
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.studies.scaling_study.answers import coefficients, summary, which_triple
from effnet_lab.studies.scaling_study.point import Point, StudyRecipe, measure_point
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
        Folder of the ledger: under ``points`` one row and one int8 file per network and seed, each written whole. A point
        that is there is not repeated, so a study that was ended at any moment goes on where it stopped. All runs are in
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
        If levels, seeds or workers are below 1, or the folder holds points of another recipe or source.
    """
    if seeds < 1 or workers < 1:
        raise UserError(f"A study of scaling needs at least 1 seed and 1 worker. Got {seeds} and {workers}.")
    recipe, folder = StudyRecipe(n_train=n_train, epochs=epochs), Path(out)
    start = get_spec(base) if isinstance(base, str) else base
    grown = networks_of(start, levels, len(open_images(data, "evaluation").classes), grid=grid)
    points = _points(grown, range(seeds), data, recipe, folder)
    _check_ledger(folder, data, recipe)
    left = [point for path, point in points.items() if not path.exists()]
    done = in_workers(measure_point, left, workers) if left else ()
    for point, row in progress(done, total=len(left)) if progress else done:
        write_atomically(point.int8.with_suffix(".csv"), pd.DataFrame([row]).to_csv(index=False).encode())
    runs = read_study(
        grown,
        folder,
        seeds=range(seeds),
        latencies=_latencies([path.with_suffix(".tflite") for path in points if path.stem.endswith("_s0")], folder),
    )
    write_atomically(folder / TABLE, runs.to_csv(index=False).encode())
    triples = coefficients(runs) if grid else None
    return ScalingStudy(
        table=summary(runs), runs=runs, coefficients=triples, sentence="" if triples is None else which_triple(triples)
    )


def networks_of(base: NetSpec, levels: int, classes: int, *, grid: bool) -> list[GrownNetwork]:
    """Every network of a study, in the order in which they are trained: what every reader wants to see comes first."""
    return [*matched_networks(base, levels, classes), *(grid_networks(base, classes) if grid else ())]


def read_study(
    grown: Sequence[GrownNetwork], folder: Path, *, seeds: Iterable[int], latencies: pd.DataFrame | None = None
) -> pd.DataFrame:
    """SCALING_STUDY frame of the points of a folder that are finished; without latencies theirs is not measured."""
    rows, relative = [], _relative(latencies)
    for seed in seeds:
        for network in grown:
            path = _ledger(folder, network.spec, seed)
            if path.exists():
                cells = {str(name): value for name, value in pd.read_csv(path).iloc[0].items()}
                rows.append(_role(network, grown[0].spec) | relative.get(_first_file(path), _NOT_MEASURED) | cells)
    return frames.build(frames.SCALING_STUDY, rows)


def network_key(spec: NetSpec) -> str:
    """What tells one trained network from another, whatever role it plays: several multipliers round to the same."""
    channels, repeats = scaled_channels(spec), scaled_repeats(spec)
    return f"{spec.resolution}px_c{'-'.join(map(str, channels))}_r{'-'.join(map(str, repeats))}"


def _ledger(folder: Path, spec: NetSpec, seed: int) -> Path:
    return folder / "points" / f"{network_key(spec)}_s{seed}.csv"


def _points(
    grown: Sequence[GrownNetwork], seeds: Iterable[int], data: str, recipe: StudyRecipe, folder: Path
) -> dict[Path, Point]:
    paths = {_ledger(folder, network.spec, seed): (network.spec, seed) for seed in seeds for network in grown}
    return {
        path: Point(spec=spec, seed=seed, data=data, recipe=recipe, int8=path.with_suffix(".tflite"))
        for path, (spec, seed) in paths.items()
    }


def _check_ledger(folder: Path, data: str, recipe: StudyRecipe) -> None:
    for path in sorted((folder / "points").glob("*.csv")):
        row = pd.read_csv(path).iloc[0]
        if (row["data"], row["epochs"], row["learning_rate"]) != (data, recipe.epochs, recipe.learning_rate):
            raise UserError(
                f"{folder} holds a study of {row['data']!r}, {row['epochs']} epochs at {row['learning_rate']:g}. "
                "Name another folder, or repeat those."
            )


def _latencies(files: Sequence[Path], folder: Path) -> pd.DataFrame:
    """CPU time of each int8 file relative to the base's; kept beside the ledger, since it does not depend on weights."""
    path = folder / LATENCIES
    names = [file.name for file in files]
    if path.exists():
        kept = pd.read_csv(path)
        if kept["file"].tolist() == names:
            return kept
    measured = measure_latency(files)[["relative_p50", "relative_p50_lo", "relative_p50_hi", "guard"]]
    measured.insert(0, "file", names)
    write_atomically(path, measured.to_csv(index=False).encode())
    return measured


def _relative(latencies: pd.DataFrame | None) -> dict[str, dict[str, object]]:
    """Cells of every int8 file that was measured."""
    if latencies is None:
        return {}
    rows = latencies.to_dict("records")
    return {str(row["file"]): {str(key): value for key, value in row.items() if key != "file"} for row in rows}


def _first_file(path: Path) -> str:
    """The int8 file of a point's network that is measured: that of the first seed."""
    return f"{path.stem.rpartition('_s')[0]}_s0.tflite"


def _role(network: GrownNetwork, base: NetSpec) -> dict[str, object]:
    compound, spec = network.compound, network.spec
    coefficients = {name: getattr(compound, name, float("nan")) for name in ("alpha", "beta", "gamma")}
    return coefficients | {
        "model": spec.name, "base": base.name, "direction": network.direction, "level": network.level, "phi": network.phi,
        "width": spec.width, "depth": spec.depth, "resolution_px": spec.resolution,
    }  # fmt: skip
