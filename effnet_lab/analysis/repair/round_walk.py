"""Layer by layer in forward order: each kernel is rounded for the inputs that the quantized network so far delivers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.repair.layer_inputs import kernel_matrix, kernel_tensor, out_size, patches
from effnet_lab.analysis.repair.rounding import InputMoments, RoundedKernel, best_scales, refit, round_rows
from effnet_lab.litert import Op, read_graph
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.options import options_of
from effnet_lab.litert.runner import invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly, Source

POSITIONS = 200  # of each image that are looked at
Array = NDArray[Any]
Values = dict[int, Array]  # of one image, by index of the tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """How one layer is stored."""

    bits: int  # of the weights
    per_tensor: bool = False
    activation_bits: int = 8  # of its output; 32: float


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedLayer:
    """One layer with a kernel, rounded."""

    op: Op  # of the float network
    kernel: RoundedKernel
    shape: tuple[int, ...]  # of the kernel as stored
    bias: Array  # (rows,), real

    def tensor(self, values: Array) -> Array:
        """Codes or real values (rows, columns) in the shape in which the file stores the kernel."""
        return kernel_tensor(values, self.shape, self.op)


def round_kernels(
    float_content: bytes,
    samples: Sequence[tuple[Array, ...]],
    precision: Callable[[Op], Precision],
    *,
    seed: int = 0,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> bytes:
    """The float file with every kernel on the codes of its precision, and the means of the outputs restored in the biases.

    Each kernel is refit to the float outputs given the inputs that the rounded layers before deliver, then rounded column by
    column with the errors made good. Activations stay float in the file; for choosing the codes they are taken as rounded.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    samples : sequence of tuple of ndarray
        Calibration inputs, as `Samples.samples` gives them; never evaluation images.
    precision : callable
        Op of the float network to its `Precision`.
    seed : int
        Of the positions that are looked at.
    progress : callable, optional
        Wraps the ops, as `tqdm` does.
    """
    graph = read_graph(float_content)
    arrays = {}
    for index, layer in RoundWalk(float_content, precision).run(samples, seed=seed, progress=progress).items():
        kernel, *bias = (graph.tensors[i] for i in graph.ops[index].inputs[1:])
        arrays[kernel.name] = np.ascontiguousarray(layer.tensor(layer.kernel.real), dtype=np.float32)
        if bias:
            arrays[bias[0].name] = layer.bias.astype(np.float32)
    return with_constants(float_content, arrays)


class RoundWalk:
    """Take calibration images through the float network and through the one that is being rounded.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    precision : callable
        Op of the float network to its `Precision`.
    """

    def __init__(self, float_content: bytes, precision: Callable[[Op], Precision]) -> None:
        self._source, self._rounded = Source(float_content), Source(float_content)
        self._precision = precision
        self._options = options_of(self._source.tree)
        self._last = {i: n for n, op in enumerate(self._source.graph.ops) for i in op.inputs}
        self._last |= dict.fromkeys(self._source.graph.outputs, len(self._source.graph.ops))

    def run(
        self,
        samples: Sequence[tuple[Array, ...]],
        *,
        seed: int = 0,
        progress: Callable[..., Iterable[Any]] | None = None,
    ) -> dict[int, RoundedLayer]:
        """Round every kernel; by index of the op.

        Parameters
        ----------
        samples : sequence of tuple of ndarray
            Calibration inputs: a float32 array for each input of the network, without the batch.
        seed : int
            Of the positions that are looked at.
        """
        graph, rng = self._source.graph, np.random.default_rng(seed)
        exact: list[Values] = [
            {i: values[np.newaxis] for i, values in zip(graph.inputs, sample, strict=True)} for sample in samples
        ]
        so_far: list[Values] = [dict(state) for state in exact]
        for index in graph.inputs:
            self._fake_quantize(so_far, exact, index, 8)
        found: dict[int, RoundedLayer] = {}
        for n, op in enumerate(progress(graph.ops) if progress else graph.ops):
            if all(map(self._source.constant, op.outputs)):
                continue
            if (kernel := graph.weights(op)) is not None and kernel.data is not None:
                found[op.index] = self._round(op, exact, so_far, rng)
                self._store(op, found[op.index])
            for states, source in ((exact, self._source), (so_far, self._rounded)):
                _OpRunner(source, op).run(states)
            self._fake_quantize(so_far, exact, op.outputs[0], self._precision(op).activation_bits)
            for states in (exact, so_far):
                for state in states:
                    for index in [i for i in state if self._last.get(i, -1) <= n]:
                        del state[index]
        return found

    def _round(self, op: Op, exact: list[Values], so_far: list[Values], rng: np.random.Generator) -> RoundedLayer:
        graph, options, precision = self._source.graph, self._options[op.index], self._precision(op)
        kernel = graph.weights(op)
        assert kernel is not None and kernel.data is not None  # noqa: PT018  asked before
        matrix, x = kernel_matrix(kernel.data, op), op.inputs[0]
        at, moments = self._positions(op, exact[0][x].shape, rng), InputMoments()
        for state, other in zip(exact, so_far, strict=True):
            moments.add(*(patches(s[x], kernel.shape, op, options, at) for s in (state, other)))
        rowwise = op.kind == "depthwise"  # each row has inputs of its own
        fitted = refit(matrix[:, np.newaxis], moments)[:, 0] if rowwise else refit(matrix, moments)
        hessian = moments.covariance
        importance = np.diagonal(hessian, axis1=-2, axis2=-1)
        scale = best_scales(fitted, importance, precision.bits, per_tensor=precision.per_tensor)
        rounded = round_rows(fitted, hessian, scale, precision.bits)
        before, after = moments.means
        bias = self._bias(op, len(matrix)) + ((matrix * before).sum(axis=1) - (rounded.real * after).sum(axis=1))
        return RoundedLayer(op=op, kernel=rounded, shape=kernel.shape, bias=bias)

    def _bias(self, op: Op, rows: int) -> Array:
        if len(op.inputs) < 3:
            return np.zeros(rows)
        stored = self._source.graph.tensors[op.inputs[2]].data
        return np.zeros(rows) if stored is None else stored.astype(np.float64)

    def _positions(self, op: Op, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if op.kind == "dense":
            return np.zeros(1, int)
        kernel, options = self._source.graph.weights(op), self._options[op.index]
        assert kernel is not None
        sides = [out_size(shape[1 + axis], kernel.shape[1 + axis], axis, options) for axis in (0, 1)]
        count = sides[0] * sides[1]
        return rng.choice(count, min(POSITIONS, count), replace=False)

    def _store(self, op: Op, layer: RoundedLayer) -> None:
        """Into the network that is being rounded."""
        self._set(op.inputs[1], layer.tensor(layer.kernel.real))
        if len(op.inputs) > 2:
            self._set(op.inputs[2], layer.bias)

    def _set(self, index: int, values: Array) -> None:
        stored = self._rounded.main.tensors[index]
        data = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint8)
        buffers = self._rounded.tree.buffers
        buffers.append(type(buffers[0])(data=data))
        stored.buffer = len(buffers) - 1

    def _fake_quantize(self, states: list[Values], exact: list[Values], index: int, bits: int) -> None:
        """Activations on the grid that calibration on these images gives them."""
        if bits >= 32 or exact[0][index].dtype != np.float32:
            return
        low = min(0.0, *(float(state[index].min()) for state in exact))
        high = max(0.0, *(float(state[index].max()) for state in exact))
        steps = 2**bits - 1
        scale = max((high - low) / steps, np.finfo(np.float32).tiny)
        zero = np.rint(-low / scale)
        for state in states:
            codes = np.clip(np.rint(state[index] / scale) + zero, 0, steps)
            state[index] = ((codes - zero) * scale).astype(np.float32)


class _OpRunner:
    """One op in an interpreter of its own."""

    def __init__(self, source: Source, op: Op) -> None:
        assembly, stored = Assembly(), [int(i) for i in source.stored(op).inputs]
        self._op = op
        self._inputs = {i: assembly.value(source.main.tensors[i]) for i in dict.fromkeys(source.activations(op))}
        inside = {-1: -1} | self._inputs
        for i in stored:
            if i not in inside:
                inside[i] = assembly.constant(source, i)
        self._outputs = {i: assembly.value(source.main.tensors[i]) for i in op.outputs}
        assembly.op(source, op, [inside[i] for i in stored], [*self._outputs.values()])
        content = assembly.content([*self._inputs.values()], [*self._outputs.values()])
        self._interpreter = open_interpreter(content, threads=1, kernels="xnnpack", keep_all=False)

    def run(self, states: list[Values]) -> None:
        """Each image's outputs beside its inputs."""
        for state in states:
            for i, place in self._inputs.items():
                self._interpreter.set_tensor(place, state[i])
            invoke(self._interpreter)
            for i, place in self._outputs.items():
                state[i] = self._interpreter.get_tensor(place)
