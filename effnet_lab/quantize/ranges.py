"""The ranges that static schemes need: from calibration images, or from statistics that were collected before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from effnet_lab.images import ImageSet, open_images
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.graph import read_graph
from effnet_lab.litert.metadata import CalibrationSet
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.calibration import Statistics, collect
from effnet_lab.quantize.range_choice import METHODS
from effnet_lab.quantize.schemes import CONVERTER

METHOD = "minmax"  # how a range follows from the statistics, unless told otherwise; the converter knows no other
BLURRED = 4  # images this many times smaller than the input are not what the network will see


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranging:
    """What `export` calibrates with."""

    images: ImageSet | None = None  # never the evaluation split
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

    def require_size(self, preprocess: Preprocess) -> None:
        """Refuse images that are far smaller than the network's input: only the first is looked at."""
        if self.images is None:
            return
        if len(self.images) == 0:
            raise UserError(f"{self.images.name} holds no calibration image. Give another source with --calibration.")
        height, width = self.images.read(0).shape[:2]
        if BLURRED * min(height, width) < preprocess.size_px:
            raise UserError(
                f"The images of {self.images.name} are {width} x {height} px, the network takes {preprocess.size_px} px. "
                f"Calibrate with images of at least {math.ceil(preprocess.size_px / BLURRED)} px."
            )

    def measure(
        self, float_content: bytes, preprocess: Preprocess, progress: Callable[..., Iterable] | None = None
    ) -> Statistics:
        """Statistics of the float file; for the converter too, which does not say when an activation is not a number."""
        if self.collected:
            given = self.statistics
            statistics = Statistics.load(given) if isinstance(given, Path) else given
            statistics.require_network(read_graph(float_content))
        else:
            statistics = collect(float_content, self.images, preprocess, progress=progress)
        if isinstance(self.statistics, Path) and not self.collected:
            statistics.store(self.statistics)
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


def calibration_images(source: str | Path | ImageSet, split: str = "calibration", limit: int | None = None) -> ImageSet:
    """Images to calibrate with, by name, path or as they are; not those that measure accuracy."""
    images = source if isinstance(source, ImageSet) else open_images(source, split=split, limit=limit)
    images.require_calibration()
    return images
