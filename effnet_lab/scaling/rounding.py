"""How multipliers become whole channels and whole blocks."""

from __future__ import annotations

import math

from effnet_lab.scaling.specs import NetSpec

DIVISOR = 8  # channels are multiples of it


def round_channels(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of 8, at least 8, never more than 10 % below.

    Source: tensorflow/tpu, efficientnet_model.py, round_filters.

    Examples
    --------
    >>> round_channels(40, 1.1), round_channels(24, 0.5)
    (48, 16)
    """
    if width == 1.0:
        return channels
    exact = channels * width
    rounded = max(DIVISOR, int(exact + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * exact else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Blocks times depth, rounded up. Source: tensorflow/tpu, efficientnet_model.py, round_repeats."""
    return math.ceil(depth * repeats)


def scaled_channels(spec: NetSpec) -> tuple[int, ...]:
    """Channels of the stem, of every stage and of the head."""
    ends = 1.0 if spec.fixed_ends else spec.width
    stages = (round_channels(stage.channels, spec.width) for stage in spec.stages)
    return round_channels(spec.stem, ends), *stages, round_channels(spec.head, ends)


def scaled_repeats(spec: NetSpec) -> tuple[int, ...]:
    """Blocks of every stage."""
    last = len(spec.stages) - 1
    return tuple(
        stage.repeats if spec.fixed_ends and i in (0, last) else round_repeats(stage.repeats, spec.depth)
        for i, stage in enumerate(spec.stages)
    )
