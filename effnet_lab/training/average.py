"""The moving average of a network's weights, statistics of batch norms included: what is validated, and what comes out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras
from numpy.typing import NDArray


class MovingAverage(tf_keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Follows the weights step by step; its momentum is smaller at first: at most (1 + n) / (10 + n) after n steps.

    Source: tensorflow/tpu, models/official/efficientnet/main.py; tf.train.ExponentialMovingAverage with num_updates.
    """

    def __init__(self, keras: tf_keras.Model, momentum: float) -> None:
        super().__init__()
        self.momentum, self._averaged = momentum, [v for v in keras.weights if v.dtype.is_floating]
        self.values = [tf.Variable(variable, trainable=False) for variable in self._averaged]
        self._steps = tf.Variable(0.0, trainable=False)
        self._trained: list[NDArray[Any]] = []
        self._follow = tf.function(self._update)

    def _update(self) -> None:
        self._steps.assign_add(1.0)
        momentum = tf.minimum(self.momentum, (1.0 + self._steps) / (10.0 + self._steps))
        for value, variable in zip(self.values, self._averaged, strict=True):
            value.assign(momentum * value + (1.0 - momentum) * tf.cast(variable, value.dtype))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self._follow()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validation sees the average."""
        self.swap_in()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Training goes on with its own weights."""
        for variable, value in zip(self._averaged, self._trained, strict=True):
            variable.assign(value)

    def swap_in(self) -> None:
        """Put the average into the network."""
        self._trained = [variable.numpy() for variable in self._averaged]
        for variable, value in zip(self._averaged, self.values, strict=True):
            variable.assign(value)

    @property
    def state(self) -> tuple[NDArray[Any], ...]:
        """What a continued run needs."""
        return (self._steps.numpy(), *(value.numpy() for value in self.values))

    @state.setter
    def state(self, arrays: tuple[NDArray[Any], ...]) -> None:
        for variable, array in zip((self._steps, *self.values), arrays, strict=True):
            variable.assign(array)
