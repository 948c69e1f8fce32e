"""The sums behind each notion of error, streamed over images, and the columns that they fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.metrics import ErrorSums, adder, require_finite
from effnet_lab.analysis.op_by_op import ACTIVATIONS, WEIGHTS, WHOLE, OpStep, OpWalk, Plan, Variant
from effnet_lab.analysis.twins import Pair, TwinRunner

NOTIONS = ("accumulated", "local", "effect", "split")
_PARTS = {"effect": (WHOLE,), "split": (WEIGHTS, ACTIVATIONS)}  # what a notion follows to the logits


class Accumulated:
    """Each activation of the whole quantized graph against the float graph."""

    def __init__(self, twins: TwinRunner) -> None:
        self._twins = twins
        self._rows = {pair.index: row for row, pair in enumerate(twins.pairs)}
        self._add = [adder(pair.quantized) for pair in twins.pairs]
        channels = {
            pair.index: DeadChannels(pair.quantized.shape[-1])
            for pair in twins.pairs
            if pair.quantized.shape and pair.quantized.quantized
        }
        self._kept = self._seen = np.stack([ErrorSums().values for _ in twins.pairs]), channels

    def see(self, images: NDArray) -> None:
        """Take in images, (n, h, w, 3); they count once `keep` has been called, and not when an interrupt cuts them short."""
        sums, channels = self._kept[0].copy(), {index: copy(seen) for index, seen in self._kept[1].items()}
        for image in images:
            self._twins.run(image)
            for pair, add, row in zip(self._twins.pairs, self._add, sums, strict=True):
                codes = self._twins.quantized.codes(pair.quantized)
                add(self._twins.reference.codes(pair.reference), codes, row)
                if pair.index in channels:
                    channels[pair.index].see(codes)
                del codes  # or the interpreter refuses to run again
        require_finite(sums)
        self._seen = sums, channels

    def keep(self) -> None:
        """Let what was seen last count."""
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
            "n_dead_channels": channels.count if channels else float("nan"),
        }


class DeadChannels:
    """Which channels have shown one code only; a channel that has shown two is not read again."""

    def __init__(self, n: int) -> None:
        self._channels, self._first, self._n_values = np.arange(n), None, 0

    def see(self, codes: NDArray) -> None:
        """Codes of one image, channels last."""
        from effnet_lab.analysis.error_kernels import still_constant

        if not self._channels.size:
            return
        rows = codes.reshape(-1, codes.shape[-1])
        self._first = rows[0].copy() if self._first is None else self._first
        constant = still_constant(rows, self._channels, self._first)
        self._channels, self._first = self._channels[constant], self._first[constant]
        self._n_values += len(rows)

    @property
    def count(self) -> float:
        """Channels with one code throughout; NaN while there is only one value of each."""
        return float(self._channels.size) if self._n_values != 1 else float("nan")


class ErrorTotals:
    """Local error per layer, and error of the logits per variant; adding two of them joins their images."""

    def __init__(self, followed: Iterable[Variant] = ()) -> None:
        self.n_images = 0
        self.local: dict[int, ErrorSums] = defaultdict(ErrorSums)  # by index of the float op
        self.signal = 0.0  # sum of squares of the float logits
        self.noise: dict[Variant, float] = defaultdict(float)
        self.changed: dict[Variant, int] = defaultdict(int)
        self.followed = set(followed)
        self._ends: dict[Variant, list[tuple[NDArray, int]]] = defaultdict(list)  # logits and first class of each image

    def __add__(self, other: ErrorTotals) -> ErrorTotals:
        out = ErrorTotals(self.followed | other.followed)
        out.n_images, out.signal = self.n_images + other.n_images, self.signal + other.signal
        for name in ("local", "noise", "changed"):
            mine, theirs, joined = (getattr(totals, name) for totals in (self, other, out))
            for key in mine.keys() | theirs.keys():
                joined[key] = mine[key] + theirs[key]
        return out

    def see_local(self, step: OpStep, reference: NDArray, codes: NDArray) -> None:
        """Output of one op for one image, in float and in codes."""
        self.local[step.op.index].see(reference, codes, step.pair.quantized)

    def see_end(self, variant: Variant, logits: NDArray, output: NDArray) -> None:
        """Where the next image ends when some of one op is quantized."""
        self._ends[variant].append((logits.astype(np.float64).reshape(-1), int(output.argmax())))

    def close(self, logits: Sequence[NDArray], outputs: Sequence[NDArray]) -> None:
        """Compare all ends with those of the float network, one per image; without ends, nothing."""
        ends = [(a.astype(np.float64).reshape(-1), int(b.argmax())) for a, b in zip(logits, outputs, strict=True)]
        self.signal = float(sum(values @ values for values, _ in ends))
        self.n_images = len(ends)
        for variant, several in self._ends.items():
            pairs = list(zip(several, ends, strict=True))
            self.noise[variant] = float(sum(((a - b) ** 2).sum() for (a, _), (b, _) in pairs))
            self.changed[variant] = sum(first != other for (_, first), (_, other) in pairs)
        self._ends.clear()

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


def plan_steps(twins: TwinRunner, notions: Sequence[str], local_inputs: str) -> Plan | None:
    """What to run op by op; None where nothing but the accumulated error is asked for."""
    if not set(notions) - {"accumulated"}:
        return None
    twins.settle_shapes()
    parts = [part for notion, several in _PARTS.items() if notion in notions for part in several]
    return Plan(*twins.sources, twins.pairs, parts, pass_on=local_inputs)


class Measuring:
    """The sums over all images, and the work that fills them.

    Parameters
    ----------
    twins : TwinRunner
    notions : sequence of str
    local_inputs : "float" or "quantized"
    """

    def __init__(self, twins: TwinRunner, notions: Sequence[str], local_inputs: str) -> None:
        self._twins, self.notions = twins, notions
        self.plan = plan_steps(twins, notions, local_inputs)
        self._whole = Accumulated(twins) if "accumulated" in notions else None
        self._followed = [(step.op.index, part) for step in self.plan.steps for part in step.parts] if self.plan else []
        self.totals = ErrorTotals(self._followed)
        self.chunk = self.plan.chunk() if self.plan else 1

    def count(self, n_images: int) -> int:
        """Pieces of work that `work` makes of so many images."""
        return -(-n_images // self.chunk) * ((self._whole is not None) + (len(self.plan.steps) if self.plan else 0))

    def work(self, chunks: Iterable[NDArray]) -> Iterator[Callable[[], None]]:
        """Calls to be made in turn. The images of a chunk count when what comes after its last call is asked for."""
        for images in chunks:
            totals = ErrorTotals(self._followed)
            totals.n_images = len(images)
            if self._whole is not None:
                yield partial(self._whole.see, images)
            if self.plan is not None:
                walk = OpWalk(self.plan, images, self._twins.kernels, totals)
                yield from walk
                ends = ([state[index] for state in walk.states] for index in (self.plan.logits, self.plan.output))
                totals.close(*ends)
            if self._whole is not None:
                self._whole.keep()
            self.totals = self.totals + totals

    def row(self, pair: Pair) -> dict[str, float]:
        """The columns of one layer."""
        accumulated = self._whole.row(pair) if self._whole is not None else {}
        return accumulated | self.totals.row(pair, self.notions)


def _over_scale(sums: ErrorSums, pair: Pair) -> float:
    return sums.rmse / float(pair.quantized.scale[0]) if pair.quantized.quantized else float("nan")
