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
    round_kernel,
)
from effnet_lab.analysis.repair.walk_values import FLOAT_BITS, BothStates, Ranges, Values
from effnet_lab.decibels import decibels
from effnet_lab.layer_fit import InputMoments, Matrix, best_pull, lost_mean, refit
from effnet_lab.litert import Op
from effnet_lab.litert.kernel_codes import KernelCodes
from effnet_lab.litert.options import options_of
from effnet_lab.litert.surgery import Source
from effnet_lab.names import UserError

ROWS = 40_000  # positions of all images together that are looked at
MOST_COLUMNS = 4096  # of a kernel whose inputs' covariance is held in memory; wider ones are rounded to nearest
Array = NDArray[Any]
States = list[tuple[Values, Values]]


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
        if graph.keeps_state:
            raise UserError(
                "Rounding goes op by op, and this network remembers what it was asked before. Leave round out."
            )
        self._uses = Counter(i for op in graph.ops for i in op.inputs)
        self._adds = {i: op for op in graph.ops if op.kind == "add" for i in op.inputs}

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
            Calibration inputs: a float32 array for each input of the network, without the batch.
        seed : int
            Of the positions that are looked at.
        kept : KeptLayers, optional
            Layers that are rounded already, and where the others go.
        """
        graph = self._source.graph
        bits = {op.index: self._precision(op).activation_bits for op in graph.ops}
        both = BothStates(self._source, self._rounded, samples, bits, self._ranges)
        found: dict[int, RoundedLayer] = {}
        for op in progress(graph.ops, unit=" layer") if progress else graph.ops:
            if op.outputs and not all(map(self._source.constant, op.outputs)):
                layer = self._layer(op, both.states, np.random.default_rng([seed, op.index]), kept)
                if layer is not None:
                    found[op.index] = layer
                both.advance(op)
            both.leave(op)
        return found

    def _layer(self, op: Op, states: States, rng: np.random.Generator, kept: KeptLayers | None) -> RoundedLayer | None:
        """The layer rounded, and put into the network; None where there is nothing to round."""
        kernel = self._source.graph.weights(op)
        plain = kernel is not None and kernel.data is not None and kernel.dtype == np.float32
        if kernel is None or not plain or self._uses[kernel.index] > 1 or self._precision(op).bits >= FLOAT_BITS:
            return None
        arrays = kept.get(op.index) if kept is not None else None
        layer = self._round(op, states, rng) if arrays is None else self._again(op, arrays)
        if kept is not None and arrays is None:
            kept.put(op.index, layer.arrays)
        self._rounded.replace(op.inputs[1], layer.real)
        if layer.bias is not None:
            self._rounded.replace(op.inputs[2], layer.bias)
        return layer

    def _round(self, op: Op, states: States, rng: np.random.Generator) -> RoundedLayer:
        graph, precision = self._source.graph, self._precision(op)
        stored = graph.kernel(op)
        matrix = kernel_matrix(stored, op, n_groups(op, stored.shape, graph.tensors[op.inputs[0]].shape[-1]))
        halves = self._moments(op, matrix, states, rng)
        moments = halves[0] + halves[1]
        rounded = _rounded(matrix, halves, precision)
        plain = nearest_rows(matrix, _fitting(matrix, precision), precision.bits)
        bias = self._bias(op)
        if bias is not None:
            bias = bias + lost_mean(rounded.real, moments).reshape(-1)
        nearest = nearest_rows(matrix, rounded.scale, precision.bits).codes
        return RoundedLayer(
            op=op, name=graph.tensors[op.outputs[0]].name, kernel=rounded, precision=precision, shape=stored.shape,
            bias=bias, nearest=kernel_tensor(nearest, stored.shape, op).astype(np.int8),
            sqnr_nearest_db=_sqnr_db(plain, moments), sqnr_rounded_db=_sqnr_db(rounded, moments),
        )  # fmt: skip

    def _moments(
        self, op: Op, matrix: Matrix, states: States, rng: np.random.Generator
    ) -> tuple[InputMoments, InputMoments]:
        """Of two halves of the images."""
        options, shape = self._options[op.index], self._source.graph.kernel(op).shape
        x, wide, beside = op.inputs[0], matrix.shape[2] > MOST_COLUMNS, self._beside(op, states)
        halves = InputMoments(means_only=wide), InputMoments(means_only=wide)
        turned = np.swapaxes(matrix, -1, -2).astype(np.float32)
        for n, (exact, so_far) in enumerate(states):
            at = self._positions(op, exact[x].shape, len(states), rng)
            before, given = (patches(values[x], shape, op, options, at) for values in (exact, so_far))
            wanted = before @ turned
            if beside is not None:
                lacking = (exact[beside] - so_far[beside]).reshape(1, -1, wanted.shape[-1])
                wanted = wanted + (lacking if op.kind == "dense" else lacking[:, at])
            halves[n % 2].add(wanted, given)
        return halves

    def _beside(self, op: Op, states: States) -> int | None:
        """What the output of a layer without an activation is added to, where that is known already: so far it may be off."""
        behind, out = self._adds.get(op.outputs[0]), op.outputs[0]
        if behind is None or self._uses[out] > 1 or self._options[op.index].fused != "none" or op.kind == "depthwise":
            return None
        others = [i for i in behind.inputs if i != out and i in states[0][0]]
        same = [i for i in others if self._source.graph.tensors[i].shape == self._source.graph.tensors[out].shape]
        return same[0] if same else None

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

    def _positions(self, op: Op, shape: tuple[int, ...], images: int, rng: np.random.Generator) -> Array:
        if op.kind == "dense":
            return np.zeros(1, int)
        window, options = self._source.graph.kernel(op).shape[1:3], self._options[op.index]
        count = int(np.prod([options.out_size(shape[1 + axis], window[axis], axis) for axis in (0, 1)]))
        return rng.choice(count, min(max(ROWS // images, 1), count), replace=False)


def _rounded(matrix: Matrix, halves: tuple[InputMoments, InputMoments], precision: Precision) -> RoundedKernel:
    bits, per_tensor, moments = precision.bits, precision.per_tensor, halves[0] + halves[1]
    if moments.means_only:
        return nearest_rows(matrix, best_scales(matrix, np.ones(()), bits, per_tensor=per_tensor), bits)
    fitted = refit(matrix, moments, pull=best_pull(matrix, halves))
    return round_kernel(fitted, moments.covariance, bits, per_tensor=per_tensor)


def _sqnr_db(kernel: RoundedKernel, moments: InputMoments) -> float:
    """Of a layer's output, against what is wanted; NaN where it was not measured."""
    return float("nan") if moments.means_only else decibels(moments.signal, moments.error(kernel.real))


def _fitting(matrix: Matrix, precision: Precision) -> Matrix:
    """Scales by which the largest weight of each row, or of all, gets the largest code: what tools write."""
    most = np.abs(matrix).max(axis=2)
    most = np.full_like(most, most.max()) if precision.per_tensor else most
    return np.asarray(np.where(most > 0, most, 1.0) / highest_code(precision.bits))
