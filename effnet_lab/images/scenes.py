"""Handwritten digits, scaled, rotated and tinted, over crops of photographs: any number, any resolution.

A scene is drawn from (seed, split, index) alone and its geometry is in units of the image side, so scene 7 shows the
same thing at 32 and at 320 px. Splits share neither a digit nor a column of a photograph.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet_lab.images import digits
from effnet_lab.images.bounds import require_memory
from effnet_lab.images.imageset import SPLITS, ImageSet, digest
from effnet_lab.names import UserError

SIDE_PX = 96
COUNTS = {"train": 24_000, "calibration": 500, "evaluation": 2_000}  # images unless told otherwise
COLUMNS = {"train": (0, 320), "calibration": (320, 470), "evaluation": (470, 640)}  # of both photographs, px


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How hard the scenes are; the defaults spread 32 px from 96 px networks."""

    scale: tuple[float, float] = (0.3, 0.95)  # side of the digit's cell / side of the image
    rotation: float = 12.0  # degrees, either way
    stretch: float = 0.1  # log of the width / height of the digit, either way
    contrast: tuple[float, float] = (90.0, 180.0)  # grey levels between the ink and the mean of what it covers
    tint: float = 40.0  # grey levels that a channel may leave the grey of the ink
    opacity: tuple[float, float] = (0.85, 1.0)  # of the ink
    crop_px: tuple[float, float] = (70.0, 150.0)  # side of the background's crop from the photograph
    clutter: tuple[float, float] = (0.1, 0.8)  # how much of the background's own contrast is left


LOOK = Look()
_BYTES_PER_PIXEL = 120  # while a scene is drawn: a few copies in float32, and its mask
_KEPT_BYTES = 64 << 20  # a set of at most so many is kept as it is read: several networks are asked about it in turn
_BYTES_PER_SCENE = 200  # of the set: which digit, its label, and its pixels for the fingerprint


@cache
def photographs() -> tuple[NDArray[Any], ...]:
    """The two photographs that scikit-learn ships, uint8 (427, 640, 3): china.jpg and flower.jpg, CC BY 2.0."""
    from sklearn.datasets import load_sample_images  # scikit-learn takes 1.5 s to import

    return tuple(load_sample_images().images)


@cache
def _strips(split: str) -> tuple[Image.Image, ...]:
    first, last = COLUMNS[split]
    return tuple(Image.fromarray(np.ascontiguousarray(photo[:, first:last])) for photo in photographs())


