"""Discriminative rates: what lies nearer to the image learns more slowly, because it changes least from task to task."""

from __future__ import annotations

import re
from collections.abc import Callable

import tf_keras

from effnet_lab.training.settings import Settings

_BLOCK = re.compile(r"blocks_(\d+)_")


def rates_of(keras: tf_keras.Model, settings: Settings) -> Callable[[str], float] | None:
    """Factor of the learning rate by a variable's name; None where all learn alike.

    The head has 1; each block before it `rate_decay` times that of the one after it, the stem once more.
    """
    if settings.rate_decay == 1.0:
        return None
    numbers = [int(match[1]) for layer in keras.layers if (match := _BLOCK.search(layer.name))]
    last = max(numbers, default=-1)

    def rate(name: str) -> float:
        if match := _BLOCK.search(name):
            return float(settings.rate_decay ** (last + 1 - int(match[1])))
        return float(settings.rate_decay ** (last + 2)) if "stem_" in name else 1.0

    return rate
