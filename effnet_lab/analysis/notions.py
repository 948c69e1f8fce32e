"""The sums behind each notion of error, streamed over images, and the columns that they fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.local import ACTIVATIONS, WEIGHTS, WHOLE, Plan, Rows, Variant, walk
from effnet_lab.analysis.metrics import ErrorSums, adder, require_finite
from effnet_lab.analysis.pairs import Pair, TwinRunner
from effnet_lab.litert.surgery import Source

NOTIONS = ("accumulated", "local", "effect", "split")
_PARTS = {"effect": (WHOLE,), "split": (WEIGHTS, ACTIVATIONS)}  # what a notion follows to the logits


class Accumulated:
    """Each activation of the whole quantized graph against the float graph."""

    def __init__(self, twins: TwinRunner) -> None:
        self._twins = twins
        self._rows = {pair.index: row for row, pair in enumerate(twins.pairs)}
        self._sums = np.stack([ErrorSums().values for _ in twins.pairs])
        self._add = [adder(pair.quantized) for pair in twins.pairs]
        self._channels = {
            pair.index: ChannelRange(pair.quantized.shape[-1])
            for pair in twins.pairs
            if pair.quantized.shape and pair.quantized.quantized
        }

    def see(self, images: NDArray) -> None:
        """Take in images, (n, h, w, 3); of an image that an interrupt cuts short, nothing counts."""
        for image in images:
            self._twins.run(image)
            sums = self._sums.copy()
            for pair, add, row in zip(self._twins.pairs, self._add, sums, strict=True):
                reference, codes = (
                    self._twins.reference.codes(pair.reference),
                    self._twins.quantized.codes(pair.quantized),
                )
                add(reference, codes, row)
                if pair.index in self._channels:
                    self._channels[pair.index].see(codes)
                del reference, codes  # or the interpreter refuses to run again
            require_finite(sums)
            self._sums = sums

    def row(self, pair: Pair) -> dict[str, float]:
        """The accumulated columns of one layer."""
        sums, channels = ErrorSums(self._sums[self._rows[pair.index]]), self._channels.get(pair.index)
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
            "n_dead_channels": channels.dead if channels else float("nan"),
        }


class ChannelRange:
    """Which channels have shown more than one code; once all have, no more is read."""

    def __init__(self, n: int) -> None:
        self._all_alive = False
        self._n_values, self._low, self._high = 0, np.full(n, 1 << 30), np.full(n, -(1 << 30))

    def see(self, codes: NDArray) -> None:
        """Codes of one image, channels last."""
        from effnet_lab.analysis.fused import widen

        if self._all_alive:
            return
        rows = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
        widen(rows, self._low, self._high)
        self._n_values += len(rows)
        self._all_alive = bool((self._low < self._high).all())

    @property
    def dead(self) -> float:
        """Channels with one code throughout; NaN while there is only one value of each."""
        return float((self._low == self._high).sum()) if self._n_values > 1 else float("nan")


class Totals:
    """Local error per layer, and error of the logits per variant; adding two of them joins their images."""

    def __init__(self) -> None:
        self.n_images = 0
        self.local: dict[int, ErrorSums] = defaultdict(ErrorSums)  # by index of the float op
        self.signal = 0.0  # sum of squares of the float logits
        self.noise: dict[Variant, float] = defaultdict(float)
        self.changed: dict[Variant, int] = defaultdict(int)
        self.followed: set[Variant] = set()

    def __add__(self, other: Totals) -> Totals:
        out = Totals()
        out.n_images, out.signal = self.n_images + other.n_images, self.signal + other.signal
        out.followed = self.followed | other.followed
        for name in ("local", "noise", "changed"):
            mine, theirs, joined = (getattr(totals, name) for totals in (self, other, out))
            for key in mine.keys() | theirs.keys():
                joined[key] = mine[key] + theirs[key]
        return out

    def see_logits(self, logits: Rows, output: Rows) -> None:
        """Values of one image at the end of the network."""
        values = logits.values.reshape(len(logits.values), -1).astype(np.float64)
        self.signal += float(values[0] @ values[0])
        for variant, row in zip(logits.variants, values[1:], strict=True):
            self.noise[variant] += float(((row - values[0]) ** 2).sum())
        first = output.values.reshape(len(output.values), -1).argmax(axis=1)
        for variant, one in zip(output.variants, first[1:], strict=True):
            self.changed[variant] += int(one != first[0])

    def row(self, pair: Pair, notions: Sequence[str]) -> dict[str, float]:
        """The local and effect columns of one layer."""
        key, out = pair.reference_op.index, {}
        if "local" in notions and key in self.local:
            sums = self.local[key]
            out |= {
                "sqnr_local_db": sums.sqnr_db,
                "local_mse": sums.mse,
                "local_bias": sums.bias,
                "local_rmse_over_scale": _over_scale(sums, pair),
            }
        if (key, WHOLE) in self.followed:
            out |= {
                "sqnr_effect_db": self._effect_db((key, WHOLE)),
                "effect_changed_top1": self.changed[key, WHOLE] / self.n_images,
            }
        for part, column in ((WEIGHTS, "sqnr_effect_weights_db"), (ACTIVATIONS, "sqnr_effect_activations_db")):
            if (key, part) in self.followed:
                out[column] = self._effect_db((key, part))
        return out

    def _effect_db(self, variant: Variant) -> float:
        noise = self.noise[variant]
        if noise == 0.0:
            return float("inf")
        return float(10 * np.log10(self.signal / noise)) if self.signal else float("-inf")


def plan_steps(content, quantized: Path | str, pairs: Sequence[Pair], notions: Sequence[str]) -> Plan | None:
    """What to run op by op; None where nothing but the accumulated error is asked for."""
    if not set(notions) - {"accumulated"}:
        return None
    parts = [part for notion, several in _PARTS.items() if notion in notions for part in several]
    return Plan(Source(content), Source(quantized), pairs, parts)


def add_steps(plan: Plan, images: NDArray, kernels: str) -> Totals:
    """Local errors and effects of some images, (n, h, w, 3)."""
    totals = Totals()
    totals.followed = {variant for step in plan.steps for variant in step.born}
    for step, state, codes in walk(plan, images, kernels):
        if codes is not None:
            index = step.pair.reference.index
            totals.local[step.op.index].see(state[index].values[:1], codes, step.pair.quantized)
        if step is plan.steps[-1] and plan.parts:
            totals.see_logits(state[plan.logits], state[plan.output])
    return totals


def _over_scale(sums: ErrorSums, pair: Pair) -> float:
    return sums.rmse / float(pair.quantized.scale[0]) if pair.quantized.quantized else float("nan")
