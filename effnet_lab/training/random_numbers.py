"""The random numbers of dropout: drawn from generators whose state can be kept, which a run that goes on needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

_FOR_NOUGHT = 2**31 - 1  # what TensorFlow takes where both are 0, which would mean no seed


@contextlib.contextmanager
def own_random_numbers() -> Iterator[None]:
    """Layers made here draw from generators of their own, not from one stream without a position."""
    experimental = tf_keras.backend.experimental
    before = experimental.is_tf_random_generator_enabled()
    experimental.enable_tf_random_generator()
    try:
        yield
    finally:
        if not before:
            experimental.disable_tf_random_generator()


def generators(keras: tf_keras.Model) -> dict[str, tf.Variable]:
    """State of each dropout's random numbers; Keras keeps it out of its own checkpoints, and has no public way to it."""
    layers = {layer.name: getattr(layer, "layer", layer) for layer in keras.layers}
    random = {name: getattr(layer, "_random_generator", None) for name, layer in layers.items()}
    return {name: source._generator.state for name, source in random.items() if source and source._generator}


def from_their_start(keras: tf_keras.Model, seed: int) -> None:
    """Let every dropout draw what one of Keras' default kind draws under `tf.random.set_seed`.

    TensorFlow keys the random numbers of the n-th such operation of a function with the seed and n; they are Philox's, as
    those of a generator. So the weights that come with the package, which were trained with the default kind, are what the
    same recipe gives, and such a run can be interrupted nevertheless.
    """
    for number, state in enumerate(generators(keras).values()):
        state.assign([0, number if seed or number else _FOR_NOUGHT, seed])


def restore_random_numbers(keras: tf_keras.Model, states: dict[str, NDArray[Any]]) -> None:
    """Set the state of each dropout's random numbers, which its first use would make."""
    for name, variable in generators(keras).items():
        if name in states:
            variable.assign(states[name])
