"""Calibration statistics: what every activation did on every calibration image, as a file that can be merged.

One row per image and tensor is kept, so that merging is concatenation, and a subset or a bootstrap resample is a choice
of rows: no image is run twice.
"""

from __future__ import annotations

import io
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import Preprocess, Samples
from effnet_lab.images.imageset import digest
from effnet_lab.litert import Graph, Runner, Tensor
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.samples import Sample, read_each, team_of
from effnet_lab.litert.soundness import OPAQUE
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import write_or_keep
from effnet_lab.quantize.range_choice import BINS, METHODS

_ARRAYS = ("low", "high", "exponent", "counts")
_WORDS = ("tensors", "layers", "images")
_DAMAGED = (  # what reading somebody's archive can end in
    OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error,
    NotImplementedError, MemoryError, RecursionError, OverflowError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
INPUT = "input"  # what the network's input is called among the layers
_Ends = tuple[float, float, int]  # lowest, highest, exponent


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What was seen; n images in the order of the run, t tensors: the input, then every op's output."""

    model: str  # see `network_digest`
    data: str
    split: str
    tensors: tuple[str, ...]
    layers: tuple[str, ...]  # readable names of the tensors
    images: tuple[str, ...]  # one fingerprint of the network's input per image
    low: NDArray[Any]  # float32 (n, t), real values
    high: NDArray[Any]  # float32 (n, t)
    exponent: NDArray[Any]  # int16 (n, t): the counts span -2**exponent to 2**exponent
    counts: NDArray[Any]  # uint32 (n, t, BINS)

    @property
    def n_images(self) -> int:
        """Images that were run."""
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for the images, in their order."""
        return digest(*(image.encode() for image in self.images))

    def ranges(
        self, method: str = "minmax", images: Sequence[int] | NDArray[Any] | None = None
    ) -> dict[str, tuple[float, float]]:
        """(low, high) by tensor name, real values; `images` are rows, in an order that moving_average depends on."""
        choose = lookup("calibration method", method, METHODS)
        rows = np.arange(self.n_images) if images is None else np.asarray(images, dtype=np.int64)
        if len(rows) == 0:
            raise UserError("A range needs at least one image. Got an empty choice of images.")
        low, high = choose(self.low[rows], self.high[rows], self.exponent[rows], self.counts, rows)
        return {name: (float(low[i]), float(high[i])) for i, name in enumerate(self.tensors)}

    def require_network(self, graph: Graph) -> None:
        """Refuse another network than the one that these statistics were collected on."""
        if self.model != (wanted := network_digest(graph)):
            raise UserError(
                f"The statistics of {self.data} belong to another network ({self.model}, this one is {wanted}). Collect "
                "them on this very network."
            )

    def save(self, path: Path) -> None:
        """Write a .npz file, whole or not at all; no pickle. See `write_or_keep`."""
        names = ("model", "data", "split", *_WORDS)
        about = json.dumps({name: getattr(self, name) for name in names}).encode()
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, about=np.frombuffer(about, np.uint8), **{name: getattr(self, name) for name in _ARRAYS}
        )
        write_or_keep(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Reverse of `save`; `UserError` where the file is something else."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                about = json.loads(file["about"].tobytes())
                arrays = {name: file[name] for name in _ARRAYS}
            about |= {name: tuple(about[name]) for name in _WORDS}
            if not all(isinstance(word, str) for name in _WORDS for word in about[name]):
                raise ValueError("its names are not text")
            found = cls(**about, **arrays)
            size = (len(found.images), len(found.tensors))
            shapes = [arrays[name].shape for name in _ARRAYS]
            if len(found.layers) != size[1] or shapes != [size, size, size, (*size, BINS)]:
                raise ValueError("its arrays do not fit its names")
            if [arrays[name].dtype.kind for name in _ARRAYS] != ["f", "f", "i", "u"]:
                raise ValueError("its arrays have other types")
            if not (np.isfinite(found.low).all() and np.isfinite(found.high).all()):
                raise ValueError("its ranges are not finite")
        except _DAMAGED as error:
            said = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise UserError(
                f"{path} does not contain calibration statistics: {said[:120]}. Collect them again."
            ) from None
        return found


def collect(
    float_content: bytes | Path,
    images: Samples,
    preprocess: Preprocess | None,
    *,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Statistics:
    """Run a float32 .tflite file once per image, or sample of another kind, in the form that the network takes.

    The images are shared out over so many interpreters, see `workers_for`; the statistics are the same to the bit.

    Raises
    ------
    UserError
        If there is no image, its size is not the network's, or an activation is not finite: names layer and image.
    """
    if len(images) == 0:
        raise UserError(f"{images.name} has no calibration images. Give another source.")
    runner = Runner(float_content, keep_all=True)
    tensors = [*runner.inputs, *_computed(runner.graph)]
    names = layer_names(runner.graph)
    ends = {tensor.name: INPUT for tensor in runner.inputs} if len(runner.inputs) == 1 else {}
    layers = tuple(names.get(tensor.name, ends.get(tensor.name, tensor.name)) for tensor in tensors)
    shape, seen = (len(images), len(tensors)), list[str]()
    low, high, exponent = (np.empty(shape, dtype) for dtype in (np.float32, np.float32, np.int16))
    counts = np.empty((*shape, BINS), np.uint32)

    def observe(runner: Runner, values: Sample) -> tuple[list[_Ends], NDArray[Any], str]:
        """Of one image: ends and counts of each tensor, and the fingerprint of what the network was fed."""
        counted = np.zeros((len(tensors), BINS), np.int64)
        ends = [_observe(_values(runner, tensor), row) for tensor, row in zip(tensors, counted, strict=True)]
        return ends, counted, digest(*(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data for value in values))

    stream = read_each(team_of(runner, workers, len(images)), images.samples(preprocess), observe)
    for number, (ends, counted, fingerprint) in enumerate(progress(stream, total=len(images)) if progress else stream):
        low[number], high[number], exponent[number] = zip(*ends, strict=True)
        if (wrong := np.isnan(low[number])).any():
            raise UserError(
                f"The layer {layers[int(wrong.argmax())]!r} gave NaN or infinity on image {number} of {images.name}. "
                "Correct the weights, or leave out the image."
            )
        counts[number] = counted
        seen.append(fingerprint)
    return Statistics(
        model=network_digest(runner.graph),
        data=images.name,
        split=images.split,
        tensors=tuple(tensor.name for tensor in tensors),
        layers=layers,
        images=tuple(seen),
        low=low,
        high=high,
        exponent=exponent,
        counts=counts,
    )


def _computed(graph: Graph) -> Iterator[Tensor]:
    """What the ops make and somebody reads; no text and no handle."""
    for op in graph.computing_ops:
        for index in op.outputs:
            if index in graph.read and graph.tensors[index].dtype != OPAQUE:
                yield graph.tensors[index]


def network_digest(graph: Graph) -> str:
    """16 hex digits of what is computed: every op's kind, its output's name and shape, and the constants that it takes.

    Not of the file's bytes: two conversions of the same weights, or the same file with other metadata, are one network.
    """
    parts = []
    for op in graph.computing_ops:
        output = graph.tensors[op.outputs[0]]
        parts.append(f"{op.kind} {output.name} {output.shape}".encode())
        constants = (graph.tensors[index].data for index in op.inputs if index >= 0)
        parts += [np.ascontiguousarray(data).tobytes() for data in constants if data is not None]
    return digest(*parts)


def merge(first: Statistics, second: Statistics) -> Statistics:
    """As if both sets of images had been run one after the other; refuses other networks and images that are in both."""
    if (first.model, first.tensors) != (second.model, second.tensors):
        raise UserError(
            f"Statistics of different networks cannot be merged: {first.model} and {second.model}. Collect again."
        )
    both = set(first.images) & set(second.images)
    if both:
        raise UserError(f"{len(both)} images are in both statistics. Merge only statistics of disjoint image sets.")
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _ARRAYS}
    return Statistics(
        model=first.model,
        tensors=first.tensors,
        layers=first.layers,
        images=first.images + second.images,
        data=first.data if first.data == second.data else f"{first.data}+{second.data}",
        split=first.split if first.split == second.split else f"{first.split}+{second.split}",
        **arrays,
    )


def compare(first: Statistics, second: Statistics, method: str = "minmax") -> pd.DataFrame:
    """RANGES frame: the range of every layer from the first statistics, and from the second, of the same layers.

    The networks may differ in their weights: before and after fine-tuning, say.
    """
    if first.layers != second.layers:
        raise UserError(
            f"Ranges can only be compared layer by layer. Got {len(first.layers)} and {len(second.layers)} layers of "
            "networks that are built differently."
        )
    rows = []
    ends = (first.ranges(method).values(), second.ranges(method).values())
    for i, (layer, (low, high), (against_low, against_high)) in enumerate(zip(first.layers, *ends, strict=True)):
        width = against_high - against_low
        row = {"data": first.data, "against": second.data, "method": method, "layer_index": i, "layer": layer}
        row |= {"n_images": first.n_images, "against_n_images": second.n_images, "low": low, "high": high}
        row |= {"against_low": against_low, "against_high": against_high}
        rows.append(row | {"width_ratio": (high - low) / width if width else float("nan")})
    return frames.build(frames.RANGES, rows)


def _values(runner: Runner, tensor: Tensor) -> NDArray[Any]:
    """Real values of a tensor after a run; of a float one as they stand in memory: let go of them before the next run."""
    codes = runner.codes(tensor)
    return tensor.real(codes) if tensor.quantized else codes


def _observe(values: NDArray[Any], counts: NDArray[Any]) -> _Ends:
    """Lowest, highest and exponent, NaN where a value is not finite; `counts` are filled."""
    from effnet_lab.litert.value_counts import counts_over, extremes

    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    low, high = map(float, extremes(flat))
    if not np.isfinite(low + high):
        return float("nan"), float("nan"), 0
    exponent = int(np.frexp(max(-low, high, 2.0**-60))[1])  # values lie strictly inside
    counts_over(flat, np.float32(2.0**-exponent), counts)
    return low, high, exponent
