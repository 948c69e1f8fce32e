"""Augmentation: named, each with a strength, and a pure function of picture and seed.

Nothing here has a state. The seed of a picture follows from the seed of the run, the epoch and the picture's number, so that
a run that goes on after an interruption sees what an unbroken one sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import tensorflow as tf

from effnet_lab.images import Preprocess
from effnet_lab.names import UserError, lookup
from effnet_lab.training.randaugment import randaugment

FLIP, CROP, COLOUR, RANDAUGMENT, CUTOUT, MIXUP = "flip", "crop", "colour", "randaugment", "cutout", "mixup"
AUGMENTATIONS = {  # in the order in which they are applied: usual strength, largest, what it does
    CROP: (0.35, 1.0, "a random part of the picture, its area at least this share, aspect 3/4 to 4/3"),
    FLIP: (0.5, 1.0, "left and right exchanged, with this probability"),
    RANDAUGMENT: (9.0, 10.0, "two of fourteen operations of this magnitude (Cubuk et al., 2019)"),
    COLOUR: (0.3, 1.0, "brightness, contrast and saturation each times a factor of 1 plus or minus this"),
    CUTOUT: (0.4, 1.0, "a square of this share of the side is made grey (DeVries and Taylor, 2017)"),
    MIXUP: (0.2, 10.0, "two pictures and their targets are mixed, the share drawn from Beta(this, this)"),
}
STORED = 1.25  # side of what a random part is cut from / side of the network's input
_ASPECT = (3 / 4, 4 / 3)


def parse_augment(text: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names with their strengths, in the order in which they are applied.

    Parameters
    ----------
    text : str or sequence of str
        As in "flip,crop=0.5"; "none" and None are no augmentation.

    Examples
    --------
    >>> parse_augment("flip,crop=0.5")
    ('crop=0.5', 'flip=0.5')
    """
    names = text.split(",") if isinstance(text, str) else list(text or ())
    chosen = {}
    for name, _, strength in (entry.strip().partition("=") for entry in names if entry not in ("none", "")):
        usual, largest, _what = lookup("augmentation", name, AUGMENTATIONS)
        try:
            chosen[name] = float(strength or usual)
        except ValueError:
            chosen[name] = float("nan")
        if not 0 < chosen[name] <= largest:
            raise UserError(f"The strength of {name} must be > 0 and <= {largest:g}. Got {strength!r}.")
    return tuple(f"{name}={chosen[name]:g}" for name in AUGMENTATIONS if name in chosen)


def strengths(augment: Sequence[str]) -> dict[str, float]:
    """By name, of what `parse_augment` returned."""
    return {name: float(value) for name, _, value in (entry.partition("=") for entry in augment)}


