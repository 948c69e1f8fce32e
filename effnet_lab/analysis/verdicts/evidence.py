"""What a verdict rests on: the values each layer takes in the float network, beside the grid that int8 puts over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.pairs import Pair
from effnet_lab.analysis.stored import StoredKernel, compare_biases, compare_kernels
from effnet_lab.analysis.twins import Twins
from effnet_lab.decibels import decibels
from effnet_lab.litert import Graph, Tensor
from effnet_lab.litert.graph import CHANGES_OF_TYPE

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
        return int(round(np.log2((self.high - self.low) / self.scale + 1)) - 8)

    @property
    def step8(self) -> float:
        """Step of an 8-bit grid over the same range."""
        return float(self.scale * 2**self.spare_bits)

    @classmethod
    def of(cls, tensor: Tensor) -> CodeGrid | None:
        """CodeGrid of a computed tensor; None if it is not quantized."""
        if not tensor.quantized:
            return None
        limits, scale, zero = np.iinfo(tensor.dtype), float(tensor.scale[0]), int(tensor.zero_point[0])
        return cls(scale=scale, low=(limits.min - zero) * scale, high=(limits.max - zero) * scale)


def _none() -> Array:
    return np.empty(0)


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
    kernel: StoredKernel | None = None  # beside the float one; None without a kernel
    bias: Array | None = None  # as the kernels take it, less the float one; (channels,) or (1,)
    channel_min: Array = field(default_factory=_none)  # (channels,), as all that follow up to `bins`
    channel_max: Array = field(default_factory=_none)
    channel_energy: Array = field(default_factory=_none)
    channel_clipped: Array = field(default_factory=_none)  # energy of what clipping cuts off
    local_error: Array = field(default_factory=_none)  # sum of the error of the op alone; NaN where it was not measured
    local_error2: Array = field(default_factory=_none)  # sum of its square
    local_min: Array = field(default_factory=_none)  # smallest and largest code of the op alone
    local_max: Array = field(default_factory=_none)
    bins: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))  # counts over the grid
    count: int = 0
    images: int = 0
    counted: str = "images"  # what they are called, "samples" where they are no pictures
    clipped_images: int = 0  # of them, those on which clipping makes more noise than rounding
    outside: int = 0  # elements beyond the grid
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
    def energy(self) -> float:
        """Sum of squares of the float values."""
        return float(self.channel_energy.sum())

    @property
    def step(self) -> float:
        """Step of an 8-bit grid: the file's, or one over the values where the output is not quantized."""
        return self.grid.step8 if self.grid is not None else self.reach / 255

    @property
    def output_sqnr_db(self) -> float:
        """SQNR of putting the float output on the grid, dB: the least error the layer can have; NaN without a grid."""
        if self.grid is None:
            return float("nan")
        noise = self.clipped_energy + self.rounding_energy
        return decibels(self.energy, noise) if self.energy else float("inf")

    @property
    def beyond(self) -> float:
        """How far the values pass an end of the grid, as a share of the way from zero to that end."""
        if self.grid is None:
            return 0.0
        ends = ((self.high, self.grid.high), (-self.low, -self.grid.low))
        return max(value / max(end, self.grid.scale) - 1 if value > end else 0.0 for value, end in ends)

    @property
    def local_sqnr_db(self) -> float:
        """Own error of the op, dB; NaN where it was not measured."""
        return decibels(self.energy, float(self.local_error2.sum())) if self.local_error2.size else float("nan")

    def bits_of(self, noise: float) -> float:
        """Bits that so much noise, summed over all values, takes from an 8-bit grid."""
        rounding = self.count * self.step**2 / 12
        return float(0.5 * np.log2(1 + noise / rounding)) if rounding else 0.0

    def see(self, values: Array) -> None:
        """Add the float output of one image."""
        from effnet_lab.analysis.verdicts.evidence_kernels import CLIPPED, OUTSIDE, ROUNDING, add_grid, add_values

        rows = _rows(values)
        if self.count == 0:
            n = rows.shape[1]
            self.channel_min, self.channel_max = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
            self.channel_energy, self.channel_clipped = np.zeros(n), np.zeros(n)
        add_values(rows, self.channel_min, self.channel_max, self.channel_energy)
        self.count += rows.size
        self.images += 1
        if self.grid is None:
            return
        sums, last = np.zeros(3), round((self.grid.high - self.grid.low) / self.grid.scale)
        numbers = np.float32(self.grid.low), np.float32(self.grid.scale)
        add_grid(rows, *numbers, last, self.channel_clipped, self.bins, sums)
        self.outside += int(sums[OUTSIDE])
        self.clipped_energy += float(sums[CLIPPED])
        self.rounding_energy += float(sums[ROUNDING])
        self.clipped_images += bool(sums[CLIPPED] > rows.size * self.grid.step8**2 / 12)

    def see_alone(self, values: Array, codes: Array, tensor: Tensor) -> None:
        """Add what the op alone made of one image, in codes of `tensor`, beside the float output."""
        from effnet_lab.analysis.verdicts.evidence_kernels import add_errors

        rows, theirs = _rows(values), codes.reshape(-1, codes.shape[-1] if codes.ndim else 1)
        if not self.local_error.size:
            n = rows.shape[1]
            self.local_error, self.local_error2 = np.zeros(n), np.zeros(n)
            self.local_min, self.local_max = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
        scale, zero = (tensor.scale[0], tensor.zero_point[0]) if tensor.quantized else (1.0, 0.0)
        sums = self.local_error, self.local_error2, self.local_min, self.local_max
        add_errors(rows, theirs, np.float32(scale), np.float32(zero), *sums)

    def add(self, other: Evidence) -> None:
        """Add what was seen of the same layer on other images."""
        for name in (*_SUMS, *_COUNTS):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(theirs, int | float) or (mine.size and theirs.size):
                setattr(self, name, _JOINED.get(name, np.add)(mine, theirs) if name in _SUMS else mine + theirs)
            elif theirs.size:
                setattr(self, name, theirs)

    def fork(self) -> Evidence:
        """A copy that can be added to without a trace in this one."""
        twin = copy(self)
        twin.__dict__.pop("low", None)
        twin.__dict__.pop("high", None)
        for name in _SUMS:
            setattr(twin, name, getattr(self, name).copy())
        return twin


