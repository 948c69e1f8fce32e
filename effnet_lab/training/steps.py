"""What a run tells within an epoch: how many of its images are done, and the loss so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tf_keras

TRAINING, VALIDATION = "training", "validation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """How far an epoch is."""

    epoch: int  # from 1, over all stages of the run
    epochs: int  # of all stages
    part: str  # TRAINING or VALIDATION
    n_done: int  # images of this part; 0 when it begins
    n_images: int  # of this part in all
    loss: float  # mean over those that are done; NaN when none is


TellStep = Callable[[Step], None]


class StepTeller(tf_keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Passes on where an epoch is, when a part begins and after each of its batches.

    Parameters
    ----------
    tell : callable
    sizes : dict of str to (int, int)
        For each part of an epoch, its images and those of a batch.
    before, epochs : int
        Epochs of earlier stages, and of all.
    """

    def __init__(self, tell: TellStep, sizes: dict[str, tuple[int, int]], before: int, epochs: int) -> None:
        super().__init__()
        self._tell, self._sizes, self._before, self._epochs = tell, sizes, before, epochs
        self._epoch = before

    def _say(self, part: str, batches: int, logs: dict[str, Any] | None) -> None:
        n_images, batch = self._sizes[part]
        loss = float(logs["loss"]) if logs else math.nan
        n_done = min(batches * batch, n_images)
        self._tell(Step(epoch=self._epoch, epochs=self._epochs, part=part, n_done=n_done, n_images=n_images, loss=loss))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self._epoch = self._before + epoch + 1
        self._say(TRAINING, 0, None)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self._say(TRAINING, batch + 1, logs)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self._say(VALIDATION, 0, None)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self._say(VALIDATION, batch + 1, logs)
