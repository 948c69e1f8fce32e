"""Layer by layer in forward order: each kernel is rounded for the inputs that the quantized network so far delivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.repair.kept_layers import KeptLayers
from effnet_lab.analysis.repair.layer_inputs import kernel_matrix, kernel_tensor, n_groups, patches
from effnet_lab.analysis.repair.rounding import (
    RoundedKernel,
    best_scales,
    highest_code,
    nearest_rows,
    round_rows,
)
from effnet_lab.analysis.repair.walk_values import OpRunner, Values, fake_quantize
from effnet_lab.decibels import decibels
from effnet_lab.layer_fit import InputMoments, Matrix, lost_mean, refit
from effnet_lab.litert import Op
from effnet_lab.litert.kernel_codes import KernelCodes
from effnet_lab.litert.options import options_of
from effnet_lab.litert.runner import fed
from effnet_lab.litert.surgery import Source

POSITIONS = 200  # of each image that are looked at
MOST_COLUMNS = 4096  # of a kernel whose inputs' covariance is held in memory; wider ones are rounded to nearest
MEMORY = 3 << 29  # bytes for the values of both networks that wait between two ops
FEWEST = 8  # images, however large
FLOAT_BITS = 32
Array = NDArray[Any]
Ranges = Mapping[str, tuple[float, float]]  # of activations, by name of the tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """How one layer is stored."""

    bits: int  # of the weights; 32: float, and left alone
    per_tensor: bool = False
    activation_bits: int = 8  # of its output; 32: float


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedLayer:
    """One layer with a kernel, rounded."""

    op: Op  # of the float network
    name: str  # of the tensor that it computes
    kernel: RoundedKernel
    precision: Precision
    shape: tuple[int, ...]  # of the kernel as stored
    bias: Matrix | None  # (channels,), real; None where the layer has none
    nearest: Array  # the codes nearest to the float weights on the same scales, as stored
    sqnr_nearest_db: (
        float  # of the output, given the same inputs: kernel rounded to nearest on scales that fit its largest
    )
    sqnr_rounded_db: float  # of the output: as rounded

    @property
    def arrays(self) -> dict[str, Array]:
        """What has to be kept of it."""
        found: dict[str, Array] = {
            "codes": self.kernel.codes.astype(np.int8),
            "scale": self.kernel.scale,
            "nearest": self.nearest,
        }
        found["sqnr_db"] = np.array([self.sqnr_nearest_db, self.sqnr_rounded_db])
        return found if self.bias is None else found | {"bias": self.bias}

    @property
    def codes(self) -> Array:
        """As stored, int8."""
        return kernel_tensor(self.kernel.codes, self.shape, self.op).astype(np.int8)

    @property
    def real(self) -> Array:
        """What the codes stand for, as stored, float32."""
        return kernel_tensor(self.kernel.real, self.shape, self.op).astype(np.float32)

    @property
    def stored(self) -> KernelCodes:
        """What the quantized file is to hold."""
        scale = self.kernel.scale.reshape(-1).astype(np.float32)
        return KernelCodes(
            codes=self.codes, scale=scale[:1] if self.precision.per_tensor else scale, bits=self.precision.bits,
            bias=self.bias,
        )  # fmt: skip


class RoundWalk:
    """Take calibration images through the float network and through the one that is being rounded.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    precision : callable
        Op of the float network to its `Precision`.
    ranges : mapping of tensor name to (low, high), optional
        Of activations, as the quantized file will have them; by default those of the images.
    """

    def __init__(
        self, float_content: bytes, precision: Callable[[Op], Precision], ranges: Ranges | None = None
    ) -> None:
        self._source, self._rounded = Source(float_content), Source(float_content)
        self._precision, self._ranges = precision, ranges or {}
        self._options = options_of(self._source.tree)
        graph = self._source.graph
        self._last = {i: n for n, op in enumerate(graph.ops) for i in op.inputs}
        self._last |= dict.fromkeys(graph.outputs, len(graph.ops))
        self._uses = Counter(i for op in graph.ops for i in op.inputs)

    def run(
        self,
        samples: Sequence[tuple[Array, ...]],
        *,
        seed: int = 0,
        kept: KeptLayers | None = None,
        progress: Callable[..., Iterable[Any]] | None = None,
    ) -> dict[int, RoundedLayer]:
        """Round every kernel; by index of the op.

        Parameters
        ----------
        samples : sequence of tuple of ndarray
            Calibration inputs: a float32 array for each input of the network, without the batch. Where they are too many
            for the memory, the first are taken.
        seed : int
            Of the positions that are looked at.
        kept : KeptLayers, optional
            Layers that are rounded already, and where the others go.
        """
        graph = self._source.graph
        samples = samples[: max(MEMORY // (2 * max(graph.peak_activation_bytes, 1)), FEWEST)]
        exact: list[Values] = [
            {i: fed(values, graph.tensors[i]) for i, values in zip(graph.inputs, sample, strict=True)}
            for sample in samples
        ]
        so_far: list[Values] = [dict(state) for state in exact]
        for index in graph.inputs:
            self._fake_quantize(so_far, exact, index, 8)
        found: dict[int, RoundedLayer] = {}
        for n, op in enumerate(progress(graph.ops, unit=" layer") if progress else graph.ops):
            if op.outputs and not all(map(self._source.constant, op.outputs)):
                layer = self._layer(op, exact, so_far, np.random.default_rng([seed, n]), kept)
                if layer is not None:
                    found[op.index] = layer
                self._advance(op, exact, so_far)
            for states in (exact, so_far):
                for state in states:
                    for index in [i for i in state if self._last.get(i, -1) <= n]:
                        del state[index]
        return found

    def _advance(self, op: Op, exact: list[Values], so_far: list[Values]) -> None:
        for states, source in ((exact, self._source), (so_far, self._rounded)):
            OpRunner(source, op).run(states)
        for index in op.outputs:
            self._fake_quantize(so_far, exact, index, self._precision(op).activation_bits)

    def _layer(
        self, op: Op, exact: list[Values], so_far: list[Values], rng: np.random.Generator, kept: KeptLayers | None
    ) -> RoundedLayer | None:
        """The layer rounded, and put into the network; None where there is nothing to round."""
        kernel = self._source.graph.weights(op)
        plain = kernel is not None and kernel.data is not None and kernel.dtype == np.float32
        if kernel is None or not plain or self._uses[kernel.index] > 1 or self._precision(op).bits >= FLOAT_BITS:
            return None
        arrays = kept.get(op.index) if kept is not None else None
        layer = self._round(op, exact, so_far, rng) if arrays is None else self._again(op, arrays)
        if kept is not None and arrays is None:
            kept.put(op.index, layer.arrays)
        self._rounded.replace(op.inputs[1], layer.real)
        if layer.bias is not None:
            self._rounded.replace(op.inputs[2], layer.bias)
        return layer

    def _round(self, op: Op, exact: list[Values], so_far: list[Values], rng: np.random.Generator) -> RoundedLayer:
        graph, options, precision = self._source.graph, self._options[op.index], self._precision(op)
        stored, x = graph.kernel(op), op.inputs[0]
        matrix = kernel_matrix(stored, op, n_groups(op, stored.shape, graph.tensors[x].shape[-1]))
        at, moments = (
            self._positions(op, exact[0][x].shape, rng),
            InputMoments(means_only=matrix.shape[2] > MOST_COLUMNS),
        )
        for state, other in zip(exact, so_far, strict=True):
            moments.add(*(patches(s[x], stored.shape, op, options, at) for s in (state, other)))
        rounded = _rounded(matrix, moments, precision)
        plain = nearest_rows(matrix, _fitting(matrix, precision), precision.bits)
        bias = self._bias(op)
        if bias is not None:
            bias = bias + lost_mean(matrix, rounded.real, moments).reshape(-1)
        nearest = nearest_rows(matrix, rounded.scale, precision.bits).codes
        return RoundedLayer(
            op=op, name=graph.tensors[op.outputs[0]].name, kernel=rounded, precision=precision, shape=stored.shape,
            bias=bias, nearest=kernel_tensor(nearest, stored.shape, op).astype(np.int8),
            sqnr_nearest_db=_sqnr_db(matrix, plain, moments), sqnr_rounded_db=_sqnr_db(matrix, rounded, moments),
        )  # fmt: skip

    def _again(self, op: Op, arrays: Mapping[str, Array]) -> RoundedLayer:
        """A layer that was rounded before."""
        nearest_db, rounded_db = arrays["sqnr_db"].tolist()
        kernel = RoundedKernel(codes=arrays["codes"].astype(np.float64), scale=arrays["scale"])
        return RoundedLayer(
            op=op, name=self._source.graph.tensors[op.outputs[0]].name, kernel=kernel, precision=self._precision(op),
            shape=self._source.graph.kernel(op).shape, bias=arrays.get("bias"), nearest=arrays["nearest"],
            sqnr_nearest_db=nearest_db, sqnr_rounded_db=rounded_db,
        )  # fmt: skip

    def _bias(self, op: Op) -> Matrix | None:
        stored = self._source.graph.tensors[op.inputs[2]] if len(op.inputs) > 2 else None
        if stored is None or stored.data is None or self._uses[stored.index] > 1:
            return None
        return stored.data.astype(np.float64).reshape(-1)

    def _positions(self, op: Op, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if op.kind == "dense":
            return np.zeros(1, int)
        window, options = self._source.graph.kernel(op).shape[1:3], self._options[op.index]
        count = int(np.prod([options.out_size(shape[1 + axis], window[axis], axis) for axis in (0, 1)]))
        return rng.choice(count, min(POSITIONS, count), replace=False)

    def _fake_quantize(self, states: list[Values], exact: list[Values], index: int, bits: int) -> None:
        """Activations on the grid that calibration gives them."""
        if bits >= FLOAT_BITS or exact[0][index].dtype != np.float32:
            return
        own = (min(float(s[index].min()) for s in exact), max(float(s[index].max()) for s in exact))
        ends = self._ranges.get(self._source.graph.tensors[index].name, own)
        for state in states:
            state[index] = fake_quantize(state[index], ends, bits)


def _rounded(matrix: Matrix, moments: InputMoments, precision: Precision) -> RoundedKernel:
    if moments.means_only:
        scale = best_scales(matrix, np.ones(()), precision.bits, per_tensor=precision.per_tensor)
        return nearest_rows(matrix, scale, precision.bits)
    fitted, hessian = refit(matrix, moments), moments.covariance
    importance = np.diagonal(hessian, axis1=-2, axis2=-1)[:, np.newaxis]
    scale = best_scales(fitted, importance, precision.bits, per_tensor=precision.per_tensor)
    return round_rows(fitted, hessian, scale, precision.bits)


def _sqnr_db(matrix: Matrix, kernel: RoundedKernel, moments: InputMoments) -> float:
    """Of a layer's output, against that of the float network; NaN where it was not measured."""
    if moments.means_only:
        return float("nan")
    return decibels(moments.signal(matrix), moments.error(matrix, kernel.real))


def _fitting(matrix: Matrix, precision: Precision) -> Matrix:
    """Scales by which the largest weight of each row, or of all, gets the largest code: what tools write."""
    most = np.abs(matrix).max(axis=2)
    most = np.full_like(most, most.max()) if precision.per_tensor else most
    return np.asarray(np.where(most > 0, most, 1.0) / highest_code(precision.bits))
