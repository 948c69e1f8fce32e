"""What a verdict rests on: the values each layer takes in the float network, beside the grid that int8 puts over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.twins import Pair, TwinRunner
from effnet_lab.images import ImageSet
from effnet_lab.litert import Graph, Tensor, read_info
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.quantize.float_file import float_beside

BINS = 256  # over the grid: one per code of an 8-bit tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeGrid:
    """The values that the codes of a quantized tensor stand for: from `low` to `high` in steps of `scale`."""

    scale: float
    low: float
    high: float

    @property
    def spare_bits(self) -> int:
        """Bits beyond eight: 8 for an int16 tensor, 0 for int8."""
        return round(np.log2((self.high - self.low) / self.scale + 1)) - 8

    @property
    def step8(self) -> float:
        """Step of an 8-bit grid over the same range."""
        return self.scale * 2**self.spare_bits

    @classmethod
    def of(cls, tensor: Tensor) -> CodeGrid | None:
        """CodeGrid of a computed tensor; None if it is not quantized."""
        if not tensor.quantized:
            return None
        limits, scale, zero = np.iinfo(tensor.dtype), float(tensor.scale[0]), int(tensor.zero_point[0])
        return cls(scale=scale, low=(limits.min - zero) * scale, high=(limits.max - zero) * scale)


@dataclass(kw_only=True)
class Evidence:
    """One layer: its values in the float network on some images, and the grid of its output in the quantized one.

    Energies are sums of squares over all elements of all images, in the square of the tensor's unit. A channel is a
    slice along the last axis.
    """

    file: dict[str, str]  # the columns `frames.MODEL_FILE`
    layer_index: int
    layer: str
    op: str
    grid: CodeGrid | None
    parents: tuple[str, ...]  # layers that it reads; the network's input is not among them
    kernel_max: NDArray | None  # largest absolute weight per output channel, (channels,); None without a kernel
    kernel_per_tensor: bool  # one scale for the whole kernel
    channel_min: NDArray = field(default_factory=lambda: np.empty(0))  # (channels,)
    channel_max: NDArray = field(default_factory=lambda: np.empty(0))
    bins: NDArray = field(default_factory=lambda: np.zeros(BINS, np.int64))  # counts over the grid
    count: int = 0
    images: int = 0
    clipped_images: int = 0  # of them, those on which clipping makes more noise than rounding
    outside: int = 0  # elements beyond the grid
    energy: float = 0.0  # of the float values
    clipped_energy: float = 0.0  # of what clipping cuts off
    rounding_energy: float = 0.0  # of what rounding to the grid adds, where nothing is clipped

    @cached_property
    def low(self) -> float:
        """Smallest value in float."""
        return float(self.channel_min.min())

    @cached_property
    def high(self) -> float:
        """Largest value in float."""
        return float(self.channel_max.max())

    @property
    def reach(self) -> float:
        """Width of the narrowest range that holds the values and zero, as a grid has to."""
        return max(self.high, 0.0) - min(self.low, 0.0)

    @property
    def output_sqnr_db(self) -> float:
        """SQNR of putting the float output on the grid, dB: the least error the layer can have; NaN without a grid."""
        noise = self.clipped_energy + self.rounding_energy
        if self.grid is None:
            return float("nan")
        return float(10 * np.log10(self.energy / noise)) if noise and self.energy else float("inf")

    def see(self, values: NDArray) -> None:
        """Add the float output of one image."""
        by_channel = values.reshape(-1, values.shape[-1])
        low, high = by_channel.min(axis=0), by_channel.max(axis=0)
        first = self.count == 0
        self.channel_min = low if first else np.minimum(self.channel_min, low)
        self.channel_max = high if first else np.maximum(self.channel_max, high)
        self.count += values.size
        self.images += 1
        self.energy += float(np.square(values, dtype=np.float64).sum())
        if self.grid is not None:
            self._compare(values.ravel(), self.grid)

    def _compare(self, values: NDArray, grid: CodeGrid) -> None:
        steps = (values - grid.low) / grid.scale  # position on the grid, in codes from its lower end
        last = round((grid.high - grid.low) / grid.scale)
        nearest = np.clip(np.rint(steps), 0, last)
        error = (steps - nearest) * grid.scale
        outside = (steps < -0.5) | (steps > last + 0.5)
        self.outside += int(np.count_nonzero(outside))
        cut = error[outside].astype(np.float64)
        clipped = float(cut @ cut)
        self.clipped_energy += clipped
        self.clipped_images += clipped > values.size * grid.step8**2 / 12
        self.rounding_energy += max(float(np.square(error, dtype=np.float64).sum()) - clipped, 0.0)
        self.bins += np.bincount((nearest * (BINS / (last + 1))).astype(np.int64), minlength=BINS)


def gather_evidence(
    quantized: Path | str,
    images: ImageSet,
    *,
    float_model: Path | str | bytes | object | None = None,
    kernels: str = "xnnpack",
    progress: Callable[..., Iterable] | None = None,
) -> list[Evidence]:
    """Run the float network on every image and note, per layer, what its values look like on the quantized grid.

    Parameters
    ----------
    quantized, images, float_model, kernels, progress
        As for `layer_error`; only the float network runs.

    Returns
    -------
    list of Evidence
        In forward order, one per layer that both graphs have and that computes numbers, not a shape or an index.
        Interrupted, on the images seen so far.
    """
    info = read_info(quantized)
    twins = TwinRunner(float_beside(quantized, float_model), quantized, kernels=kernels)
    pairs = tuple(pair for pair in twins.pairs if pair.reference.dtype == np.float32)  # no shapes, no indices
    found = _blank(pairs, twins.quantized.graph, info.key)
    one_by_one = (image for batch, _labels in images.batches(info.preprocess, size=8) for image in batch)
    try:
        for image in progress(one_by_one, total=len(images)) if progress else one_by_one:
            twins.reference.feed(image)
            twins.reference.invoke()
            for evidence, pair in zip(found, pairs, strict=True):
                evidence.see(twins.reference.activation(pair.reference))
    except KeyboardInterrupt:
        if not all(evidence.images for evidence in found):
            raise
    return found


def _blank(pairs: tuple[Pair, ...], graph: Graph, file: dict[str, str]) -> list[Evidence]:
    """What the files alone say."""
    layer_of = {pair.quantized.index: pair.layer for pair in pairs}
    for op in graph.ops:  # a value that only changes its type is still the same layer's
        if op.kind in CHANGES_OF_TYPE and op.inputs[0] in layer_of:
            layer_of[op.outputs[0]] = layer_of[op.inputs[0]]
    return [
        Evidence(
            file=file,
            layer_index=pair.index,
            layer=pair.layer,
            op=pair.op.kind,
            grid=CodeGrid.of(pair.quantized),
            parents=tuple(layer_of[i] for i in pair.op.inputs if i in layer_of),
            **_kernel(pair),
        )
        for pair in pairs
    ]


def _kernel(pair: Pair) -> dict:
    """Largest weight of each output channel, as quantized."""
    stored = pair.quantized_kernel
    if stored is None or stored.data is None:
        return {"kernel_max": None, "kernel_per_tensor": False}
    real = np.abs(stored.real(stored.data))
    axis = pair.channel_axis
    largest = np.moveaxis(real, axis, 0).reshape(real.shape[axis], -1).max(axis=1)
    return {"kernel_max": largest, "kernel_per_tensor": stored.quantized and stored.scale.size == 1 < largest.size}


def evidence_table(evidence: Iterable[Evidence]) -> pd.DataFrame:
    """EVIDENCE frame: what the picture of a layer's verdict is drawn from."""
    by_layer = {one.layer: one for one in evidence}
    rows = (one.file | row for one in by_layer.values() for row in _parts(one, by_layer))
    return frames.build(frames.EVIDENCE, list(rows))


def _parts(one: Evidence, by_layer: dict[str, Evidence]) -> Iterator[dict]:
    """Rows of one layer: its grid, its values counted on it, and the ranges of channels, kernel and inputs."""
    shared = {"layer_index": one.layer_index, "layer": one.layer}
    if one.grid is not None:
        yield shared | {"part": "grid", "position": 0, "low": one.grid.low, "high": one.grid.high}
        edges = np.linspace(one.grid.low, one.grid.high + one.grid.scale, BINS + 1) - one.grid.scale / 2
        for i in np.flatnonzero(one.bins):
            at = {"position": int(i), "low": float(edges[i]), "high": float(edges[i + 1]), "count": int(one.bins[i])}
            yield shared | {"part": "values"} | at
    kernel = np.empty(0) if one.kernel_max is None else one.kernel_max
    inputs = [by_layer[name] for name in one.parents if name in by_layer]
    for part, low, high in (
        ("channel", one.channel_min, one.channel_max),
        ("kernel", -kernel, kernel),
        ("input", np.array([parent.low for parent in inputs]), np.array([parent.high for parent in inputs])),
    ):
        for i, ends in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            yield shared | {"part": part, "position": i, "low": ends[0], "high": ends[1]}
