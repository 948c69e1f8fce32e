"""The sums behind each notion of error, streamed over images, and the columns that they fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Protocol

import numpy as np

from effnet_lab.analysis.metrics import Array, ErrorSums, adder, decibels, require_finite
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE, Variant
from effnet_lab.analysis.twins import Twins

_NAN = float("nan")


class Watcher(Protocol):
    """What looks at the values of both networks after each image, and adds them up."""

    def begin(self) -> None:
        """Start from what is kept."""

    def see(self, twins: Twins) -> None:
        """Take in what the two networks hold."""

    def keep(self) -> None:
        """Count what was seen since `begin`."""


class Accumulated:
    """Each activation of the whole quantized graph against the float graph."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._rows = {pair.index: row for row, pair in enumerate(pairs)}
        self._layers = [(pair, adder(pair.quantized)) for pair in pairs]
        channels = {
            pair.index: DeadChannels(pair.quantized.shape[-1])
            for pair in pairs
            if pair.quantized.shape and pair.quantized.quantized
        }
        self._kept = self._seen = np.stack([ErrorSums().values for _ in pairs]), channels

    def begin(self) -> None:
        """See `Watcher`."""
        sums, channels = self._kept
        self._seen = sums.copy(), {index: copy(seen) for index, seen in channels.items()}

    def see(self, twins: Twins) -> None:
        """See `Watcher`."""
        sums, channels = self._seen
        for (pair, add), row in zip(self._layers, sums, strict=True):
            codes = twins.codes(pair)
            add(twins.float_values(pair), codes, row)
            if pair.index in channels:
                channels[pair.index].see(codes)
            del codes  # a view: with it, the interpreter refuses to run again
        require_finite(sums)

    def keep(self) -> None:
        """See `Watcher`."""
        self._kept = self._seen

    def row(self, pair: Pair) -> dict[str, float]:
        """The accumulated columns of one layer."""
        sums, channels = ErrorSums(self._kept[0][self._rows[pair.index]]), self._kept[1].get(pair.index)
        return {
            "sqnr_accumulated_db": sums.sqnr_db,
            "mse": sums.mse,
            "cosine": sums.cosine,
            "max_error": sums.max_error,
            "bias": sums.bias,
            "rmse_over_scale": _over_scale(sums, pair),
            "effective_bits": sums.effective_bits,
            "float_min": sums.low,
            "float_max": sums.high,
            "saturation_share": sums.saturation_share,
            "n_dead_channels": channels.count if channels else _NAN,
        }


class Local:
    """Each op alone in integers against the float op."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Of those pairs that can be run alone, see `Twins.alone`."""
        self._layers = [(pair, adder(pair.quantized)) for pair in pairs]
        self._rows = {pair.index: row for row, pair in enumerate(pairs)}
        self._kept = self._seen = np.array([ErrorSums().values for _ in pairs])

    def begin(self) -> None:
        """See `Watcher`."""
        self._seen = self._kept.copy()

    def see(self, twins: Twins) -> None:
        """See `Watcher`."""
        for (pair, add), row in zip(self._layers, self._seen, strict=True):
            add(twins.float_values(pair), twins.local_codes(pair), row)
        require_finite(self._seen)

    def keep(self) -> None:
        """See `Watcher`."""
        self._kept = self._seen

    def row(self, pair: Pair) -> dict[str, float]:
        """The local columns of one layer."""
        if pair.index not in self._rows:
            return {}
        sums = ErrorSums(self._kept[self._rows[pair.index]])
        return {
            "sqnr_local_db": sums.sqnr_db,
            "local_mse": sums.mse,
            "local_bias": sums.bias,
            "local_rmse_over_scale": _over_scale(sums, pair),
        }


class DeadChannels:
    """Which channels have shown one code only; a channel that has shown two is not read again."""

    def __init__(self, n: int) -> None:
        self._channels, self._first, self._n_values = np.arange(n), np.empty(0), 0

    def see(self, codes: Array) -> None:
        """Codes of one image, channels last."""
        from effnet_lab.analysis.error_kernels import still_constant

        if not self._channels.size:
            return
        rows = codes.reshape(-1, codes.shape[-1])
        first = self._first if self._n_values else rows[0].copy()
        constant = still_constant(rows, self._channels, first)
        self._channels, self._first = self._channels[constant], first[constant]
        self._n_values += len(rows)

    @property
    def count(self) -> float:
        """Channels with one code throughout; NaN while there is only one value of each."""
        return float(self._channels.size) if self._n_values != 1 else _NAN


class LogitErrors:
    """Error of the logits per variant; adding two of them joins their images."""

    def __init__(self, followed: Iterable[Variant] = ()) -> None:
        self.n_images = 0
        self.signal = 0.0  # sum of squares of the float logits
        self.noise: dict[Variant, float] = defaultdict(float)
        self.changed: dict[Variant, int] = defaultdict(int)  # images whose first class is another
        self.followed = set(followed)
        self._ends: dict[Variant, list[tuple[Array, int]]] = defaultdict(list)  # logits and first class of each image

    def __add__(self, other: LogitErrors) -> LogitErrors:
        out = LogitErrors(self.followed | other.followed)
        out.n_images, out.signal = self.n_images + other.n_images, self.signal + other.signal
        for variant in self.noise.keys() | other.noise.keys():
            out.noise[variant] = self.noise[variant] + other.noise[variant]
            out.changed[variant] = self.changed[variant] + other.changed[variant]
        return out

    def see_end(self, variant: Variant, logits: Array, output: Array) -> None:
        """Where the next image ends when some of one op is quantized."""
        self._ends[variant].append((logits.astype(np.float64).reshape(-1), int(output.argmax())))

    def close(self, logits: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Compare all ends with those of the float network, one per image; without ends, nothing."""
        ends = [(a.astype(np.float64).reshape(-1), int(b.argmax())) for a, b in zip(logits, outputs, strict=True)]
        self.signal = float(sum(values @ values for values, _ in ends))
        self.n_images = len(ends)
        for variant, several in self._ends.items():
            pairs = list(zip(several, ends, strict=True))
            self.noise[variant] = float(sum(((a - b) ** 2).sum() for (a, _), (b, _) in pairs))
            self.changed[variant] = sum(first != other for (_, first), (_, other) in pairs)
        self._ends.clear()

    def row(self, pair: Pair) -> dict[str, float]:
        """The effect columns of one layer."""
        key = pair.reference_op.index
        out: dict[str, float] = {}
        if (key, WHOLE) in self.followed:
            out |= {
                "sqnr_effect_db": self.effect_db((key, WHOLE)),
                "effect_changed_top1": self.changed[key, WHOLE] / self.n_images,
            }
        for part, column in ((WEIGHTS, "sqnr_effect_weights_db"), (ACTIVATIONS, "sqnr_effect_activations_db")):
            if (key, part) in self.followed:
                out[column] = self.effect_db((key, part))
        return out

    def effect_db(self, variant: Variant) -> float:
        """SQNR of the logits when this much is quantized, dB."""
        return decibels(self.signal, self.noise[variant])


def _over_scale(sums: ErrorSums, pair: Pair) -> float:
    return sums.rmse / float(pair.quantized.scale[0]) if pair.quantized.quantized else _NAN
