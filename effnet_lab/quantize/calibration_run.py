"""Calibration statistics by one call: collected, merged, compared, and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.images import Samples, Source, Stated
from effnet_lab.images.stated import stated_side
from effnet_lab.litert import settle
from effnet_lab.names import UserError
from effnet_lab.quantize import calibration
from effnet_lab.quantize.calibration import Statistics
from effnet_lab.quantize.float_file import Network, float_file, require_float
from effnet_lab.quantize.ranges import Ranging, calibration_images


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """What is known of the ranges after a run."""

    table: pd.DataFrame  # RANGES where two statistics were compared, else one row about the statistics
    statistics: Statistics


def calibrate(
    weights: Network | None = None,
    data: Source | None = None,
    *,
    out: Path | str | None = None,
    split: str | None = None,
    limit: int | None = None,
    merge: Path | str | None = None,
    against: Path | str | None = None,
    method: str = "minmax",
    variant: str | None = None,
    preprocess: Stated = None,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Calibrated:
    """Run a float network once per image and keep what every activation did.

    Parameters
    ----------
    weights : name, path, LoadedModel or Keras model
        Needed with `data`.
    data : name, path, ImageSet or ArraySet
        Images or arrays to run, never evaluation images; without them the statistics in `out` are read.
    out : path, optional
        The .npz file of statistics, which `export` takes.
    split, limit : str, int
        Of a named source or a path; its calibration split by default.
    merge : path, optional
        Statistics of the same network on other images; they are counted before the new ones.
    against : path, optional
        Statistics to compare with, layer by layer.
    method : str
        How ranges follow from statistics, for `against`.
    workers : int, optional
        Interpreters that share the images; by default one for each free processor. The statistics are the same to the bit.
    variant, preprocess, progress
        As for `export`.
    """
    out = None if out is None else Path(out)
    if out is not None and out.suffix != ".npz":
        raise UserError(f"The file of statistics must end in .npz. Got {str(out)!r}.")
    if data is None and out is None:
        raise UserError("There is nothing to read. Give images to run, or a file of statistics.")
    if data is not None and weights is None:
        raise UserError("Collecting statistics needs a network. Name it with --weights.")
    require_float(weights, variant)
    given = {path: Statistics.load(Path(path)) for path in (merge, against) if path}  # a wrong file fails at once
    images = None if data is None else calibration_images(data, split, limit)
    found = (
        Statistics.load(out or Path())
        if images is None
        else _collect(weights, images, variant, preprocess, workers, progress)
    )
    if merge:
        found = calibration.merge(given[merge], found)
    if out is not None and (data is not None or merge):
        found.save(out)
    table = calibration.compare(found, given[against], method) if against else _about(found, out)
    return Calibrated(table=table, statistics=found)


def _collect(
    weights: Network,
    images: Samples,
    variant: str | None,
    preprocess: Stated,
    workers: int | None,
    progress: Callable[..., Iterable[Any]] | None,
) -> Statistics:
    """Statistics of the float network on the images."""
    given = float_file(weights, variant, size_px=stated_side(preprocess))
    info = settle(given.info, preprocess, measures="a calibration", shown=images)
    ranging = Ranging(images=images).fitted(given.content, info)
    ranging.require_size(info.preprocess)
    return ranging.measure(given.content, info.preprocess, progress, workers)


def _about(found: Statistics, out: Path | None) -> pd.DataFrame:
    row = {"file": str(out or ""), "network": found.model, "data": found.data, "split": found.split}
    return pd.DataFrame([row | {"n_images": found.n_images, "n_layers": len(found.layers)}])
