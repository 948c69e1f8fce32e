"""What values a layer takes, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.layer_error import run_images
from effnet_lab.analysis.twins import Pair, TwinRunner
from effnet_lab.images import ImageSet
from effnet_lab.litert import float_twin, read_info
from effnet_lab.names import UserError

if TYPE_CHECKING:  # the room behind it loads TensorFlow
    from effnet_lab.quantize.twins import TwinFiles

BINS = 64


class HistogramOf:
    """Histograms on demand: call it with (model, scheme, backend, layer), as a layer inspector does."""

    def __init__(self, twins: Sequence[TwinFiles], images: ImageSet) -> None:
        self._images, self._twins = images, {}
        for files in twins:
            info = read_info(files.quantized)
            self._twins[tuple(info.key.values())] = files

    def __call__(self, model: str, scheme: str, backend: str, layer: str) -> pd.DataFrame:
        """HISTOGRAM frame of one layer of one file."""
        files = self.files(model, scheme, backend)
        return layer_histogram(files.quantized, self._images, [layer], float_model=files.float_model)

    def files(self, model: str, scheme: str, backend: str) -> TwinFiles:
        """The float and the quantized file that these name."""
        if (model, scheme, backend) not in self._twins:
            raise UserError(f"No file of {model} in {scheme} by {backend or 'an unknown tool'} was given.")
        return self._twins[model, scheme, backend]


def layer_histogram(
    quantized: Path | str,
    images: ImageSet,
    layers: Iterable[str] | None = None,
    *,
    float_model: Path | str | None = None,
    kernels: str = "xnnpack",
) -> pd.DataFrame:
    """HISTOGRAM frame of the chosen layers (all by default): both networks' values in the same bins.

    The bins span what both take on these images, so a clipped tail shows as float counts with nothing quantized below.
    """
    info = read_info(quantized)
    twins = TwinRunner(float_model or float_twin(quantized), quantized, kernels=kernels)
    wanted = [pair for pair in twins.pairs if layers is None or pair.layer in set(layers)]
    values: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in wanted]
    for _ in run_images(twins, images, info.preprocess):
        for seen, pair in zip(values, wanted, strict=True):
            seen.append(twins.values(pair))
    rows = [info.key | row for pair, seen in zip(wanted, values, strict=True) for row in _bins(pair, seen)]
    return frames.build(frames.HISTOGRAM, rows)


def _bins(pair: Pair, seen: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[dict]:
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
