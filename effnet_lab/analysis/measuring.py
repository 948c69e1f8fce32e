"""One pass over the images that fills the sums of every notion asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.error_sums import Accumulated, Local, LogitErrors, Watcher
from effnet_lab.analysis.feeding import Sample
from effnet_lab.analysis.op_by_op import OpWalk, chunk_size
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet
from effnet_lab.workers import in_order, workers_for

NOTIONS = ("accumulated", "local", "effect", "split")
_PARTS = {"effect": (WHOLE,), "split": (WEIGHTS, ACTIVATIONS)}  # what a notion follows to the logits


class _Counted(NamedTuple):
    """The images counted so far."""

    kept: list[Any]  # of each watcher
    logits: LogitErrors
    n_images: int


class Measuring:
    """The sums over all images, and the work that fills them.

    Parameters
    ----------
    twins : Twins
    notions : sequence of str
    local_inputs : "float" or "quantized"
    watchers : sequence of Watcher
        What else looks at the values.
    workers : int, optional
        Pairs of interpreters that share the images, see `workers_for`; the sums are the same to the bit.
    """

    def __init__(
        self, twins: Twins, notions: Sequence[str], local_inputs: str = "float", watchers: Sequence[Watcher] = (),
        workers: int | None = None,
    ) -> None:  # fmt: skip
        self._twins, self._notions, self._local_inputs = twins, notions, local_inputs
        self._workers, self._team = workers, list[Twins]()
        parts = [part for notion, several in _PARTS.items() if notion in notions for part in several]
        if parts:
            twins.settle_shapes()
        if "local" in notions:
            twins.begin(local_inputs)
        self.accumulated = Accumulated(twins.pairs) if "accumulated" in notions else None
        self.local = Local(twins.alone) if "local" in notions else None
        self._watchers = [each for each in (self.accumulated, self.local, *watchers) if each is not None]
        self._plan = twins.plan(parts) if parts else None
        steps = self._plan.steps if self._plan else []
        self._followed = [(step.op.index, part) for step in steps for part in step.parts]
        self._chunk = chunk_size(self._plan) if self._plan else 1
        self._counted = _Counted([watcher.kept for watcher in self._watchers], LogitErrors(self._followed), 0)

    def run(self, images: ImageSet | ArraySet, progress: Callable[..., Iterable[Any]] | None = None) -> bool:
        """Look at all images; False where Ctrl-C stopped it after some of them."""
        samples = self._twins.samples(images)
        calls = self._looks(samples, len(images)) if self._plan is None else self._work(samples)
        try:
            # At its end, threads that are ahead of the count come to theirs, before anybody else looks.
            with closing(calls) as work:
                for do in progress(work, total=self._count(len(images))) if progress else work:
                    do()
            finished = True
        except KeyboardInterrupt:
            if not self.n_images:
                raise
            finished = False
        self._tell()
        if len(self._team) > 1:  # whoever comes after looks at the last image in the first pair of interpreters
            self._see(self._twins, next(self._twins.samples(images.pick(np.array([self.n_images - 1])))))
        return finished

    def _count(self, n_images: int) -> int:
        """Calls that are to be made for so many images."""
        if self._plan is None:
            return n_images
        return -(-n_images // self._chunk) * (bool(self._watchers) + len(self._plan.steps))

    def _looks(self, samples: Iterator[Sample], n_images: int) -> Generator[Callable[[], None]]:
        """Calls to be made in turn, one per image, where nothing is followed to the end."""
        for seen in self._seen(samples, n_images):
            yield partial(self._keep, [seen])

    def _work(self, samples: Iterator[Sample]) -> Generator[Callable[[], None]]:
        """Calls to be made in turn; the last one of each chunk of images counts them."""
        while chunk := [sample for _, sample in zip(range(self._chunk), samples, strict=False)]:
            ends, seen = LogitErrors(self._followed), list[list[Any]]()
            calls: list[Callable[[], None]] = [partial(self._look, chunk, seen)] if self._watchers else []
            walk = OpWalk(self._plan, chunk, self._twins.kernels, ends, self._workers) if self._plan else None
            calls += walk if walk is not None else []
            yield from calls[:-1]
            yield partial(self._finish, calls[-1], walk, ends, seen)

    def _look(self, chunk: list[Sample], seen: list[list[Any]]) -> None:
        seen += self._seen(iter(chunk), len(chunk))

    def _seen(self, samples: Iterator[Sample], n_samples: int) -> Iterator[list[Any]]:
        """What each watcher sees of every sample; the first sample settles the kernels before others are opened like these."""
        if not self._team and (first := next(samples, None)) is not None:
            yield self._see(self._twins, first)
            n = workers_for(self._workers, n_samples, self._twins.memory_bytes)
            self._team = [self._twins, *(self._twins.another() for _ in range(n - 1))]
        if self._team:
            yield from in_order([partial(self._see, twins) for twins in self._team], samples)

    def _see(self, twins: Twins, sample: Sample) -> list[Any]:
        local = self._local_inputs if self.local is not None else ""
        twins.run(sample, local=local, quantized=self.accumulated is not None)
        return [watcher.see(twins) for watcher in self._watchers]

    def _finish(self, last: Callable[[], None], walk: OpWalk | None, ends: LogitErrors, seen: list[list[Any]]) -> None:
        """Make the last call of a chunk, and count its images."""
        last()
        if walk is not None:
            plan = walk.plan
            ends.close(*([state[index] for state in walk.states] for index in (plan.logits, plan.outputs[0])))
        self._keep(seen, ends)

    def _keep(self, seen: list[list[Any]], ends: LogitErrors | None = None) -> None:
        """Count some images. Ctrl-C may come between any two lines: by all watchers together, or not at all."""
        kept, logits, n_images = self._counted
        if seen:
            kept = [watcher.after(each) for watcher, each in zip(self._watchers, zip(*seen, strict=True), strict=True)]
        n_images += len(seen) if ends is None else ends.n_images
        self._counted = _Counted(kept, logits if ends is None else logits + ends, n_images)
        self._tell()

    def _tell(self) -> None:
        for watcher, kept in zip(self._watchers, self._counted.kept, strict=True):
            watcher.kept = kept

    @property
    def logits(self) -> LogitErrors:
        """The loss at the end, of the images counted so far."""
        return self._counted.logits

    @property
    def n_images(self) -> int:
        """Images counted so far."""
        return self._counted.n_images

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
