"""What a layer's values look like on some pictures: histogram, channels, and where on each picture the error lies."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.channels import ChannelSums
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.evidence import CodeGrid
from effnet_lab.decibels import decibels_each
from effnet_lab.studies.inspection.payload import MAP_STEPS, Channels, ChannelWeights, CodeEnds, ErrorMap, Histogram

BINS = 64
MOST_CHANNELS = 24  # of a layer that are told, worst first
MAP_SIDE = 28  # of an error map: a finer one is not seen on a thumbnail

Array = NDArray[np.float64]


@dataclass
class LayerLook:
    """Sums over the pictures of one layer."""

    pair: Pair
    edges: tuple[float, float] = (0.0, 0.0)
    counts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None  # float, quantized
    sums: ChannelSums = field(default_factory=ChannelSums)
    maps: list[ErrorMap | None] = field(default_factory=list)

    def see(self, twins: Twins) -> None:
        """Take in one picture that both networks have seen."""
        reference, quantized = (values.astype(np.float64) for values in twins.values(self.pair))
        if self.counts is None:
            self._begin(reference, quantized)
        assert self.counts is not None
        for counts, values in zip(self.counts, (reference, quantized), strict=True):
            counts += np.histogram(np.clip(values, *self.edges), bins=BINS, range=self.edges)[0]
        self.sums.see(reference, quantized)
        self.maps.append(error_map(reference - quantized))

    def _begin(self, reference: Array, quantized: Array) -> None:
        low, high = min(reference.min(), quantized.min()), max(reference.max(), quantized.max())
        if (codes := self.range) is not None:
            low, high = min(low, codes["low"]), max(high, codes["high"])
        self.edges = (float(low), float(high) if high > low else float(low) + 1.0)
        self.counts = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)

    @property
    def range(self) -> CodeEnds | None:
        """Where the codes end; None for a layer that is not quantized."""
        tensor = self.pair.quantized
        grid = CodeGrid.of(tensor) if tensor.dtype.kind in "iu" else None
        return None if grid is None else {"low": grid.low, "high": grid.high, "scale": grid.scale}

    @property
    def histogram(self) -> Histogram | None:
        """Counts of float and quantized values in the same bins."""
        if self.counts is None:
            return None
        return {
            "low": self.edges[0], "high": self.edges[1],
            "float": self.counts[0].tolist(), "quantized": self.counts[1].tolist(),
        }  # fmt: skip

    @property
    def channels(self) -> Channels | None:
        """The channels with the lowest SQNR, worst first."""
        if not self.sums.seen:
            return None
        error, dead = self.sums.sqnr_db, self.sums.dead
        order = np.argsort(error, kind="stable")[:MOST_CHANNELS]
        return {
            "n": len(error), "index": order.tolist(), "low": _short(self.sums.low[order]), "high": _short(self.sums.high[order]),
            "error": _short(error[order]), "dead": dead[order].tolist(), **self._weights(order),
        }  # fmt: skip

    def _weights(self, order: NDArray[np.int64]) -> ChannelWeights:
        """Scale and error of the kernel of these channels; nothing where the layer has none."""
        if self.pair.kernels is None:
            return {}
        tensor = self.pair.kernels[1]
        a, b = (
            np.moveaxis(kernel.real(kernel.values), self.pair.channel_axis, 0).reshape(
                kernel.shape[self.pair.channel_axis], -1
            )
            for kernel in self.pair.kernels
        )
        if len(a) <= order.max():
            return {}
        error = decibels_each(np.square(a, dtype=np.float64).sum(1), np.square(a - b, dtype=np.float64).sum(1))
        scale = np.broadcast_to(tensor.scale, len(a)) if tensor.scale.size in (1, len(a)) else np.full(len(a), np.nan)
        return {"weight_scale": _short(scale[order]), "weight_error": _short(error[order])}


def error_map(difference: Array) -> ErrorMap | None:
    """Mean absolute error over the channels at each position, made no larger than `MAP_SIDE`; None without a map.

    Parameters
    ----------
    difference : ndarray
        Of an output (1, height, width, channels).
    """
    if difference.ndim != 4 or min(difference.shape[1:3]) < 2:
        return None
    values = np.abs(difference[0]).mean(axis=-1)
    steps = step_of(difference)
    pads = [(0, -side % step) for side, step in zip(values.shape, steps, strict=True)]
    padded = np.pad(values, pads, mode="edge")
    blocks = padded.reshape(padded.shape[0] // steps[0], steps[0], padded.shape[1] // steps[1], steps[1]).mean(
        axis=(1, 3)
    )
    peak = float(blocks.max())
    codes = np.rint(MAP_STEPS * blocks / peak).astype(np.uint8) if peak > 0 else np.zeros(blocks.shape, np.uint8)
    return {
        "width": blocks.shape[1], "height": blocks.shape[0], "peak": peak, "data": base64.b64encode(codes.tobytes()).decode(),
    }  # fmt: skip


def step_of(difference: Array) -> tuple[int, int]:
    """Rows and columns of an output that share one place of its map."""
    height, width = difference.shape[1:3]
    return math.ceil(height / MAP_SIDE), math.ceil(width / MAP_SIDE)


def _short(values: Array) -> list[float]:
    """Four digits: what a screen shows."""
    return [float(f"{value:.4g}") for value in values.tolist()]
