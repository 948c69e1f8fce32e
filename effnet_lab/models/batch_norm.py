"""Batch norm that was folded away when a file was made, given back from images: training needs it, inference does not.

An imported .tflite file has each norm as a shift and nothing else. In training mode a norm divides by the spread of the
batch, and such a network would compute another function at the first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import tf_keras
from numpy.typing import NDArray

from effnet_lab.models.build import network
from effnet_lab.models.conv_layers import BN_EPSILON
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables


def folded(model: LoadedModel) -> tuple[str, ...]:
    """Batch norms without statistics of their own: mean 0 and variance 1 in every channel, as an import leaves them."""
    return tuple(
        layer.name
        for layer in model.keras.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization)
        and not np.any(layer.moving_mean.numpy())
        and np.ptp(spread := layer.moving_variance.numpy()) == 0
        and abs(float(spread[0]) + BN_EPSILON - 1) < 1e-6
    )


def with_statistics(model: LoadedModel, batches: Iterable[NDArray]) -> LoadedModel:
    """A copy whose folded batch norms have the statistics of these images, and compute what they computed before.

    Where a norm computes ``a x + c`` per channel and its input has mean m and variance v, it gets these, the scale
    ``a sqrt(v + epsilon)`` and the shift ``c + a m``. Other norms stay as they are.

    Parameters
    ----------
    model : LoadedModel
        A float network.
    batches : iterable of ndarray, float32 (n, side, side, 3)
        Normalised images.
    """
    values = {name: variable.numpy() for name, variable in variables(model.keras).items()}
    for name, (mean, variance) in _statistics(model, folded(model), batches).items():
        slope = values[f"{name}/gamma"] / np.sqrt(values[f"{name}/moving_variance"] + BN_EPSILON)
        shift = values[f"{name}/beta"] - slope * values[f"{name}/moving_mean"]
        values[f"{name}/gamma"] = slope * np.sqrt(variance + BN_EPSILON)
        values[f"{name}/beta"] = shift + slope * mean
        values[f"{name}/moving_mean"], values[f"{name}/moving_variance"] = mean, variance
    keras = network(model.spec, len(model.classes))
    assign(keras, {name: np.asarray(array, np.float32) for name, array in values.items()}, model.name)
    return replace(model, keras=keras)


def _statistics(
    model: LoadedModel, names: tuple[str, ...], batches: Iterable[NDArray]
) -> dict[str, tuple[NDArray, NDArray]]:
    """Mean and variance per channel of what enters each of these layers, over all images and positions."""
    if not names:
        return {}
    probe = tf_keras.Model(model.keras.input, {name: model.keras.get_layer(name).input for name in names})
    count = dict.fromkeys(names, 0)
    sums: dict[str, NDArray] = {}
    for batch in batches:
        for name, found in probe.predict_on_batch(batch).items():
            flat = found.reshape(-1, found.shape[-1]).astype(np.float64)
            both = np.stack([flat.sum(axis=0), np.square(flat).sum(axis=0)])
            sums[name] = sums[name] + both if name in sums else both
            count[name] += len(flat)
    means = {name: both / count[name] for name, both in sums.items()}
    return {name: (mean, np.maximum(square - mean**2, 0.0)) for name, (mean, square) in means.items()}
