"""What augmentation makes of a picture, to look at before a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.training.augment import CROP, MIXUP, mix, parse_augment, seed_of, stored, strengths, view


def augmented_pictures(
    images: ImageSet, augment: str | Sequence[str], size_px: int, *, index: int = 0, n: int = 5, seed: int = 0
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """One picture as it is, and `n` views of it for each augmentation alone and for all together; and what each is.

    Parameters
    ----------
    images : ImageSet
    augment : str or sequence of str
        See `parse_augment`.
    size_px : int
        Side of the network's input.
    index : int
        Which picture.
    n, seed : int

    Returns
    -------
    list of ndarray, uint8 (size_px, size_px, 3)
    list of str
    """
    chosen = parse_augment(augment)
    preprocess = Preprocess(size_px=size_px, crop=None, interpolation="bilinear")
    whole = preprocess.resize(images.read(index))
    other = preprocess.resize(images.read((index + 1) % len(images)))
    pictures, captions = [whole], ["as it is"]
    groups = {name: (name,) for name in chosen} | ({"all of them": chosen} if len(chosen) > 1 else {})
    for caption, group in groups.items():
        for number in range(n):
            pictures.append(_one(images, preprocess, group, (index, number, seed), (whole, other)))
            captions.append(caption)
    return pictures, captions


def _one(
    images: ImageSet,
    preprocess: Preprocess,
    group: Sequence[str],
    position: tuple[int, int, int],
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    index, number, seed = position
    powers, drawn = strengths(group), seed_of(seed, number, index)
    source = stored(preprocess, group).resize(images.read(index)) if CROP in powers else pair[0]
    grey = float(np.mean(preprocess.mean))
    seen = view(tf.cast(source, tf.float32), tf.constant(1.0), drawn, preprocess.size, powers, grey)
    if MIXUP in powers:
        both = tf.stack([seen, tf.cast(pair[1], tf.float32)])
        seen = mix([both], drawn, powers[MIXUP])[0][0]
    return np.asarray(np.rint(seen), np.uint8)
