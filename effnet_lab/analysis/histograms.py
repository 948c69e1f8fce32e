"""What values a layer takes, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.opening import open_twins
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.names import lookup

if TYPE_CHECKING:  # the rooms behind them load TensorFlow
    from effnet_lab.quantize.float_file import Network

BINS = 64


class HistogramOf:
    """Histograms on demand: call it with (model, scheme, backend, layer), as a layer inspector does."""

    def __init__(self, opened: Iterable[Twins], images: ImageSet | ArraySet) -> None:
        self._images = images
        self._opened = {tuple(twins.info.key.values()): twins for twins in opened}

    def __call__(self, model: str, scheme: str, backend: str, layer: str) -> pd.DataFrame:
        """HISTOGRAM frame of one layer of one file."""
        return layer_histogram(self.twins(model, scheme, backend), self._images, [layer])

    def twins(self, model: str = "", scheme: str = "", backend: str = "") -> Twins:
        """The float and the quantized file that these name; the first that fits where a name is empty."""
        wanted, known = (model, scheme, backend), list(self._opened)
        for i, (kind, name) in enumerate(zip(frames.MODEL_FILE, wanted, strict=True)):
            names = dict.fromkeys(key[i] for key in known)
            if name:
                lookup(kind, name, names)
            known = [key for key in known if not name or key[i] == name]
        return self._opened[known[0]]


def layer_histogram(
    quantized: Network | Twins,
    images: Source,
    layers: Iterable[str] | None = None,
    *,
    float_model: Network | bytes | None = None,
    kernels: str = "xnnpack",
    preprocess: Stated = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """HISTOGRAM frame of the chosen layers (all by default): both networks' values in the same bins.

    The bins span what both take on these images, so a clipped tail shows as float counts with nothing quantized below.
    `quantized`, `float_model`, `kernels`, `preprocess` are those of `open_twins`.
    """
    chosen = open_samples(images, limit=limit)
    twins = open_twins(quantized, float_model, kernels=kernels, preprocess=preprocess)
    names = None if layers is None else set(layers)
    wanted = [pair for pair in twins.pairs if names is None or pair.layer in names]
    values: list[list[tuple[Array, Array]]] = [[] for _ in wanted]
    for sample in twins.samples(chosen):
        twins.run(sample)
        for seen, pair in zip(values, wanted, strict=True):
            seen.append(twins.values(pair))
    rows = [twins.info.key | row for pair, seen in zip(wanted, values, strict=True) for row in _bins(pair, seen)]
    return frames.build(frames.HISTOGRAM, rows)


def _bins(pair: Pair, seen: list[tuple[Array, Array]]) -> Iterator[dict[str, Any]]:
    reference, quantized = (np.concatenate([values[i].ravel() for values in seen]) for i in (0, 1))
    low, high = min(reference.min(), quantized.min()), max(reference.max(), quantized.max())
    edges = np.histogram_bin_edges([], bins=BINS, range=(low, high))
    for precision, values in (("float", reference), ("quantized", quantized)):
        counts, _ = np.histogram(values, bins=edges)
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
            yield {
                "layer_index": pair.index, "layer": pair.layer, "computed_in": precision,
                "bin_left": float(left), "bin_right": float(right), "count": int(count),
            }  # fmt: skip
