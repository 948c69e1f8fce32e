"""Batch norm that was folded away when a file was made, given back from images: training needs it, inference does not.

An imported .tflite file has each norm as a shift and nothing else. In training mode a norm divides by the spread of the
batch, and such a network would compute another function at the first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.models.build import network
from effnet_lab.models.conv_layers import BN_EPSILON
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf_keras
from effnet_lab.models.variables import assign, variables

_KERNELS = ("{}/kernel", "{}/depthwise_kernel")


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


def with_statistics(model: LoadedModel, batches: Iterable[NDArray[Any]]) -> LoadedModel:
    """A copy whose folded batch norms have the statistics of these images; it computes what it computed before.

    The kernel before such a norm gets, per output channel, the size that a new network's has: a folded one is as large as
    its scale and the range of the images made it, and steps of one size would move some channels a hundred times as far as
    others. Where the norm then has to compute ``a x + c``, and its input has mean m and variance v, it gets these, the
    scale ``a sqrt(v + epsilon)`` and the shift ``c + a m``. Other norms stay as they are.

    Parameters
    ----------
    model : LoadedModel
        A float network.
    batches : iterable of ndarray, float32 (n, side, side, 3)
        Normalised images.
    """
    names = folded(model)
    values = {name: variable.numpy() for name, variable in variables(model.keras).items()}
    for name, (mean, variance) in _statistics(model, names, batches).items():
        kernel = next(own for form in _KERNELS if (own := form.format(name.removesuffix("_bn"))) in values)
        grown, size = _resized(values[kernel], depthwise=kernel.endswith("depthwise_kernel"))
        values[kernel], mean, variance = grown, mean * size, variance * size**2
        slope = values[f"{name}/gamma"] / np.sqrt(values[f"{name}/moving_variance"] + BN_EPSILON) / size
        shift = values[f"{name}/beta"] - slope * size * values[f"{name}/moving_mean"]
        values[f"{name}/gamma"] = slope * np.sqrt(variance + BN_EPSILON)
        values[f"{name}/beta"] = shift + slope * mean
        values[f"{name}/moving_mean"], values[f"{name}/moving_variance"] = mean, variance
    keras = network(model.family_spec, len(model.classes))
    assign(keras, {name: np.asarray(array, np.float32) for name, array in values.items()}, model.name)
    return replace(model, keras=keras)


def _resized(kernel: NDArray[Any], *, depthwise: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """The kernel with the spread of a new one in every output channel, and the factor per channel."""
    flat = kernel.reshape(-1, kernel.shape[2]) if depthwise else kernel.reshape(-1, kernel.shape[3])
    spread = np.sqrt(np.mean(np.square(flat, dtype=np.float64), axis=0))
    wanted = np.sqrt(2 / (kernel.shape[0] * kernel.shape[1] * (1 if depthwise else kernel.shape[3])))
    factor = np.where(spread > 0, wanted / np.where(spread > 0, spread, 1), 1.0)
    return kernel * (factor[:, np.newaxis] if depthwise else factor), factor


def _statistics(
    model: LoadedModel, names: tuple[str, ...], batches: Iterable[NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Mean and variance per channel of what enters each of these layers, over all images and positions."""
    if not names:
        return {}
    probe = tf_keras.Model(model.keras.input, {name: model.keras.get_layer(name).input for name in names})
    count = dict.fromkeys(names, 0)
    sums: dict[str, NDArray[Any]] = {}
    for batch in batches:
        for name, found in probe.predict_on_batch(batch).items():
            flat = found.reshape(-1, found.shape[-1]).astype(np.float64)
            both = np.stack([flat.sum(axis=0), np.square(flat).sum(axis=0)])
            sums[name] = sums[name] + both if name in sums else both
            count[name] += len(flat)
    means = {name: both / count[name] for name, both in sums.items()}
    return {name: (mean, np.maximum(square - mean**2, 0.0)) for name, (mean, square) in means.items()}
