"""Training from random weights, and what a Keras network answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.training.inherit import inherit
from effnet_lab.training.loop import prepare
from effnet_lab.training.random_numbers import from_their_start, own_random_numbers
from effnet_lab.training.settings import Settings
from effnet_lab.training.stages import Surroundings, carry_out, stages_of


def train_from_scratch(
    spec: NetSpec,
    images: ImageSet,
    *,
    epochs: int,
    seed: int,
    preprocess: Preprocess | None = None,
    qat_epochs: int = 0,
    parent: LoadedModel | None = None,
    **more: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Train from random weights, by default with AdamW, a linear warm-up over the first twentieth and cosine decay to zero.

    Repeating a call on the same machine gives bit-identical weights. Switches TensorFlow to deterministic operations,
    for the rest of the process.

    Parameters
    ----------
    spec : NetSpec
    images : ImageSet
    epochs, seed : int
    preprocess : Preprocess, optional
        By default the whole image, squashed to the network's size with an antialiased bilinear kernel.
    qat_epochs : int
        After those, with fake quantization.
    parent : LoadedModel, optional
        A larger network that the first weights are made from instead, see `inherit`; its preprocessing comes with them.
    **more
        Fields of `Surroundings` (`validation` is one, and must be given) and of `Settings`.

    Returns
    -------
    LoadedModel
        Named as its specification.
    DataFrame
        HISTORY, one row per epoch.
    """
    around = Surroundings.among(more)
    settings = Settings(epochs=epochs, seed=seed, **more)
    prepare(settings)
    preprocess = preprocess or Preprocess(size_px=spec.resolution, crop=None, interpolation="bilinear")
    model = random_model(spec, images.classes, preprocess, seed)
    if parent is not None:
        with own_random_numbers():
            known = inherit(parent, spec, images)
        assign(model.keras, {name: v.numpy() for name, v in variables(known.keras).items()}, spec.name)
        model = replace(model, preprocess=known.preprocess)
    return carry_out(model, images, stages_of(settings, epochs, 0, qat_epochs), around)


def random_model(spec: NetSpec, classes: tuple[str, ...], preprocess: Preprocess, seed: int) -> LoadedModel:
    """A network with random weights, and random numbers for its dropout that start at the beginning of the seed's."""
    first = build_model(spec, len(classes))
    with own_random_numbers():
        keras = build_model(spec, len(classes))
    assign(keras, {name: variable.numpy() for name, variable in variables(first).items()}, spec.name)
    from_their_start(keras, seed)
    return LoadedModel(name=spec.name, spec=spec, keras=keras, preprocess=preprocess, classes=classes)


def predict(model: LoadedModel, images: ImageSet, batch: int = 128) -> NDArray[Any]:
    """Logits of the Keras model, float32 (n, classes)."""
    parts = [model.keras.predict_on_batch(x) for x, _labels in images.batches(model.preprocess, batch)]
    return np.concatenate(parts)
