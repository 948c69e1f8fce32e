"""Images and inputs of other kinds from every source, their splits, and what happens to them before a network sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.images.checks import DataCheck, check_data
    from effnet_lab.images.imageset import SPLITS, ImageSet
    from effnet_lab.images.inputs import ArraySet
    from effnet_lab.images.labels import imagenet_synsets, read_labels
    from effnet_lab.images.preprocess import ORIGINAL, Preprocess
    from effnet_lab.images.samples import Samples
    from effnet_lab.images.sources import Source, open_images, open_samples
    from effnet_lab.images.stated import Stated, StatedInput

__all__ = [
    "ORIGINAL",
    "SPLITS",
    "ArraySet",
    "DataCheck",
    "ImageSet",
    "Preprocess",
    "Samples",
    "Source",
    "Stated",
    "StatedInput",
    "check_data",
    "imagenet_synsets",
    "open_images",
    "open_samples",
    "read_labels",
]
offer(
    __name__,
    {
        "checks": ("DataCheck", "check_data"),
        "imageset": ("SPLITS", "ImageSet"),
        "inputs": ("ArraySet",),
        "labels": ("imagenet_synsets", "read_labels"),
        "preprocess": ("ORIGINAL", "Preprocess"),
        "samples": ("Samples",),
        "sources": ("Source", "open_images", "open_samples"),
        "stated": ("Stated", "StatedInput"),
    },
)
