"""The 1,797 handwritten digits that scikit-learn ships, as RGB images of any size."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet_lab.images.bounds import require_memory
from effnet_lab.images.imageset import ImageSet, digest
from effnet_lab.names import UserError

CLASSES = tuple("0123456789")
EVALUATION, CALIBRATION = 0.25, 0.08  # shares of every class; the rest is for training
_SPLIT_SEED = 20_261_121


@cache
def load() -> tuple[NDArray[Any], NDArray[Any]]:
    """Digits as uint8 (1797, 8, 8), ink 0 to 255 on 0, and labels int64 (1797,).

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part), CC BY 4.0.
    """
    from sklearn.datasets import load_digits  # scikit-learn takes 1.5 s to import

    bunch = load_digits()
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


@cache
def members(split: str) -> NDArray[Any]:
    """Indices of the digits of one split, ascending; splits are disjoint and stratified by class."""
    _, labels = load()
    rng = np.random.default_rng(_SPLIT_SEED)
    parts: dict[str, list[NDArray[Any]]] = {"train": [], "calibration": [], "evaluation": []}
    for label in range(len(CLASSES)):
        indices = rng.permutation(np.flatnonzero(labels == label))
        first, second = (np.array([EVALUATION, EVALUATION + CALIBRATION]) * len(indices)).astype(int)
        for name, part in zip(("evaluation", "calibration", "train"), np.split(indices, [first, second]), strict=True):
            parts[name].append(part)
    return np.sort(np.concatenate(parts[split]))


def open_digits(split: str, *, side_px: int = 32) -> ImageSet:
    """White ink on black, upscaled with Pillow's bicubic kernel."""
    if side_px < 8:
        raise UserError(f"digits: side_px must be >= 8, the size they were scanned at. Got {side_px}.")
    require_memory(f"digits: side_px={side_px}", 20 * side_px**2)
    pixels, labels = load()
    chosen = members(split)

    def read(i: int) -> NDArray[Any]:
        grey = Image.fromarray(pixels[chosen[i]]).resize((side_px, side_px), Image.Resampling.BICUBIC)
        return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)

    return ImageSet(
        name="digits" if side_px == 32 else f"digits?side_px={side_px}",
        split=split,
        classes=CLASSES,
        labels=labels[chosen],
        read=read,
        fingerprint=digest(b"digits 1", pixels[chosen].tobytes(), labels[chosen].tobytes(), str(side_px).encode()),
    )
