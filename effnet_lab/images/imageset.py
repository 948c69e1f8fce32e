"""Images that are read one at a time, and what they show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.names import UserError

SPLITS = ("train", "calibration", "evaluation")  # disjoint: calibration is never training nor evaluation


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images of one split of one source; nothing is decoded or rendered before `read` is called."""

    counted: ClassVar[str] = "images"  # what a sentence calls them
    name: str
    split: str
    classes: tuple[str, ...]  # empty: nobody has said what the images show
    labels: NDArray[Any]  # int64 (n,), indices into classes; zeros where there are none
    read: Callable[[int], NDArray[Any]]  # index -> uint8 (h, w, 3) RGB; safe to call from several threads
    fingerprint: str  # 16 hex digits of a SHA-256 over what determines the pixels and the labels
    positional: bool = False  # labels are outputs of a network by number (ImageNet), whatever the classes are called
    mixed: bool = False  # all images of a source that says which of them are for evaluation
    name_of: Callable[[int], str] = str  # index -> what a person finds the image by: its path, or its number

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether somebody has said what the images show."""
        return bool(self.classes)

    def sample(self, index: int, preprocess: Preprocess | None) -> tuple[NDArray[Any], ...]:
        """One image as a network with one input takes it, without the batch axis."""
        if preprocess is None:
            raise UserError(f"{self.name} holds pictures, and the network takes none. Give its inputs as .npy or .npz.")
        return (preprocess(self.read(index)),)

    def samples(self, preprocess: Preprocess | None) -> Iterator[tuple[NDArray[Any], ...]]:
        """Every image as the network takes it, in order."""
        return (self.sample(i, preprocess) for i in range(len(self)))

    def unlabelled(self) -> ImageSet:
        """The same images, without what they show."""
        return replace(self, classes=(), labels=np.zeros(len(self), np.int64), positional=False)

    def take(self, limit: int | None) -> ImageSet:
        """The same `limit` images every time, spread evenly over the classes; None takes all, in their order."""
        require_limit(limit)
        if limit is None or limit >= len(self):
            return self
        return self.pick(spread(self.labels, limit))

    def pick(self, indices: NDArray[Any]) -> ImageSet:
        """The images at these indices, in this order."""
        indices = np.asarray(indices, dtype=np.int64)
        read, name_of = self.read, self.name_of
        return replace(
            self,
            labels=self.labels[indices],
            read=lambda i: read(int(indices[i])),
            name_of=lambda i: name_of(int(indices[i])),
            fingerprint=digest(self.fingerprint.encode(), indices.tobytes()),
        )

    def require_calibration(self) -> None:
        """Refuse to calibrate with images that measure accuracy."""
        if self.split == "evaluation" or self.mixed:
            raise UserError(
                f"Calibration images must not be evaluation images. Got {self.name}, split '{self.split}'; "
                "its calibration split has others."
            )

    def batches(self, preprocess: Preprocess, size: int = 32) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Stream float32 (b, s, s, 3) and int64 (b,), in order; the last batch may be shorter."""
        for start in range(0, len(self), size):
            indices = range(start, min(start + size, len(self)))
            yield np.stack([preprocess(self.read(i)) for i in indices]), self.labels[start : start + size]


def require_limit(limit: int | None) -> None:
    """Refuse a limit that leaves nothing."""
    if limit is not None and limit < 1:
        raise UserError(f"limit must be >= 1 image, or None for all of them. Got {limit}.")


def spread(labels: NDArray[Any], limit: int) -> NDArray[Any]:
    """Indices of `limit` images: class by class in turn, evenly spaced within each class.

    Any prefix is balanced too, which matters to calibrations that depend on the order.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quota = np.zeros(len(members), np.int64)
    sizes = np.array([len(indices) for indices in members])
    while (missing := limit - quota.sum()) > 0:
        hungry = np.flatnonzero(quota < sizes)[:missing]
        quota[hungry] += 1
    picked = [indices[np.arange(n) * len(indices) // n] for indices, n in zip(members, quota, strict=True) if n]
    turns = [(turn, label, index) for label, chosen in enumerate(picked) for turn, index in enumerate(chosen)]
    return np.array([index for _turn, _label, index in sorted(turns)], dtype=np.int64)


def digest(*parts: bytes | memoryview) -> str:
    """16 hex digits of the SHA-256 over the parts, each with its length."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()[:16]
