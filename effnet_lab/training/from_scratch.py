"""Training from random weights, and what a Keras network answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.training.loop import Progress, Settings, prepare, run_epochs


def train_from_scratch(
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
    settings = Settings(
        epochs=epochs, seed=seed, batch=batch, learning_rate=learning_rate, weight_decay=weight_decay,
        label_smoothing=label_smoothing,
    )  # fmt: skip
    preprocess = preprocess or Preprocess(size_px=spec.resolution, crop=None, interpolation="bilinear")
    prepare(settings)
    keras = build_model(spec, len(images.classes))
    rows = run_epochs(keras, spec.name, images, validation, preprocess, settings, progress=progress)
    model = LoadedModel(name=spec.name, spec=spec, keras=keras, preprocess=preprocess, classes=images.classes)
    return model, frames.build(frames.HISTORY, rows)


def predict(model: LoadedModel, images: ImageSet, batch: int = 128) -> NDArray[Any]:
    """Logits of the Keras model, float32 (n, classes)."""
    parts = [model.keras.predict_on_batch(x) for x, _labels in images.batches(model.preprocess, batch)]
    return np.concatenate(parts)
