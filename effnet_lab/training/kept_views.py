"""Augmented pictures that come again, with a teacher's answers to them: made in the first pass over the views, then kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

CACHE_BYTES = 2 * 2**30  # of pictures of one kind in memory, at most; more of them lie in a temporary file


def room_for(shape: tuple[int, ...], dtype: DTypeLike, most_bytes: int = CACHE_BYTES) -> NDArray[Any]:
    """An array of zeros in memory, whose pages are taken when they are written, or in a file without a name."""
    if np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)) <= most_bytes:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the mapping outlives it
        return np.memmap(file, dtype, "w+", shape=shape)


class KeptViews:
    """Pictures in whole grey levels, whether they are kept or made anew: a resumed run makes them again, and is the same.

    Parameters
    ----------
    views, n : int
        Views, and pictures in each.
    shape : tuple of int
        Of one picture.
    answers : int
        Numbers that a teacher gives to each; 0 without one.
    """

    def __init__(self, views: int, n: int, shape: tuple[int, ...], answers: int) -> None:
        self._pictures = room_for((views, n, *shape), np.uint8)
        self._answers = np.zeros((views, n, answers), np.float32)
        self._there = np.zeros((views, n), bool)

    def take(
        self, view: tf.Tensor, indices: tf.Tensor, make: Callable[[], tuple[tf.Tensor, tf.Tensor]]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Pictures, float32, and answers of a batch; `make` gives those that are not there."""
        complete, pictures, answers = tf.numpy_function(
            self._find, [view, indices], [tf.bool, tf.uint8, tf.float32], stateful=False
        )
        complete.set_shape(())

        def anew() -> tuple[tf.Tensor, tf.Tensor]:
            made, answered = make()
            whole = tf.cast(tf.round(made), tf.uint8)
            kept = tf.numpy_function(
                self._keep, [view, indices, whole, answered], [tf.uint8, tf.float32], stateful=False
            )
            return kept[0], kept[1]

        pictures, answers = tf.cond(complete, lambda: (pictures, answers), anew)
        pictures.set_shape((None, *self._pictures.shape[2:]))
        answers.set_shape((None, self._answers.shape[2]))
        return tf.cast(pictures, tf.float32), answers

    def _find(self, view: Any, indices: NDArray[Any]) -> tuple[Any, NDArray[Any], NDArray[Any]]:
        if not self._there[view, indices].all():
            return np.False_, self._pictures[view, :0], self._answers[view, :0]
        return np.True_, self._pictures[view, indices], self._answers[view, indices]

    def _keep(
        self, view: Any, indices: NDArray[Any], pictures: NDArray[Any], answers: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        self._pictures[view, indices], self._answers[view, indices] = pictures, answers
        self._there[view, indices] = True
        return pictures, answers
