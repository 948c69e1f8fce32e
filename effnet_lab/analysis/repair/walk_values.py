"""Values on their way through a network: one op after the other, and activations on the grid that integers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert import Op
from effnet_lab.litert.runner import fed, invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly, Source

MEMORY = 3 << 29  # bytes for the values of both networks that wait between two ops
FEWEST = 8  # images, however large
FLOAT_BITS, INPUT_BITS = 32, 8
Array = NDArray[Any]
Values = dict[int, Array]  # of one image, by index of the tensor
Ranges = Mapping[str, tuple[float, float]]  # of activations, by name of the tensor


class OpRunner:
    """One op in an interpreter of its own."""

    def __init__(self, source: Source, op: Op) -> None:
        assembly, stored = Assembly(), [int(i) for i in source.stored(op).inputs]
        self._inputs = {i: assembly.value(source.main.tensors[i]) for i in dict.fromkeys(source.activations(op))}
        inside = {-1: -1} | self._inputs
        for i in stored:
            if i not in inside:
                inside[i] = assembly.constant(source, i)
        self._outputs = {i: assembly.value(source.main.tensors[i]) for i in op.outputs}
        assembly.op(source, op, [inside[i] for i in stored], [*self._outputs.values()])
        content = assembly.content([*self._inputs.values()], [*self._outputs.values()])
        self._interpreter = open_interpreter(content, threads=1, kernels="xnnpack", keep_all=False)

    def run(self, state: Values) -> None:
        """An image's outputs beside its inputs."""
        for i, place in self._inputs.items():
            self._interpreter.set_tensor(place, state[i])
        invoke(self._interpreter)
        for i, place in self._outputs.items():
            state[i] = self._interpreter.get_tensor(place)


class BothStates:
    """Images on their way through the float network and through the one that is being rounded.

    As many go as the memory takes. Where later maps are smaller, more images follow through the ops that lie behind.

    Parameters
    ----------
    exact, rounded : Source
        The same float network; the constants of the second are replaced as it is rounded.
    samples : sequence of tuple of ndarray
        A float32 array for each input of the network, without the batch.
    bits : mapping of place of an op to int
        Of its output; 32: float.
    ranges : mapping of tensor name to (low, high)
        Of activations; of others, those of the first images.
    """

    def __init__(
        self, exact: Source, rounded: Source, samples: Sequence[tuple[Array, ...]], bits: Mapping[int, int],
        ranges: Ranges,
    ) -> None:  # fmt: skip
        self.states: list[tuple[Values, Values]] = []  # in the order of the samples
        self._sources, self._samples, self._bits = (exact, rounded), samples, bits
        self._graph, self._ranges = exact.graph, dict(ranges)
        self._passed: list[tuple[Op, OpRunner, OpRunner]] = []
        self._last = {i: op.index for op in self._graph.ops for i in op.inputs}
        self._last |= dict.fromkeys(self._graph.outputs, len(self._graph.ops))
        self._bytes = self._held()
        self._admit(0)

    def advance(self, op: Op) -> None:
        """Take every image through one op."""
        exact, rounded = self._sources
        passed = op, OpRunner(exact, op), OpRunner(rounded, op)
        for state in self.states:
            self._run(passed, state)
        self._settle(op.outputs, self._bits[op.index], self.states)
        if len(self.states) < len(self._samples):
            self._passed.append(passed)

    def leave(self, op: Op) -> None:
        """Forget what no later op reads, and let others follow."""
        for state in self.states:
            self._forget(op, state)
        self._admit(op.index + 1)

    def _run(self, passed: tuple[Op, OpRunner, OpRunner], state: tuple[Values, Values]) -> None:
        for runner, values in zip(passed[1:], state, strict=True):
            runner.run(values)

    def _admit(self, place: int) -> None:
        """Images that have room before the op at this place."""
        room = max(MEMORY // (2 * max(self._bytes[place:], default=1)), FEWEST)
        begun = [self._fed(sample) for sample in self._samples[len(self.states) : room]]
        if place == 0:
            self._settle(self._graph.inputs, INPUT_BITS, begun)
        for state in begun:
            if place:
                self._settle(self._graph.inputs, INPUT_BITS, [state])
            for passed in self._passed:
                self._run(passed, state)
                self._settle(passed[0].outputs, self._bits[passed[0].index], [state])
                self._forget(passed[0], state)
        self.states += begun
        if len(self.states) == len(self._samples):
            self._passed.clear()

    def _fed(self, sample: tuple[Array, ...]) -> tuple[Values, Values]:
        tensors = [self._graph.tensors[i] for i in self._graph.inputs]
        values = {tensor.index: fed(array, tensor) for tensor, array in zip(tensors, sample, strict=True)}
        return values, dict(values)

    def _settle(self, indices: Sequence[int], bits: int, states: list[tuple[Values, Values]]) -> None:
        """Activations of the network that is rounded, on the grid that calibration gives them."""
        for index in indices:
            if bits >= FLOAT_BITS or states == [] or states[0][0][index].dtype != np.float32:
                continue
            name = self._graph.tensors[index].name
            if name not in self._ranges:
                ends = [(float(exact[index].min()), float(exact[index].max())) for exact, _ in states]
                self._ranges[name] = (min(low for low, _ in ends), max(high for _, high in ends))
            for _, so_far in states:
                so_far[index] = fake_quantize(so_far[index], self._ranges[name], bits)

    def _forget(self, op: Op, state: tuple[Values, Values]) -> None:
        for values in state:
            for index in [i for i in values if self._last.get(i, -1) <= op.index]:
                del values[index]

    def _held(self) -> list[int]:
        """Bytes of an image's values in one network while each op runs."""
        first = dict.fromkeys(self._graph.inputs, 0) | {
            i: op.index
            for op in self._graph.ops
            if not all(map(self._sources[0].constant, op.outputs))
            for i in op.outputs
        }
        spans = [(begin, self._last.get(i, begin), self._graph.tensors[i].size_bytes) for i, begin in first.items()]
        return [sum(size for begin, end, size in spans if begin <= n <= end) for n in range(len(self._graph.ops))]


def fake_quantize(values: Array, ends: tuple[float, float], bits: int) -> Array:
    """Real values on the steps of an integer range that holds 0, saturated, float32.

    16 bits are symmetric about 0, as the format has it; 8 bits span from the lower to the upper end.
    """
    low, high = min(0.0, ends[0]), max(0.0, ends[1])
    steps = 2**bits - 1
    if bits == 16:
        high = max(-low, high)
        low = -high
    scale = np.float32(max((high - low) / steps, np.finfo(np.float32).tiny))
    zero = np.float32(np.rint(-low / scale))
    codes = np.clip(np.rint(values / scale) + zero, 0, steps)
    return np.asarray((codes - zero) * scale, dtype=np.float32)
