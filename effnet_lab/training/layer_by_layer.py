"""A network whose kernels hold less, and that computes what it computed, as nearly as it can: before any training.

Layer by layer in forward order, each kernel is fitted to what the layer computed before, on the inputs that the network
delivers so far. Depthwise kernels stay: they are few weights and suffer most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab.images import ImageSet
from effnet_lab.layer_fit import InputMoments, Matrix, damped, lost_mean, refit
from effnet_lab.models.build import network
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.scaling.counts import peak_activation_bytes
from effnet_lab.scaling.layers import layers

POSITIONS = 20_000  # of all images together, at most, that a fit sees
IMAGES, LOOKS = 256, 768  # at most: different ones; with their mirror images and other crops
# Few photographs have too few positions for the last layers: half zeros at 96 px after 114 of them took top-1 from .831 to .766
# of 734 others before the first step; to .812 with these crops as well.
CROPS = (0.65, 1.0)
MEMORY = 3 << 29  # bytes for the values of both networks that wait between two layers
DAMPING = 0.01  # see `layer_fit.damped`

Array = NDArray[Any]


def layer_by_layer(
    model: LoadedModel, images: ImageSet, fit: Callable[[Matrix, Matrix], Matrix], seed: int
) -> LoadedModel:
    """A copy with other kernels, but for the depthwise ones.

    Parameters
    ----------
    model : LoadedModel
        Float, with statistics in its batch norms.
    images : ImageSet
        That the fits see: up to 256, then their mirror images and other crops of them, as many as the memory takes. Labels
        are not used.
    fit : callable
        A kernel and the covariance of its inputs, see `layer_fit`, to the kernel that takes its place.
    seed : int
        Of the positions that are looked at.
    """
    copy = replace(model, keras=network(model.family_spec, len(model.classes)))
    assign(copy.keras, {name: variable.numpy() for name, variable in variables(model.keras).items()}, model.name)
    side = model.preprocess.size_px
    values = 2 * 4 * peak_activation_bytes(layers(model.family_spec, side=side), side)  # two networks, float32
    room = max(MEMORY // int(values), 1)
    shown = images.take(min(IMAGES, len(images), room))
    ways = product((model.preprocess, *(replace(model.preprocess, crop=crop) for crop in CROPS)), (1, -1))
    looks = list(ways)[: max(min(LOOKS, room) // len(shown), 1)]
    batches = [batch[:, :, ::turn] for way, turn in looks for batch, _labels in shown.batches(way)]
    walk = _BothNetworks(model.keras, copy.keras, batches, seed)
    for layer in walk.layers():
        if prunable(layer):
            kernel = layer.kernel.numpy()
            whole: Matrix = kernel.reshape(-1, kernel.shape[-1]).T[np.newaxis].astype(np.float64)
            moments = walk.moments(layer, whole)
            fitted = fit(refit(whole, moments), damped(moments.covariance, DAMPING))
            layer.kernel.assign(fitted[0].T.reshape(kernel.shape))
            _restore_mean(copy.keras, layer, lost_mean(fitted, moments)[0])
    return copy


def _restore_mean(keras: tf_keras.Model, layer: tf_keras.layers.Layer, lost: Matrix) -> None:
    """What the outputs have lost in the mean, in the bias or in the batch norm behind the layer."""
    if layer.use_bias:
        layer.bias.assign_add(lost)
    else:
        keras.get_layer(f"{layer.name}_bn").moving_mean.assign_sub(lost)


class HeldZeros(tf_keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """After each step, weights that were zero are zero again."""

    def __init__(self, keras: tf_keras.Model) -> None:
        super().__init__()
        self._kept = [
            (layer.kernel, tf.cast(layer.kernel != 0, tf.float32)) for layer in keras.layers if prunable(layer)
        ]

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        for kernel, kept in self._kept:
            kernel.assign(kernel * kept)


def prunable(layer: tf_keras.layers.Layer) -> bool:
    """Whether it has a kernel that may get zeros: convolutions and classifier, not depthwise."""
    return isinstance(layer, tf_keras.layers.Conv2D | tf_keras.layers.Dense)


class _BothNetworks:
    """Takes images through two networks of one shape, a layer at a time; what no later layer reads is forgotten."""

    def __init__(self, exact: tf_keras.Model, other: tf_keras.Model, batches: Sequence[Array], seed: int) -> None:
        self._networks, self._rng = (exact, other), np.random.default_rng(seed)
        entry, *self._names = [layer.name for layer in exact.layers]
        self._last = {source: n for n, name in enumerate(self._names) for source in self._sources(name)}
        self._states = tuple([{entry: tf.constant(batch)} for batch in batches] for _ in self._networks)
        self._images = sum(map(len, batches))

    def layers(self) -> Iterator[tf_keras.layers.Layer]:
        """The layers of the other network, each before it is carried out."""
        for n, name in enumerate(self._names):
            both = [network.get_layer(name) for network in self._networks]
            yield both[1]
            for layer, states in zip(both, self._states, strict=True):
                for state in states:
                    values = [state[source] for source in self._sources(name)]
                    state[name] = layer(values[0] if len(values) == 1 else values, training=False)
                    for source in [source for source in state if self._last.get(source, n + 1) <= n]:
                        del state[source]

    def moments(self, layer: tf_keras.layers.Layer, kernel: Matrix) -> InputMoments:
        """Of what enters the layer, as its kernel sees it, and of what the kernel made of it in the float network."""
        found, source = InputMoments(), self._sources(layer.name)[0]
        for states in zip(*self._states, strict=True):
            before, given = (_windows(layer, state[source]) for state in states)
            most = max(1, POSITIONS * states[0][source].shape[0] // self._images)
            at = self._rng.choice(len(given), min(most, len(given)), replace=False)
            found.add(
                before[at].astype(np.float64) @ np.swapaxes(kernel, -1, -2), given[at][np.newaxis].astype(np.float64)
            )
        return found

    def _sources(self, name: str) -> list[str]:
        node = self._networks[0].get_layer(name).inbound_nodes[0]
        return [parent.layer.name for parent in node.parent_nodes]


def _windows(layer: tf_keras.layers.Layer, values: tf.Tensor) -> Array:
    """What a kernel sees at each position, (positions, columns)."""
    if isinstance(layer, tf_keras.layers.Conv2D) and max(layer.kernel_size) > 1:
        sizes, steps = (1, *layer.kernel_size, 1), (1, *layer.strides, 1)
        values = tf.image.extract_patches(values, sizes, steps, (1, 1, 1, 1), layer.padding.upper())
    windows: Array = values.numpy()
    return windows.reshape(-1, windows.shape[-1])