def digit_indices(split: str, n: int, seed: int) -> NDArray[Any]:
    """Digit of every scene, int64 (n,): the split's digits in one random order after another, so all are used alike."""
    pool = digits.members(split)
    rounds = -(-n // len(pool))
    return np.concatenate([_rng(seed, split, turn, 0).permutation(pool) for turn in range(rounds)])[:n]


def render(index: int, digit: NDArray[Any], split: str, seed: int, side_px: int, look: Look = LOOK) -> NDArray[Any]:
    """Draw one scene.

    Parameters
    ----------
    index : int
        Number of the scene in its split.
    digit : ndarray of shape (8, 8), uint8
        Ink, 0 to 255.
    split : str
        Whose columns of the photographs may be seen.
    seed : int
        Of the whole set.
    side_px : int
        Side of the image.
    look : Look
        Ranges to draw from.

    Returns
    -------
    ndarray of shape (side_px, side_px, 3), uint8
    """
    rng = _rng(seed, split, index, 1)
    place = _place(rng, look)
    background, mean = _background(rng, split, side_px, place, look)
    ink = _ink(rng, mean, look)
    mask = _mask(place, digit, side_px)[:, :, None] * np.float32(rng.uniform(*look.opacity))
    return np.asarray(np.round(background + mask * (ink - background)).clip(0, 255), np.uint8)


def open_scenes(
    split: str, *, side_px: int = SIDE_PX, n: int | None = None, seed: int = 0, look: Look = LOOK
) -> ImageSet:
    """`n` scenes of one split, rendered when they are first read (about 0.6 ms each at 96 px); a set of few is kept."""
    n = COUNTS[split] if n is None else n
    for what, value, least in (("side_px", side_px, 8), ("n", n, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"scenes: {what} must be >= {least}. Got {value}.")
    require_memory(f"scenes: side_px={side_px}", _BYTES_PER_PIXEL * side_px**2)
    require_memory(f"scenes: n={n}", _BYTES_PER_SCENE * n)
    pixels, labels = digits.load()
    chosen = digit_indices(split, n, seed)

    def read(i: int) -> NDArray[Any]:
        scene = render(range(n)[i], pixels[chosen[i]], split, seed, side_px, look)
        scene.setflags(write=False)
        return scene

    sources = (pixels[chosen].tobytes(), *(strip.tobytes() for strip in _strips(split)))
    return ImageSet(
        name=_name(split, side_px=side_px, n=n, seed=seed),
        split=split,
        classes=digits.CLASSES,
        labels=labels[chosen],
        read=cache(read) if 3 * side_px**2 * n <= _KEPT_BYTES else read,
        fingerprint=digest(b"scenes 1", *sources, repr((split, n, seed, side_px, astuple(look))).encode()),
    )


def _name(split: str, **chosen: int) -> str:
    """Name under which `open_images` gives the same set."""
    usual = {"side_px": SIDE_PX, "n": COUNTS[split], "seed": 0}
    changed = "&".join(f"{key}={value}" for key, value in chosen.items() if value != usual[key])
    return f"scenes?{changed}" if changed else "scenes"


def _rng(seed: int, split: str, index: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, SPLITS.index(split), index, stream]))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the digit lies: centre and size of its cell in units of the image side, angle in radians."""

    x: float
    y: float
    width: float
    height: float
    angle: float


def _place(rng: np.random.Generator, look: Look) -> _Place:
    """Anywhere, as long as the cell lies within the image before it is turned and stretched."""
    scale = rng.uniform(*look.scale)
    stretch = math.exp(rng.uniform(-look.stretch, look.stretch) / 2)
    x, y = 0.5 + (1 - scale) * rng.uniform(-0.5, 0.5, size=2)
    return _Place(x, y, scale * stretch, scale / stretch, math.radians(rng.uniform(-look.rotation, look.rotation)))


def _background(
    rng: np.random.Generator, split: str, side_px: int, place: _Place, look: Look
) -> tuple[NDArray[Any], float]:
    """Random square of a photograph, float32 (side_px, side_px, 3), and its mean grey level where the digit lies."""
    strips = _strips(split)
    strip = strips[rng.integers(len(strips))]
    side = rng.uniform(*look.crop_px)
    left, top = rng.uniform(0, strip.width - side), rng.uniform(0, strip.height - side)
    box = (left, top, left + side, top + side)
    pixels = np.asarray(strip.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box), dtype=np.float32)
    centre, reach = np.array([left + place.x * side, top + place.y * side]), 0.4 * place.height * side
    under = (*(centre - reach).clip(0), *(centre + reach).clip(None, strip.size))
    mean = np.asarray(strip.resize((1, 1), Image.Resampling.BOX, box=under), dtype=np.float32)
    return mean + np.float32(rng.uniform(*look.clutter)) * (pixels - mean), float(mean.mean())


def _ink(rng: np.random.Generator, mean: float, look: Look) -> NDArray[Any]:
    """Colour, float32 (3,): lighter or darker than the background, rarely towards the nearer end of the scale."""
    contrast = rng.uniform(*look.contrast)
    lighter = rng.random() < np.clip((255 - mean - contrast) / max(255 - 2 * contrast, 1.0), 0, 1)
    grey = mean + contrast if lighter else mean - contrast
    return np.clip(grey + rng.uniform(-look.tint, look.tint, size=3), 0, 255).astype(np.float32)


def _mask(place: _Place, digit: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Ink coverage, float32 (side_px, side_px), 0 to 1."""
    # The digit is first resized to the size it will have, so that the rotation neither shrinks nor aliases it. A margin
    # of one scanned pixel around its eight lets the strokes fade out.
    cell = max(10, round(place.height * side_px * 10 / 8))
    padded = Image.fromarray(np.pad(digit, 1)).resize((cell, cell), Image.Resampling.BICUBIC)
    unit = cell * 8 / 10 / side_px
    a, b = math.cos(place.angle) * unit / place.width, math.sin(place.angle) * unit / place.width
    d, e = -math.sin(place.angle) * unit / place.height, math.cos(place.angle) * unit / place.height
    cx, cy = place.x * side_px, place.y * side_px
    affine = (a, b, cell / 2 - a * cx - b * cy, d, e, cell / 2 - d * cx - e * cy)
    turned = padded.transform((side_px, side_px), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.float32) / np.float32(255)
