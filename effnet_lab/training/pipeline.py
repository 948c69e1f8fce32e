"""Images to batches in one `tf.data` pipeline: decode, preprocessing, cache, augmentation, a teacher's answers, mixing.

What a picture looks like follows from the seed of the run, the epoch and its number alone, and the order of an epoch from
the seed and the epoch: the position in the data is the number of the epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.training.augment import MIXUP, mix, resized, seed_of, stored, strengths, view
from effnet_lab.training.kept_views import CACHE_BYTES, KeptViews, room_for
from effnet_lab.training.settings import Settings
from effnet_lab.training.teacher import Teacher

_THREADS = max(2, min(8, os.cpu_count() or 1))  # that decode and resize
_AHEAD = 2  # batches that are ready before they are needed
VALIDATION_BATCH = 256


class Shelf:
    """Resized pictures, each read once: in memory, or in a file without a name where there are too many."""

    def __init__(self, images: ImageSet, preprocess: Preprocess, most_bytes: int = CACHE_BYTES) -> None:
        first = preprocess.resize(images.read(0))
        self._images, self._preprocess = images, preprocess
        shape = (len(images), *first.shape)
        self._pictures = room_for(shape, first.dtype, most_bytes)
        self._aspects = np.ones(len(images), np.float32)
        self._filled = np.zeros(len(images), bool)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="effnet-lab-training")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""
        return self._pictures.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Integers, or float32 where the interpolation does not round."""
        return self._pictures.dtype

    def take(self, indices: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pictures, and width / height of what they were made from."""
        missing = [int(i) for i in indices if not self._filled[i]]
        list(self._pool.map(self._fill, missing))
        return self._pictures[indices], self._aspects[indices]

    def _fill(self, i: int) -> None:
        image = self._images.read(i)
        self._pictures[i] = self._preprocess.resize(image)
        self._aspects[i] = image.shape[1] / image.shape[0]
        self._filled[i] = True


class Order:
    """Which pictures make up each batch of an epoch; shuffled anew in every epoch.

    Several replicas take equal parts of every batch: of the last one, up to `replicas` - 1 pictures wait for another epoch.
    """

    def __init__(self, n: int, batch: int, seed: int | None, replicas: int = 1) -> None:
        order = tf.data.Dataset.range(n)
        self._shuffled = order if seed is None else order.shuffle(n, seed=seed)
        iter(self._shuffled)  # Keras drops the first order, and so the weights that come with the package were trained
        self._n, self._shown, self._batch, self._drawn = n, n - n % replicas, batch, 0
        self._indices = np.arange(n)
        self.epoch = 0

    def begin(self, epoch: int) -> None:
        """Go to this epoch; those before it are drawn and dropped."""
        while self._drawn <= epoch:
            if self._drawn == epoch:
                self._indices = np.fromiter(self._shuffled.as_numpy_iterator(), np.int64, count=self._n)
            else:
                iter(self._shuffled)
            self._drawn += 1
        self.epoch = epoch

    def batches(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Number of the epoch, and the pictures of each batch."""
        epoch, shown = self.epoch, self._indices[: self._shown]
        for start in range(0, self._shown, self._batch):
            yield epoch, shown[start : start + self._batch]

    @property
    def n_images(self) -> int:
        """Pictures that an epoch shows."""
        return self._shown

    def __len__(self) -> int:
        return -(-self._shown // self._batch)


def training_data(
    images: ImageSet, preprocess: Preprocess, settings: Settings, teacher: Teacher | None = None, replicas: int = 1
) -> tuple[tf.data.Dataset, Order]:
    """Batches of an epoch, normalised float32 and targets, and the order, which has to be told which epoch it is."""
    order = Order(len(images), settings.batch, settings.seed, replicas)
    augment = strengths(settings.augment)
    work = preprocess if teacher is None else teacher.larger_of(preprocess)
    shelf = Shelf(images, stored(work, settings.augment))
    labels = tf.one_hot(images.labels, len(images.classes))

    taught = 0 if teacher is None else len(images.classes)
    kept = KeptViews(settings.views, len(images), (*preprocess.size, 3), taught) if settings.views else None

    def look(
        round_: tf.Tensor, indices: tf.Tensor, pictures: tf.Tensor, aspects: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The view of each picture at the network's size, and what the teacher says of it."""
        if augment.keys() - {MIXUP}:
            aspects = tf.ones_like(aspects) if preprocess.crop is None else aspects
            grey = float(np.mean(preprocess.mean))
            seen = tf.map_fn(
                lambda one: view(one[0], one[1], seed_of(settings.seed, round_, one[2]), work.size, augment, grey),
                (pictures, aspects, indices), fn_output_signature=tf.float32,
            )  # fmt: skip
        else:
            seen = tf.cast(pictures, tf.float32)
        answers = tf.zeros((tf.shape(seen)[0], 0)) if teacher is None else teacher.answers(seen)
        return resized(seen, preprocess.size), answers

    def finish(epoch: tf.Tensor, indices: tf.Tensor, pictures: tf.Tensor, aspects: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if kept is None:
            seen, answers = look(epoch, indices, pictures, aspects)
        else:
            round_ = epoch % settings.views
            seen, answers = kept.take(round_, indices, lambda: look(round_, indices, pictures, aspects))
        targets = tf.concat([tf.gather(labels, indices), answers], axis=1)
        if MIXUP in augment:
            seed = seed_of(settings.seed + 1, epoch, indices[0])
            seen, targets = mix([seen, targets], seed, augment[MIXUP])
        return (seen - preprocess.mean) / preprocess.std, targets

    return _assembled(order, shelf, finish), order


def validation_data(images: ImageSet, preprocess: Preprocess, *, taught: bool = False) -> tf.data.Dataset:
    """Batches in order, as the network will take them; with a teacher, the labels stand in for its answers."""
    shelf = Shelf(images, preprocess)
    labels = tf.one_hot(images.labels, len(images.classes))

    def finish(_epoch: tf.Tensor, indices: tf.Tensor, pictures: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        targets = tf.gather(labels, indices)
        pixels = (tf.cast(pictures, tf.float32) - preprocess.mean) / preprocess.std
        return pixels, tf.concat([targets, targets], axis=1) if taught else targets

    return _assembled(Order(len(images), VALIDATION_BATCH, None), shelf, finish)


def _assembled(order: Order, shelf: Shelf, finish: Any) -> tf.data.Dataset:
    signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(order.batches, output_signature=signature)

    def load(epoch: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # told to be without a state: else deterministic TensorFlow would run nothing beside it
        pictures, aspects = tf.numpy_function(shelf.take, [indices], [shelf.dtype, np.float32], stateful=False)
        pictures.set_shape((None, *shelf.shape))
        aspects.set_shape((None,))
        return epoch, indices, pictures, aspects

    data = data.map(load).map(finish).prefetch(_AHEAD)
    return data.apply(tf.data.experimental.assert_cardinality(len(order)))
