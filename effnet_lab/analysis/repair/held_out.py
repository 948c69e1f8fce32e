"""Whether a repair helps, seen on calibration images that fixed nothing: a step that does not help is not taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.plan import Plan
from effnet_lab.images import Preprocess, Samples
from effnet_lab.intervals import mean_interval
from effnet_lab.litert import Graph, Runner, read_graph
from effnet_lab.litert.samples import Sample, ran
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError

SHARE = 4  # one image of so many is held out
FEWEST = 8  # images, so that two are held out
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """What a step does to the mean loss on the held-out images."""

    before: float
    after: float
    low: float  # 95 % interval of what it takes off, by Student's t over the images
    high: float
    n_images: int

    @property
    def helps(self) -> bool:
        """Whether it takes off more than its noise."""
        return self.low > 0

    @classmethod
    def of(cls, before: Array, after: Array) -> Gain:
        """From the losses of the same images."""
        low, high = mean_interval(before - after)
        return cls(before=float(before.mean()), after=float(after.mean()), low=low, high=high, n_images=len(after))

    def __str__(self) -> str:
        """One sentence."""
        said = "more than the noise" if self.helps else ("worse" if self.high < 0 else "not more than the noise")
        return (
            f"On {self.n_images} held-out calibration images the loss goes from {self.before:.3g} to {self.after:.3g} "
            f"({self.low:.2g} to {self.high:.2g} less): {said}."
        )


def split_held_out(samples: Samples, seed: int = 0) -> tuple[Samples, Samples]:
    """Images that fix ranges and repairs, and a quarter of all that judges them: the same ones every time."""
    if len(samples) < FEWEST:
        raise UserError(
            f"A repair is judged on a quarter of the calibration images. Give at least {FEWEST}. Got {len(samples)}."
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    n = len(samples) // SHARE
    return samples.pick(np.sort(order[n:])), samples.pick(np.sort(order[:n]))


class HeldOut:
    """How far a quantized network is from the float one, image by image.

    Where the network ends in a softmax the loss is the Kullback-Leibler divergence of the probabilities that follow from the
    logits, in nats: what a wrong first class shows in. Else it is the squared error of the outputs over their mean square.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    samples : Samples
        As the network takes them.
    preprocess : Preprocess
    workers : int, optional
        See `workers_for`.
    """

    def __init__(
        self, float_content: bytes, samples: Samples, preprocess: Preprocess | None, workers: int | None = None
    ) -> None:
        self._samples, self._workers = list(samples.samples(preprocess)), workers
        source = Source(float_content)
        plan, graph = Plan(source, source, ()), source.graph
        self.end_names = [
            graph.tensors[i].name for i in graph.outputs
        ]  # of what is compared: the logits, or the outputs
        self._divergence = any(
            op.kind == "softmax" and op.outputs[0] == graph.outputs[0] and op.inputs[0] == plan.logits
            for op in graph.ops
        )
        if self._divergence:
            self.end_names = [graph.tensors[plan.logits].name]
        self._exact = self._run(float_content)

    def __len__(self) -> int:
        return len(self._samples)

    def losses(self, quantized: bytes) -> Array:
        """Of a quantized file of the same network, (images,)."""
        found = self._run(quantized)
        if self._divergence:
            return np.array([_divergence(a[0], b[0]) for a, b in zip(self._exact, found, strict=True)])
        scale = [np.mean([np.square(a).mean() for a in ends]) or 1.0 for ends in zip(*self._exact, strict=True)]
        return np.array(
            [
                np.mean([np.square(x - y).mean() / s for x, y, s in zip(a, b, scale, strict=True)])
                for a, b in zip(self._exact, found, strict=True)
            ]
        )

    def _run(self, content: bytes) -> list[list[Array]]:
        """What stands at the ends, image by image."""
        graph = read_graph(content)
        among = range(len(graph.tensors)) if self._divergence else graph.outputs  # others are not kept
        tensors = [graph.tensors[_end(graph, among, name, i)] for i, name in enumerate(self.end_names)]

        def ends(runner: Runner, _sample: Sample) -> list[Array]:
            return [runner.activation(tensor).astype(np.float64).reshape(-1) for tensor in tensors]

        return ran(
            content, self._samples, ends, graph=graph, keep_all=self._divergence, workers=self._workers
        )  # fmt: skip


def _end(graph: Graph, among: Iterable[int], name: str, place: int) -> int:
    """The tensor of that name; a tool may have given an output another, and its name to what the output is made of."""
    return next((i for i in among if graph.tensors[i].name == name), graph.outputs[place])


def _divergence(exact: Array, found: Array) -> float:
    """Kullback-Leibler divergence of two softmax distributions, nats."""
    first, second = (values - values.max() for values in (exact, found))
    first, second = (values - np.log(np.exp(values).sum()) for values in (first, second))
    return float((np.exp(first) * (first - second)).sum())
