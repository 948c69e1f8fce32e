"""The ranges that static schemes need: from calibration images, or from statistics that were collected before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from effnet_lab.images import ArraySet, ImageSet, Samples, Source, open_samples
from effnet_lab.images.inputs import SUFFIXES
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.graph import read_graph
from effnet_lab.litert.metadata import CalibrationSet, ModelInfo
from effnet_lab.litert.settle import fit_samples
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.calibration import Statistics, collect
from effnet_lab.quantize.range_choice import METHODS
from effnet_lab.quantize.schemes import CONVERTER

METHOD = "minmax"  # how a range follows from the statistics, unless told otherwise; the converter knows no other
BLURRED = 4  # images this many times smaller than the input are not what the network will see


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranging:
    """What `export` calibrates with."""

    images: Samples | None = None  # never the evaluation split
    statistics: Statistics | Path | None = None  # of this very network; a path is read if it is there, else written
    method: str = METHOD  # see `Statistics.ranges`

    def __post_init__(self) -> None:
        lookup("calibration method", self.method, METHODS)

    @property
    def collected(self) -> bool:
        """Whether there are statistics already."""
        return self.statistics is not None and (not isinstance(self.statistics, Path) or self.statistics.exists())

    def require_images(self, what: str) -> None:
        """Refuse to calibrate without images, or with those that measure accuracy."""
        if self.images is None:
            raise UserError(f"{what} needs calibration images. Name them with --calibration.")
        self.images.require_calibration()

    def fitted(self, float_content: bytes, info: ModelInfo) -> Ranging:
        """With the samples in the form that this network takes."""
        if self.images is None:
            return self
        return replace(self, images=as_taken(self.images, float_content, info))

    def require_size(self, preprocess: Preprocess | None) -> None:
        """Refuse images that are far smaller than the network's input: only the first is looked at."""
        if preprocess is None or not isinstance(self.images, ImageSet):
            return
        if len(self.images) == 0:
            raise UserError(f"{self.images.name} has no calibration images. Give another source with --calibration.")
        height, width = self.images.read(0).shape[:2]
        if BLURRED * min(height, width) < preprocess.size_px:
            raise UserError(
                f"The images of {self.images.name} are {width} x {height} px, the network takes {preprocess.size_px} px. "
                f"Calibrate with images of at least {math.ceil(preprocess.size_px / BLURRED)} px."
            )

    def measure(
        self, float_content: bytes, preprocess: Preprocess | None, progress: Callable[..., Iterable[Any]] | None = None,
        workers: int | None = None,
    ) -> Statistics:  # fmt: skip
        """Statistics of the float file; for the converter too, which does not say when an activation is not a number."""
        given = self.statistics
        if given is not None and self.collected:
            statistics = Statistics.load(given) if isinstance(given, Path) else given
            statistics.require_network(read_graph(float_content))
            return statistics
        if self.images is None:
            raise UserError("There are neither calibration images nor statistics. Name images with --calibration.")
        statistics = collect(float_content, self.images, preprocess, workers=workers, progress=progress)
        if isinstance(given, Path):
            statistics.save(given)
        return statistics

    def record(self, statistics: Statistics, backend: str) -> CalibrationSet:
        """What fixed the ranges, for the file's metadata."""
        images, method = self.images, METHOD if backend == CONVERTER else self.method
        if images is not None and (backend == CONVERTER or not self.collected):
            return CalibrationSet(
                name=images.name,
                split=images.split,
                fingerprint=images.fingerprint,
                n_images=len(images),
                method=method,
            )
        return CalibrationSet(
            name=statistics.data,
            split=statistics.split,
            fingerprint=statistics.fingerprint,
            n_images=statistics.n_images,
            method=method,
        )


def as_taken(samples: Samples, float_content: bytes, info: ModelInfo) -> Samples:
    """Samples in the form that a network takes."""
    graph = read_graph(float_content)
    if isinstance(samples, ArraySet):
        return fit_samples(samples, graph, info)
    return fit_samples(samples, graph, info) if isinstance(samples, ImageSet) else samples


def calibration_images(source: Source, split: str | None = None, limit: int | None = None) -> Samples:
    """Samples to calibrate with, by name, path or as they are; not those that measure accuracy.

    Of named images and of paths the calibration split by default; arrays have no splits.
    """
    if not isinstance(source, str | Path):
        source.require_calibration()
        return source
    arrays = Path(str(source).partition("?")[0]).suffix.lower() in SUFFIXES
    images = open_samples(source, split=split if arrays else split or "calibration", limit=limit)
    images.require_calibration()
    return images