def seed_of(run: tf.Tensor, view: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Seed of one picture, int64 (2,): from the run's, the number of the view, and the picture's own number."""
    start = tf.stack([tf.cast(run, tf.int64), tf.cast(view, tf.int64)])
    return tf.random.experimental.stateless_fold_in(start, tf.cast(index, tf.int64))


def view(
    picture: tf.Tensor,
    aspect: tf.Tensor,
    seed: tf.Tensor,
    side: tuple[int, int],
    augment: dict[str, float],
    grey: float,
) -> tf.Tensor:
    """What the network is shown of one picture: all but mixup, which needs two.

    Parameters
    ----------
    picture : Tensor (height, width, 3)
        Grey levels, integers or float32; as large as the input, or larger where a part is cut from it.
    aspect : Tensor, float32 ()
        Width / height of the photograph, 1 where the picture was not squashed, or is to be shown squashed.
    seed : Tensor, int64 (2,)
        From `seed_of`.
    side : tuple of int
        Height and width of the result.
    augment : dict
        Strength by name.
    grey : float
        What is put where a square is cut out.

    Returns
    -------
    Tensor, float32 (*side, 3)
        0 to 255.
    """
    seeds = {name: tf.random.experimental.stateless_fold_in(seed, i) for i, name in enumerate(AUGMENTATIONS)}
    if CROP in augment:
        picture = _part(picture, aspect, seeds[CROP], side, augment[CROP])
    picture = tf.cast(picture, tf.float32)
    if FLIP in augment:
        turned, upright = tf.random.stateless_uniform((), seeds[FLIP]) < augment[FLIP], picture
        picture = tf.cond(turned, lambda: tf.reverse(upright, [1]), lambda: upright)
    if RANDAUGMENT in augment:
        picture = randaugment(picture, seeds[RANDAUGMENT], augment[RANDAUGMENT])
    if COLOUR in augment:
        picture = _coloured(picture, seeds[COLOUR], augment[COLOUR])
    if CUTOUT in augment:
        picture = _with_hole(picture, seeds[CUTOUT], augment[CUTOUT], grey)
    return tf.ensure_shape(picture, (*side, 3))


def resized(pictures: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A batch of pictures with this height and width; no change where they have it."""
    if tuple(pictures.shape[1:3]) == size:
        return pictures
    return tf.clip_by_value(tf.image.resize(pictures, size, antialias=True), 0.0, 255.0)


def mix(values: Sequence[tf.Tensor], seed: tf.Tensor, strength: float) -> list[tf.Tensor]:
    """Each row of a batch mixed with the next one, the same share in every tensor (Zhang et al., 2017)."""
    n = tf.shape(values[0])[0]
    drawn = tf.random.stateless_gamma(tf.stack([n, 2]), seed, alpha=strength) + 1e-12
    share = drawn[:, 0] / tf.reduce_sum(drawn, axis=1)

    def mixed(value: tf.Tensor) -> tf.Tensor:
        own = tf.reshape(share, tf.concat([[n], tf.ones(value.shape.rank - 1, tf.int32)], axis=0))
        return own * value + (1 - own) * tf.roll(value, -1, axis=0)

    return [mixed(value) for value in values]


def stored(preprocess: Preprocess, augment: Sequence[str]) -> Preprocess:
    """How a picture is kept in the cache: as the network takes it, or larger and whole where a part is cut from it."""
    if CROP not in strengths(augment):
        return preprocess
    height, width = (round(STORED * side) for side in preprocess.size)
    interpolation = "bicubic" if preprocess.interpolation == "bicubic_tf1" else preprocess.interpolation
    return replace(
        preprocess, size_px=height, width_px=None if height == width else width, crop=None, order="crop_first",
        interpolation=interpolation,
    )  # fmt: skip


def _part(picture: tf.Tensor, aspect: tf.Tensor, seed: tf.Tensor, side: tuple[int, int], smallest: float) -> tf.Tensor:
    """A random part, resized with an antialiased linear kernel."""
    drawn = tf.random.stateless_uniform((4,), seed)
    low, high = (tf.math.log(tf.constant(limit, tf.float32)) for limit in _ASPECT)
    area = smallest + (1 - smallest) * drawn[0]
    shape = tf.exp(low + (high - low) * drawn[1]) / aspect * (side[1] / side[0])
    wide = tf.minimum(1.0, tf.sqrt(area * shape))
    tall = tf.minimum(1.0, tf.sqrt(area / shape))
    height, width = (tf.cast(n, tf.float32) for n in tf.unstack(tf.shape(picture)[:2]))
    size = tf.stack([tall * height, wide * width])
    corner = tf.stack([drawn[2] * (1 - tall) * height, drawn[3] * (1 - wide) * width])
    scale = tf.constant(side, tf.float32) / size
    part = tf.raw_ops.ScaleAndTranslate(
        images=picture[tf.newaxis], size=tf.constant(side), scale=scale, translation=-corner * scale,
        kernel_type="triangle", antialias=True,
    )  # fmt: skip
    return tf.clip_by_value(part[0], 0.0, 255.0)


def _coloured(picture: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    factors = tf.random.stateless_uniform((3,), seed, 1 - strength, 1 + strength)
    picture = tf.clip_by_value(picture * factors[0], 0.0, 255.0)
    mean = tf.reduce_mean(picture)
    picture = tf.clip_by_value((picture - mean) * factors[1] + mean, 0.0, 255.0)
    plain = tf.image.rgb_to_grayscale(picture)
    return tf.clip_by_value(plain + (picture - plain) * factors[2], 0.0, 255.0)


def _with_hole(picture: tf.Tensor, seed: tf.Tensor, strength: float, grey: float) -> tf.Tensor:
    """The centre of the square lies anywhere, so part of it may be outside."""
    height, width = tf.unstack(tf.cast(tf.shape(picture)[:2], tf.float32))
    centre = tf.random.stateless_uniform((2,), seed) * tf.stack([height, width])
    half = strength / 2 * tf.minimum(height, width)
    down = tf.abs(tf.range(height) + 0.5 - centre[0]) < half
    across = tf.abs(tf.range(width) + 0.5 - centre[1]) < half
    # channels side by side: to broadcast to three of them is slow
    hole = tf.cast(down, tf.float32)[:, tf.newaxis] * tf.cast(tf.repeat(across, 3), tf.float32)
    rows = tf.reshape(picture, tf.shape(hole))
    return tf.reshape(rows * (1 - hole) + grey * hole, tf.shape(picture))
