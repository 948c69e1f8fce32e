"""The training loop: one network, one set of images, a seed that decides everything else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.scaling.specs import NetSpec

Progress = Callable[[dict], None]  # called after each epoch with a row of HISTORY and "epochs", the number of them all


def train(
    spec: NetSpec,
    images: ImageSet,
    *,
    validation: ImageSet,
    epochs: int,
    seed: int,
    batch: int = 32,
    learning_rate: float = 1e-2,
    weight_decay: float = 1e-2,
    label_smoothing: float = 0.0,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Train from random weights with AdamW, a linear warm-up over the first twentieth and cosine decay to zero.

    Repeating a call on the same machine gives bit-identical weights. Switches TensorFlow to deterministic operations,
    for the rest of the process.

    Parameters
    ----------
    spec : NetSpec
    images, validation : ImageSet
        Preprocessed once into memory as uint8. Nothing is chosen by the validation images; they only give the curve.
    epochs, seed, batch : int
    learning_rate, weight_decay, label_smoothing : float
        Peak rate; decay as in decoupled AdamW; share of the target spread over all classes.
    preprocess : Preprocess, optional
        By default the whole image, squashed to the network's size with an antialiased bilinear kernel.
    progress : callable, optional

    Returns
    -------
    LoadedModel
        Named as its specification.
    DataFrame
        HISTORY, one row per epoch.
    """
    if epochs < 1 or batch < 1:
        raise UserError(f"Training needs epochs >= 1 and batch >= 1. Got {epochs} and {batch}.")
    if validation.classes != images.classes:
        raise ValueError(f"Training images have classes {images.classes}, validation images {validation.classes}.")
    preprocess = preprocess or Preprocess(size_px=spec.resolution, crop=None, interpolation="bilinear")
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    keras = build_model(spec, len(images.classes))
    steps = epochs * -(-len(images) // batch)
    keras.compile(
        tf_keras.optimizers.AdamW(_schedule(learning_rate, steps), weight_decay=weight_decay),
        tf_keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        metrics=[tf_keras.metrics.CategoricalAccuracy(name="top1")],
    )
    recorder = _Recorder(spec.name, epochs, progress)
    keras.fit(
        _dataset(images, preprocess, batch, seed),
        validation_data=_dataset(validation, preprocess, 256, None),
        epochs=epochs,
        verbose=0,
        callbacks=[recorder],
    )
    model = LoadedModel(name=spec.name, spec=spec, keras=keras, preprocess=preprocess, classes=images.classes)
    return model, frames.build(frames.HISTORY, recorder.rows)


def predict(model: LoadedModel, images: ImageSet, batch: int = 128) -> NDArray:
    """Logits of the Keras model, float32 (n, classes)."""
    parts = [model.keras.predict_on_batch(x) for x, _labels in images.batches(model.preprocess, batch)]
    return np.concatenate(parts)


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


class _Recorder(tf_keras.callbacks.Callback):
    """Collects HISTORY rows and passes them on."""

    def __init__(self, name: str, epochs: int, progress: Progress | None) -> None:
        super().__init__()
        self.name, self.epochs, self.progress = name, epochs, progress
        self.rows: list[dict] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keras calls it."""
        row = {
            "model": self.name,
            "epoch": epoch + 1,
            "loss": float(logs["loss"]),
            "train_top1": float(logs["top1"]),
            "validation_top1": float(logs["val_top1"]),
        }
        self.rows.append(row)
        if self.progress:
            self.progress(row | {"epochs": self.epochs})
