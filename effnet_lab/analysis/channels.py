"""What each channel of a layer takes and loses, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.opening import open_twins
from effnet_lab.analysis.twins import Twins
from effnet_lab.decibels import decibels
from effnet_lab.images import Source, open_samples

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network


class ChannelSums:
    """Range, signal and error of each channel of one layer, added up over images; channels last."""

    def __init__(self) -> None:
        self.seen = False
        self._low = self._high = self._code_low = self._code_high = self._signal = self._noise = np.empty(0)

    def see(self, reference: Array, quantized: Array) -> None:
        """Take in the real values of both networks for one image."""
        a, b = (values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1) for values in (reference, quantized))
        low, high, code_low, code_high = a.min(0), a.max(0), b.min(0), b.max(0)
        signal, noise = np.square(a).sum(0), np.square(a - b).sum(0)
        if self.seen:
            low, high = np.minimum(low, self._low), np.maximum(high, self._high)
            code_low, code_high = np.minimum(code_low, self._code_low), np.maximum(code_high, self._code_high)
            signal, noise = signal + self._signal, noise + self._noise
        self.seen = True
        self._low, self._high, self._code_low, self._code_high = low, high, code_low, code_high
        self._signal, self._noise = signal, noise

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest float value of each channel."""
        return self._low

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest float value of each channel."""
        return self._high

    @property
    def sqnr_db(self) -> NDArray[np.float64]:
        """SQNR of each channel, dB."""
        pairs = zip(self._signal, self._noise, strict=True)
        return np.array([decibels(float(signal), float(noise)) for signal, noise in pairs])

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which channels show one quantized value although their float values vary."""
        found: NDArray[np.bool_] = (self._code_low == self._code_high) & (self._high > self._low)
        return found


def layer_channels(
    quantized: Network | Twins,
    images: Source,
    layers: Iterable[str] | None = None,
    *,
    float_model: Network | bytes | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """CHANNEL_ERROR frame of the chosen layers (all by default): what each channel takes, and what quantization leaves of it.

    `quantized` and `float_model` are those of `open_twins`.
    """
    chosen, twins = open_samples(images, limit=limit), open_twins(quantized, float_model)
    names = None if layers is None else set(layers)
    wanted = [pair for pair in twins.pairs if names is None or pair.layer in names]
    sums = [ChannelSums() for _ in wanted]
    for sample in twins.samples(chosen):
        twins.run(sample)
        for seen, pair in zip(sums, wanted, strict=True):
            reference, values = twins.values(pair)
            seen.see(reference.astype(np.float64), values.astype(np.float64))
    rows = [
        twins.info.key
        | {"layer_index": pair.index, "layer": pair.layer, "channel": channel}
        | {"float_min": float(low), "float_max": float(high), "sqnr_accumulated_db": float(sqnr)}
        for pair, seen in zip(wanted, sums, strict=True)
        for channel, (low, high, sqnr) in enumerate(zip(seen.low, seen.high, seen.sqnr_db, strict=True))
    ]
    return frames.build(frames.CHANNEL_ERROR, rows)
