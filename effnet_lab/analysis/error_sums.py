"""The sums behind each notion of error, streamed over images, and the columns that they fill."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from effnet_lab.analysis.metrics import Array, ErrorSums, adder, joined, no_sums, require_finite
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE, Variant
from effnet_lab.analysis.twins import Twins
from effnet_lab.decibels import decibels
from effnet_lab.names import UserError

_NAN = float("nan")
End = tuple[Array, int]  # of one image: logits, float64, and first class


class Watcher(Protocol):
    """What looks at the values of both networks after each image, and adds them up.

    Images may be looked at in several threads; they are counted in their order, so that sums do not depend on the threads.
    """

    kept: Any  # of the images counted so far; `Measuring` stores it

    def see(self, twins: Twins) -> Any:
        """What the two networks hold; nothing of the watcher changes."""

    def after(self, seen: Sequence[Any]) -> Any:
        """What is kept when these images are counted, too, in this order; nothing of the watcher changes."""


class Accumulated:
    """Each activation of the whole quantized graph against the float graph."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._rows = {pair.index: row for row, pair in enumerate(pairs)}
        self._layers = [(pair, adder(pair.quantized)) for pair in pairs]
        channels = {pair.index: DeadChannels.unknown() for pair in pairs if pair.quantized.quantized}
        self.kept = no_sums(len(pairs)), channels

    def see(self, twins: Twins) -> tuple[Array, dict[int, DeadChannels]]:
        """See `Watcher`."""
        sums, channels = no_sums(len(self._layers)), {}
        for (pair, add), row in zip(self._layers, sums, strict=True):
            codes, values = twins.codes(pair), twins.float_values(pair)
            if codes.size != values.size:
                raise UserError(
                    f"{pair.layer[:60]!r} makes {codes.shape}, and {values.shape} in float: this is no pair."
                )
            add(values, codes, row)
            if (dead := self.kept[1].get(pair.index)) is not None and not dead.settled and codes.shape and codes.size:
                channels[pair.index] = dead.after(codes)
            del codes, values  # views: with them, the interpreter refuses to run again
        require_finite(sums)
        return sums, channels

    def after(self, seen: Sequence[tuple[Array, dict[int, DeadChannels]]]) -> tuple[Array, dict[int, DeadChannels]]:
        """See `Watcher`."""
        sums, channels = self.kept
        for one_image, dead in seen:
            sums = joined(sums, one_image)
            channels = channels | {index: channels[index].join(one) for index, one in dead.items()}
        return sums, channels

    def row(self, pair: Pair) -> dict[str, float]:
        """The accumulated columns of one layer."""
        sums, channels = ErrorSums(self.kept[0][self._rows[pair.index]]), self.kept[1].get(pair.index)
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
        self.kept = no_sums(len(pairs))

    def see(self, twins: Twins) -> Array:
        """See `Watcher`."""
        sums = no_sums(len(self._layers))
        for (pair, add), row in zip(self._layers, sums, strict=True):
            add(twins.float_values(pair), twins.local_codes(pair), row)
        require_finite(sums)
        return sums

    def after(self, seen: Sequence[Array]) -> Array:
        """See `Watcher`."""
        return functools.reduce(joined, seen, self.kept)

    def row(self, pair: Pair) -> dict[str, float]:
        """The local columns of one layer."""
        if pair.index not in self._rows:
            return {}
        sums = ErrorSums(self.kept[self._rows[pair.index]])
        return {
            "sqnr_local_db": sums.sqnr_db,
            "local_mse": sums.mse,
            "local_bias": sums.bias,
            "local_rmse_over_scale": _over_scale(sums, pair),
        }


@dataclass(frozen=True, eq=False)
class DeadChannels:
    """Which channels have shown one code only; a channel that has shown two is not read again."""

    channels: Array
    codes: Array  # the only one that each of them has shown
    n_values: int = 0
    among: Array | None = None  # of what one image has left: the channels that were looked at

    @classmethod
    def unknown(cls) -> DeadChannels:
        """Nothing was seen yet; how many channels there are, the first image says, as files may state less."""
        return cls(np.empty(0, np.int64), np.empty(0))

    @property
    def settled(self) -> bool:
        """Whether none is left."""
        return self.n_values > 0 and not self.channels.size

    def after(self, codes: Array) -> DeadChannels:
        """What is left of them on one more image alone; its codes, channels last."""
        from effnet_lab.analysis.error_kernels import mark_constant

        if self.settled:
            return self
        rows = codes.reshape(-1, codes.shape[-1])
        channels, first = (self.channels, self.codes) if self.n_values else (np.arange(rows.shape[1]), rows[0].copy())
        if channels[-1] >= rows.shape[1]:  # a network may make fewer of another image
            channels = channels[: np.searchsorted(channels, rows.shape[1])]
            first = first[: channels.size]
        constant = np.empty(channels.size, np.bool_)
        if mark_constant(rows, channels, first, constant) == channels.size:
            return DeadChannels(channels, first, len(rows), self.channels)
        return DeadChannels(channels[constant], first[constant], len(rows), self.channels)

    def join(self, other: DeadChannels) -> DeadChannels:
        """With what `after` found on the next image, whether it knew all that these know or not."""
        if not self.n_values or self.settled:
            return self if self.n_values else other
        if self.channels is other.among:  # unless a thread was ahead: what is left of these is left of both
            return DeadChannels(other.channels, other.codes, self.n_values + other.n_values)
        _, mine, theirs = np.intersect1d(self.channels, other.channels, assume_unique=True, return_indices=True)
        same = self.codes[mine] == other.codes[theirs]
        return DeadChannels(self.channels[mine][same], self.codes[mine][same], self.n_values + other.n_values)

    @property
    def count(self) -> float:
        """Channels with one code throughout; NaN while there is only one value of each."""
        return float(self.channels.size) if self.n_values > 1 else _NAN


def end_of(logits: Array, output: Array) -> End:
    """What is kept of the end of one image; neither is a view of what is given."""
    return logits.astype(np.float64).reshape(-1), int(output.argmax())


class LogitErrors:
    """Error of the logits per variant; adding two of them joins their images."""

    def __init__(self, followed: Iterable[Variant] = ()) -> None:
        self.n_images = 0
        self.signal = 0.0  # sum of squares of the float logits
        self.noise: dict[Variant, float] = defaultdict(float)
        self.changed: dict[Variant, int] = defaultdict(int)  # images whose first class is another
        self.followed = set(followed)
        self._ends: dict[Variant, list[End]] = defaultdict(list)  # of each image

    def __add__(self, other: LogitErrors) -> LogitErrors:
        out = LogitErrors(self.followed | other.followed)
        out.n_images, out.signal = self.n_images + other.n_images, self.signal + other.signal
        for variant in self.noise.keys() | other.noise.keys():
            out.noise[variant] = self.noise[variant] + other.noise[variant]
            out.changed[variant] = self.changed[variant] + other.changed[variant]
        return out

    def see_end(self, variant: Variant, end: End) -> None:
        """Where the next image ends when some of one op is quantized."""
        self._ends[variant].append(end)

    def close(self, logits: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Compare all ends with those of the float network, one per image; without ends, nothing."""
        ends = [end_of(a, b) for a, b in zip(logits, outputs, strict=True)]
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
