"""What is minimised: the labels alone, or with a teacher's answers beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from effnet_lab.training.settings import Settings


def make_loss(settings: Settings, classes: int, taught: bool) -> Any:
    """Cross-entropy of logits; with a teacher, targets are its logits (n, classes) behind those of the labels.

    The teacher's part is the Kullback-Leibler divergence of its answers from the network's, both at the temperature, times
    its square (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015).
    """
    labels = tf_keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=settings.label_smoothing, reduction="none" if taught else "auto"
    )
    if not taught:
        return labels

    def loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(logits, tf.float32)
        wanted = tf.nn.softmax(targets[:, classes:] / settings.temperature)
        cooled = tf.nn.log_softmax(logits / settings.temperature)
        apart = tf.reduce_sum(wanted * (tf.math.log(wanted + 1e-9) - cooled), axis=1)
        taught_part = settings.teacher_share * settings.temperature**2 * apart
        return taught_part + (1 - settings.teacher_share) * labels(targets[:, :classes], logits)

    return loss


def make_metric(classes: int, taught: bool) -> Any:
    """Share of answers that agree with the labels, named top1."""
    if not taught:
        return tf_keras.metrics.CategoricalAccuracy(name="top1")
    return tf_keras.metrics.MeanMetricWrapper(_agreement(classes), name="top1")


def _agreement(classes: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def agreement(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf_keras.metrics.categorical_accuracy(targets[:, :classes], logits)

    return agreement