_SUMS = (
    "channel_min", "channel_max", "channel_energy", "channel_clipped", "local_error", "local_error2", "local_min",
    "local_max", "bins",
)  # fmt: skip
_COUNTS = ("count", "images", "clipped_images", "outside", "clipped_energy", "rounding_energy")
_JOINED = dict.fromkeys(("channel_min", "local_min"), np.minimum) | dict.fromkeys(
    ("channel_max", "local_max"), np.maximum
)


def _rows(values: Array) -> Array:
    """(positions, channels), float32."""
    return np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1] if values.ndim else 1)


class EvidenceWatcher:
    """Notes what the values of every layer look like on the quantized grid, and what each op alone makes of them.

    One per layer that both graphs have and that computes numbers, not a shape or an index. See `error_sums.Watcher`.
    """

    def __init__(self, twins: Twins, counted: str = "images") -> None:
        self._pairs = [pair for pair in twins.pairs if pair.reference.dtype == np.float32]
        self._alone = {pair.index for pair in twins.alone}
        self.kept = self._nothing = _blank(self._pairs, twins, counted)

    def see(self, twins: Twins) -> list[Evidence]:
        """What the two networks hold."""
        seen = [evidence.fork() for evidence in self._nothing]
        for evidence, pair in zip(seen, self._pairs, strict=True):
            values = twins.float_values(pair)
            evidence.see(values)
            if pair.index in self._alone:
                evidence.see_alone(values, twins.local_codes(pair), pair.quantized)
            del values
        return seen

    def after(self, seen: Sequence[list[Evidence]]) -> list[Evidence]:
        """What is kept with these images."""
        found = [evidence.fork() for evidence in self.kept]
        for one in seen:
            for evidence, more in zip(found, one, strict=True):
                evidence.add(more)
        return found


def _blank(pairs: list[Pair], twins: Twins, counted: str) -> list[Evidence]:
    """What the files alone say."""
    graph, reference = twins.quantized_source.graph, twins.reference_source.graph
    layers = _layers_of_tensors(pairs, graph)
    return [
        Evidence(
            file=twins.info.key,
            layer_index=pair.index,
            layer=pair.layer,
            op=pair.op.kind,
            counted=counted,
            grid=CodeGrid.of(pair.quantized),
            parents=tuple(layers[i] for i in pair.op.inputs if i in layers),
            kernel=compare_kernels(pair),
            bias=compare_biases(pair, reference, graph),
        )
        for pair in pairs
    ]


def _layers_of_tensors(pairs: list[Pair], graph: Graph) -> dict[int, str]:
    layer_of = {pair.quantized.index: pair.layer for pair in pairs}
    for op in graph.ops:  # a value that only changes its type is still the same layer's
        if op.kind in CHANGES_OF_TYPE and op.inputs[0] in layer_of:
            layer_of[op.outputs[0]] = layer_of[op.inputs[0]]
    return layer_of


def evidence_table(evidence: Iterable[Evidence]) -> pd.DataFrame:
    """EVIDENCE frame: what the picture of a layer's verdict is drawn from."""
    by_layer = {one.layer: one for one in evidence}
    rows = (one.file | row for one in by_layer.values() for row in _parts(one, by_layer))
    return frames.build(frames.EVIDENCE, list(rows))


def _parts(one: Evidence, by_layer: dict[str, Evidence]) -> Iterator[dict[str, Any]]:
    """Rows of one layer: its grid, its values counted on it, and the ranges of channels, kernel and inputs."""
    shared = {"layer_index": one.layer_index, "layer": one.layer}
    if one.grid is not None:
        yield shared | {"part": "grid", "position": 0, "low": one.grid.low, "high": one.grid.high}
        edges = np.linspace(one.grid.low, one.grid.high + one.grid.scale, BINS + 1) - one.grid.scale / 2
        for i in map(int, np.flatnonzero(one.bins)):
            at = {"position": i, "low": float(edges[i]), "high": float(edges[i + 1]), "count": int(one.bins[i])}
            yield shared | {"part": "values"} | at
    kernel = np.empty(0) if one.kernel is None else one.kernel.largest
    inputs = [by_layer[name] for name in one.parents if name in by_layer]
    for part, low, high in (
        ("channel", one.channel_min, one.channel_max),
        ("kernel", -kernel, kernel),
        ("input", np.array([parent.low for parent in inputs]), np.array([parent.high for parent in inputs])),
    ):
        for i, ends in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            yield shared | {"part": part, "position": i, "low": ends[0], "high": ends[1]}
