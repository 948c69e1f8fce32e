"""The one training loop: a Keras network, images, a seed, and what an interrupted run needs to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.names import UserError

Progress = Callable[
    [dict[str, Any]], None
]  # called after each epoch with a row of HISTORY and "epochs", the number of them all


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """AdamW with a linear warm-up over the first twentieth of the steps and cosine decay to zero."""

    epochs: int
    seed: int
    batch: int = 32
    learning_rate: float = 1e-2  # peak
    weight_decay: float = 1e-2  # decoupled
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    frozen_norms: bool = False  # batch norms stay as they are

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise UserError(f"Training needs epochs >= 1 and batch >= 1. Got {self.epochs} and {self.batch}.")

    def steps(self, images: ImageSet) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * -(-len(images) // self.batch)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A run after some of its epochs; what `state.save_state` writes."""

    optimizer: tuple[NDArray[Any], ...]
    rows: tuple[dict[str, Any], ...]  # HISTORY so far


def prepare(settings: Settings) -> None:
    """Seed everything and switch TensorFlow to deterministic operations, for the rest of the process."""
    tf_keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()


def run_epochs(
    keras: tf_keras.Model,
    name: str,
    images: ImageSet,
    validation: ImageSet,
    preprocess: Preprocess,
    settings: Settings,
    *,
    progress: Progress | None = None,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    done: Progressed | None = None,
    keep: Callable[[Progressed], None] | None = None,
) -> list[dict[str, Any]]:
    """Train `keras` in place; rows of HISTORY.

    Parameters
    ----------
    keras : tf_keras.Model
        Of normalised images to logits.
    name : str
        What the rows call it.
    images, validation : ImageSet
        Preprocessed once into memory as uint8. Nothing is chosen by the validation images; they only give the curve.
    preprocess : Preprocess
    settings : Settings
    progress : callable, optional
    callbacks : sequence of Callback
        Called before the epoch is recorded.
    done : Progressed, optional
        Go on after these epochs, in the order of images that an uninterrupted run has.
    keep : callable, optional
        Called after each epoch but the last with what `done` needs.
    """
    if validation.classes != images.classes:
        raise ValueError(f"Training images have classes {images.classes}, validation images {validation.classes}.")
    norms = _norms(keras) if settings.frozen_norms else []
    for layer in norms:
        layer.trainable = False
    optimizer = tf_keras.optimizers.AdamW(
        _schedule(settings.learning_rate, settings.steps(images)), weight_decay=settings.weight_decay
    )
    keras.compile(
        optimizer,
        tf_keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
        metrics=[tf_keras.metrics.CategoricalAccuracy(name="top1")],
    )
    recorder = _Recorder(name, settings.epochs, progress, keep, list(done.rows) if done else [])
    data = _dataset(images, preprocess, settings.batch, settings.seed)
    if done:
        optimizer.build(keras.trainable_variables)
        for variable, value in zip(optimizer.variables, done.optimizer, strict=True):
            variable.assign(value)
        for _ in done.rows:
            next(iter(data))  # every pass shuffles anew: the finished ones have to be drawn
    keras.fit(
        data,
        validation_data=_dataset(validation, preprocess, 256, None),
        initial_epoch=len(recorder.rows),
        epochs=settings.epochs,
        verbose=0,
        callbacks=[*callbacks, recorder],
    )
    for layer in norms:
        layer.trainable = True
    return recorder.rows


def _norms(keras: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """Batch norms, also inside the wrappers of quantization-aware training."""
    inner = [getattr(layer, "layer", layer) for layer in keras.layers]
    return [layer for layer in inner if isinstance(layer, tf_keras.layers.BatchNormalization)]


def _schedule(peak: float, steps: int) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    warmup = max(1, steps // 20)
    return tf_keras.optimizers.schedules.CosineDecay(
        peak / warmup, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def _dataset(images: ImageSet, preprocess: Preprocess, batch: int, seed: int | None) -> tf.data.Dataset:
    """Normalised float32 batches and one-hot labels; shuffled anew in every epoch unless the seed is None."""
    pixels = tf.constant(np.stack([preprocess.resize(images.read(i)) for i in range(len(images))]))
    targets = tf.one_hot(images.labels, len(images.classes))
    order = tf.data.Dataset.range(len(images))
    if seed is not None:
        order = order.shuffle(len(images), seed=seed)

    def gather(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        grey = tf.cast(tf.gather(pixels, indices), tf.float32)
        return (grey - preprocess.mean) / preprocess.std, tf.gather(targets, indices)

    return order.batch(batch).map(gather).prefetch(2)


class _Recorder(tf_keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Collects HISTORY rows, passes them on, and hands over what a continued run needs."""

    def __init__(
        self, name: str, epochs: int, progress: Progress | None, keep: Callable[..., Any] | None, rows: list[Any]
    ) -> None:
        super().__init__()
        self.name, self.epochs, self.progress, self.keep, self.rows = name, epochs, progress, keep, rows

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        logs = logs or {}
        row = {
            "model": self.name,
            "epoch": epoch + 1,
            "loss": float(logs["loss"]),
            "train_top1": float(logs["top1"]),
            "validation_top1": float(logs["val_top1"]),
        }
        self.rows.append(row)
        if self.keep and len(self.rows) < self.epochs:
            optimizer = tuple(variable.numpy() for variable in self.model.optimizer.variables)
            self.keep(Progressed(optimizer=optimizer, rows=tuple(self.rows)))
        if self.progress:
            self.progress(row | {"epochs": self.epochs})
