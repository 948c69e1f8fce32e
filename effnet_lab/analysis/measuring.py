"""One pass over the images that fills the sums of every notion asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.error_sums import Accumulated, Local, LogitErrors, Watcher
from effnet_lab.analysis.feeding import Sample
from effnet_lab.analysis.op_by_op import OpWalk, chunk_size
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet

NOTIONS = ("accumulated", "local", "effect", "split")
_PARTS = {"effect": (WHOLE,), "split": (WEIGHTS, ACTIVATIONS)}  # what a notion follows to the logits


class Measuring:
    """The sums over all images, and the work that fills them.

    Parameters
    ----------
    twins : Twins
    notions : sequence of str
    local_inputs : "float" or "quantized"
    watchers : sequence of Watcher
        What else looks at the values.
    """

    def __init__(
        self, twins: Twins, notions: Sequence[str], local_inputs: str = "float", watchers: Sequence[Watcher] = ()
    ) -> None:
        self._twins, self._notions, self._local_inputs = twins, notions, local_inputs
        self.accumulated = Accumulated(twins.pairs) if "accumulated" in notions else None
        self.local = Local(twins.alone) if "local" in notions else None
        self._watchers = [each for each in (self.accumulated, self.local, *watchers) if each is not None]
        parts = [part for notion, several in _PARTS.items() if notion in notions for part in several]
        if parts:
            twins.settle_shapes()
        self._plan = twins.plan(parts) if parts else None
        steps = self._plan.steps if self._plan else []
        self._followed = [(step.op.index, part) for step in steps for part in step.parts]
        self._chunk = chunk_size(self._plan) if self._plan else 1
        self.logits, self.n_images = LogitErrors(self._followed), 0

    def run(self, images: ImageSet | ArraySet, progress: Callable[..., Iterable[Any]] | None = None) -> bool:
        """Look at all images; False where Ctrl-C stopped it after some of them."""
        work: Iterable[Any] = self._work(self._twins.samples(images))
        try:
            for do in progress(work, total=self._count(len(images))) if progress else work:
                do()
        except KeyboardInterrupt:
            if not self.n_images:
                raise
            return False
        return True

    def _count(self, n_images: int) -> int:
        """Pieces of work that `_work` makes of so many images."""
        return -(-n_images // self._chunk) * (bool(self._watchers) + (len(self._plan.steps) if self._plan else 0))

    def _work(self, samples: Iterator[Sample]) -> Iterator[Callable[[], None]]:
        """Calls to be made in turn; the last one of each chunk of images counts them."""
        while chunk := [sample for _, sample in zip(range(self._chunk), samples, strict=False)]:
            ends = LogitErrors(self._followed)
            calls: list[Callable[[], None]] = [partial(self._look, chunk)] if self._watchers else []
            walk = OpWalk(self._plan, chunk, self._twins.kernels, ends) if self._plan else None
            calls += walk if walk is not None else []
            yield from calls[:-1]
            yield partial(self._finish, calls[-1], len(chunk), walk, ends)

    def _look(self, chunk: list[Sample]) -> None:
        for watcher in self._watchers:
            watcher.begin()
        local = self._local_inputs if self.local is not None else ""
        for sample in chunk:
            self._twins.run(sample, local=local, quantized=self.accumulated is not None)
            for watcher in self._watchers:
                watcher.see(self._twins)

    def _finish(self, last: Callable[[], None], n: int, walk: OpWalk | None, ends: LogitErrors) -> None:
        """Make the last call of a chunk, and count its images."""
        last()
        if walk is not None:
            plan = walk.plan
            ends.close(*([state[index] for state in walk.states] for index in (plan.logits, plan.outputs[0])))
        for watcher in self._watchers:
            watcher.keep()
        self.logits = self.logits + ends
        self.n_images += n

    @property
    def not_local(self) -> tuple[str, ...]:
        """Layers whose op cannot be run alone, where that was asked for."""
        if set(self._notions) <= {"accumulated"}:
            return ()
        alone = {pair.index for pair in self._twins.alone}
        return tuple(pair.layer for pair in self._twins.pairs if pair.index not in alone)

    def table(self, data: str) -> pd.DataFrame:
        """LAYER_ERROR of the images counted so far."""
        twins = self._twins
        shared = twins.info.key | {
            "data": data, "n_images": self.n_images, "kernels": twins.kernels, "pairing": twins.pairing_words,
            "local_inputs": self._local_inputs if self.local is not None else "",
        }  # fmt: skip
        rows = []
        for pair in twins.pairs:
            row = shared | pair.describe() | self.logits.row(pair)
            row["weight_correlation"] = twins.pairing.correlations.get(pair.layer, float("nan"))
            if twins.steps.reference.graph.tensors[twins.steps.outputs[0]].shape[1:] == (1,):  # no classes to change
                row.pop("effect_changed_top1", None)
            for sums in (self.accumulated, self.local):
                row |= sums.row(pair) if sums is not None else {}
            rows.append(row)
        return frames.build(frames.LAYER_ERROR, rows)
