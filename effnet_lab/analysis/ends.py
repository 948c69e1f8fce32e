"""How the two networks end: the loss at the logits, and what single layers cost there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from effnet_lab.analysis.feeding import Sample
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.side_graph import SideGraph
from effnet_lab.analysis.twins import Twins
from effnet_lab.decibels import decibels
from effnet_lab.intervals import wilson
from effnet_lab.workers import in_order, workers_for

Ends = tuple[Array, Array]  # of the float and the quantized network


@dataclass(frozen=True, kw_only=True)
class EndLoss:
    """What quantization does to the logits: what goes into a softmax or sigmoid at the end, else the output itself."""

    n_images: int
    signal: float  # sum of squares of the float logits
    noise: float  # sum of squares of their error
    changed: int  # images whose largest output is another; -1 where a network has one output value
    counted: str = "images"  # what they are called, "samples" where they are no pictures
    n_outputs: int = 1  # of the network; the first of them is the one that is looked at

    @property
    def sqnr_db(self) -> float:
        """SQNR of the logits, dB."""
        return decibels(self.signal, self.noise)

    def __str__(self) -> str:
        """One sentence."""
        return self._said("")

    @property
    def with_interval(self) -> str:
        """The same with Wilson's interval of the share of changed answers, 95 %."""
        low, high = wilson(max(self.changed, 0), self.n_images)
        return self._said(f" ({low:.1%} to {high:.1%})")

    def _said(self, interval: str) -> str:
        changes = f"; the first answer changes on {self.changed} of {self.n_images}{interval}"
        answers = changes if self.changed >= 0 else ""
        counted = self.counted if self.n_images != 1 else self.counted.removesuffix("s")
        left = f"{self.sqnr_db:.1f} dB are left" if self.noise else "nothing is lost"
        which = f" (the first of {self.n_outputs} outputs)" if self.n_outputs > 1 else ""
        return f"At the logits{which} {left} over {self.n_images} {counted}{answers}."


class EndWatcher:
    """Adds up the loss at the end of the whole quantized network. See `error_sums.Watcher`."""

    def __init__(self, twins: Twins, counted: str = "images") -> None:
        logits = twins.steps.logits
        self._logits = next((pair for pair in twins.pairs if pair.reference.index == logits), None)
        n_outputs = len(twins.steps.outputs)
        self.kept = EndLoss(n_images=0, signal=0.0, noise=0.0, changed=0, counted=counted, n_outputs=n_outputs)

    def see(self, twins: Twins) -> tuple[Ends, Ends]:
        """What the two networks hold at their logits and at their first output."""
        outputs = twins.outputs()
        ends = twins.values(self._logits) if self._logits is not None else outputs[0]
        return ends, outputs[0]

    def after(self, seen: Sequence[tuple[Ends, Ends]]) -> EndLoss:
        """What is kept with these images."""
        kept = self.kept
        for ends, outputs in seen:
            kept = _add(kept, ends, outputs)
        return kept


def losses_of(twins: Twins, pairs: Sequence[Pair], samples: Iterable[Sample]) -> list[EndLoss]:
    """The loss at the end of the float network when one op alone is quantized, for each of these layers."""
    plan, seen = twins.steps, list(samples)
    changed_ops: list[tuple[int, ...]] = [(), *((pair.reference_op.index,) for pair in pairs)]
    graphs = [SideGraph(plan, twins.kernels, beside=ops, passed_on=ops, ends_only=True) for ops in changed_ops]
    n = workers_for(None, len(graphs) * len(seen), graphs[0].memory_bytes)
    plain, *others = in_order([partial(_ends, twins=twins, samples=seen)] * n, graphs)
    losses = []
    for other in others:
        loss = EndLoss(n_images=0, signal=0.0, noise=0.0, changed=0)
        for (logits, output), (moved, changed) in zip(plain, other, strict=True):
            loss = _add(loss, (logits, moved), (output, changed))
        losses.append(loss)
    return losses


def _ends(graph: SideGraph, twins: Twins, samples: Iterable[Sample]) -> list[Ends]:
    plan, ends = twins.steps, list[Ends]()
    for sample in samples:
        graph.feed(*sample)
        graph.invoke()
        ends.append((graph.end(plan.logits), graph.end(plan.outputs[0])))
    return ends


def _add(loss: EndLoss, logits: Ends, outputs: Ends) -> EndLoss:
    a, b = (values.astype(np.float64).reshape(-1) for values in logits)
    one_value = outputs[0].size < 2
    return replace(
        loss,
        n_images=loss.n_images + 1,
        signal=loss.signal + float(a @ a),
        noise=loss.noise + float((a - b) @ (a - b)),
        changed=-1 if one_value else loss.changed + bool(outputs[0].argmax() != outputs[1].argmax()),
    )
