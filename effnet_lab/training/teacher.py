"""A network whose answers another one learns from: weights, a Keras model or a .tflite file of anybody's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from effnet_lab.images import Preprocess, Stated
from effnet_lab.litert import ModelInfo, Runner, read_info, settle
from effnet_lab.models import load_model
from effnet_lab.names import UserError
from effnet_lab.training.augment import resized
from effnet_lab.training.class_order import head_order

_LEAST = 1e-6  # probability whose logarithm is taken, at least


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """Logits for pictures that have been augmented already, in the order of the pupil's classes."""

    name: str
    preprocess: Preprocess  # its own
    classes: tuple[str, ...]
    network: Any  # a Keras model, or the `Runner` of a file
    order: list[int]  # its output for each of the pupil's classes

    def larger_of(self, preprocess: Preprocess) -> Preprocess:
        """The pupil's preprocessing, at the teacher's size where that is larger: at it the pictures are augmented."""
        height, width = (max(pair) for pair in zip(preprocess.size, self.preprocess.size, strict=True))
        return replace(preprocess, size_px=height, width_px=None if height == width else width)

    def answers(self, pictures: tf.Tensor) -> tf.Tensor:
        """Logits (n, classes) of grey levels."""
        batch = (resized(pictures, self.preprocess.size) - self.preprocess.mean) / self.preprocess.std
        if isinstance(self.network, Runner):
            scores = tf.numpy_function(self.network.predict, [batch], tf.float32, stateful=False)
        else:
            scores = tf.cast(self.network(batch, training=False), tf.float32)
        scores = tf.ensure_shape(scores, (None, len(self.classes)))
        sums_to_one = tf.reduce_all(tf.abs(tf.reduce_sum(scores, axis=1) - 1) < 0.02)
        probabilities = sums_to_one & tf.reduce_all(scores >= 0)
        scores = tf.where(probabilities, tf.math.log(tf.maximum(scores, _LEAST)), scores)
        return tf.gather(scores, self.order, axis=1)


def open_teacher(network: Any, classes: tuple[str, ...], stated: Stated = None) -> Teacher:
    """Open anything that answers.

    Parameters
    ----------
    network : name, path, LoadedModel or Keras model
    classes : tuple of str
        Of the pupil; the teacher must tell the same apart, in whatever order.
    stated : StatedInput or Preprocess, optional
        What the teacher takes, where it is not known.

    Raises
    ------
    UserError
        If it has other classes, or nothing says which values it takes.
    """
    own: tuple[ModelInfo, Any]
    if isinstance(network, str | Path) and Path(network).suffix == ".tflite":
        own = read_info(network), Runner(network)
    else:
        model = load_model(network)
        own = (
            ModelInfo(
                model=model.name, scheme="float32", backend="keras", preprocess=model.preprocess, classes=model.classes
            ),
            model.keras,
        )
    info = settle(own[0], stated, measures="training")
    if info.preprocess is None or (info.preprocess.channels, info.preprocess.layout) != ("RGB", "channels_last"):
        raise UserError(f"The teacher {info.model} takes no RGB pictures. Name another one.")
    has = info.classes or _numbered(own[1])
    order = head_order(has, classes)
    if order is None:
        raise UserError(
            f"The teacher {info.model} tells {len(has)} classes apart ({', '.join(has)[:60]}), and the images show "
            f"{len(classes)} ({', '.join(classes)[:60]}). Train it on these images first, with --from."
        )
    return Teacher(name=info.model, preprocess=info.preprocess, classes=has, network=own[1], order=order)


def _numbered(network: Any) -> tuple[str, ...]:
    shape = network.outputs[0].shape
    return tuple(str(i) for i in range(int(shape[-1])))
