"""Optimizers and learning rates of the recipes, as Keras objects."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from effnet_lab.training.settings import WARMUP_SHARE, Settings

STEPS_FACTOR, STEPS_EPOCHS = 0.97, 2.4
_NORMS_AND_BIASES = ("gamma", "beta", "bias")


def make_optimizer(
    settings: Settings, steps: int, steps_per_epoch: int, rates: Callable[[str], float] | None = None
) -> tf_keras.optimizers.Optimizer:
    """The optimizer of a run.

    Parameters
    ----------
    settings : Settings
    steps, steps_per_epoch : int
    rates : callable, optional
        Factor of the learning rate by a variable's name.
    """
    schedule = make_schedule(settings, steps, steps_per_epoch)
    if settings.optimizer == "rmsprop":
        kind = _original_rmsprop()
        optimizer = kind(schedule, settings.weight_decay, settings.decay_norms, rates)
    else:
        kind = tf_keras.optimizers.AdamW if rates is None else _scaled_adamw()
        optimizer = kind(schedule, weight_decay=settings.weight_decay)
        optimizer.rates = rates
        if not settings.decay_norms:
            optimizer.exclude_from_weight_decay(var_names=list(_NORMS_AND_BIASES))
    return optimizer


def make_schedule(
    settings: Settings, steps: int, steps_per_epoch: int
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up, then what the settings say."""
    warmup = max(1, int(steps * WARMUP_SHARE))
    if settings.warmup_epochs is not None:
        warmup = max(1, min(steps - 1, round(settings.warmup_epochs * steps_per_epoch)))
    peak = settings.learning_rate
    if settings.schedule == "steps":
        return _steps_schedule()(peak, warmup, steps_per_epoch)
    return tf_keras.optimizers.schedules.CosineDecay(
        peak / warmup, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


@functools.cache
def _steps_schedule() -> Any:
    class _StepwiseRate(tf_keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
        """Times 0.97 every 2.4 epochs, counted from the first step, after a linear warm-up from zero.

        Source: tensorflow/tpu, models/official/efficientnet/utils.py, build_learning_rate.
        """

        def __init__(self, peak: float, warmup: int, steps_per_epoch: int) -> None:
            super().__init__()
            self.peak, self.warmup, self.every = peak, warmup, int(steps_per_epoch * STEPS_EPOCHS)

        def __call__(self, step: tf.Tensor) -> tf.Tensor:
            step = tf.cast(step, tf.float32)
            decayed = self.peak * STEPS_FACTOR ** tf.floor(step / max(1, self.every))
            return tf.where(step < self.warmup, self.peak * step / self.warmup, decayed)

        def get_config(self) -> dict[str, Any]:
            return {"peak": self.peak, "warmup": self.warmup, "every": self.every}

    return _StepwiseRate


def _scale_step(variable: tf.Variable, factor: float, step: Callable[[], None]) -> None:
    """Let an update go only this share of its way."""
    before = tf.identity(variable)
    step()
    variable.assign(before + factor * (variable - before))


@functools.cache
def _scaled_adamw() -> Any:
    class _ScaledAdamW(tf_keras.optimizers.AdamW):  # type: ignore[misc]
        rates: Callable[[str], float]

        def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
            update = super().update_step
            _scale_step(variable, self.rates(variable.name), lambda: update(gradient, variable))

    return _ScaledAdamW


@functools.cache
def _original_rmsprop() -> Any:
    class _OriginalRMSprop(tf_keras.optimizers.RMSprop):  # type: ignore[misc]
        """TensorFlow 1's: the mean of squares begins at 1, and weight decay is the gradient of half the sum of squares."""

        def __init__(
            self, schedule: Any, weight_decay: float, decay_norms: bool, rates: Callable[[str], float] | None
        ) -> None:
            super().__init__(schedule, rho=0.9, momentum=0.9, epsilon=1e-3)
            self.l2, self.decay_norms, self.rates = weight_decay, decay_norms, rates

        def add_variable_from_reference(
            self, model_variable: tf.Variable, variable_name: str, shape: Any = None, initial_value: Any = None
        ) -> tf.Variable:
            if variable_name == "velocity":  # the mean of squares
                initial_value = tf.ones(model_variable.shape)
            return super().add_variable_from_reference(model_variable, variable_name, shape, initial_value)

        def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
            norm = any(f"/{name}" in variable.name for name in ("gamma", "beta"))
            if self.l2 and (self.decay_norms or not norm):
                gradient = gradient + self.l2 * variable
            update = super().update_step
            if self.rates is None:
                update(gradient, variable)
            else:
                _scale_step(variable, self.rates(variable.name), lambda: update(gradient, variable))

    return _OriginalRMSprop
