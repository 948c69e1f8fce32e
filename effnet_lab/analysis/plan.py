"""The ops of a float network in turn, each with its quantized counterpart and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from effnet_lab.analysis.pairs import Pair
from effnet_lab.litert import Op
from effnet_lab.litert.surgery import Assembly, Source

WHOLE, WEIGHTS, ACTIVATIONS = "whole", "weights", "activations"  # what of an op is quantized
Variant = tuple[int, str]  # index of the float op, and what of it is quantized


@dataclass
class OpStep:
    """One op of the float network, with its quantized counterpart where it has one."""

    op: Op
    inputs: tuple[int, ...]  # the float tensors that it takes from other steps
    pair: Pair | None
    taken: dict[int, int] = field(default_factory=dict)  # activation of the quantized op -> float tensor
    parts: tuple[str, ...] = ()  # what of it is quantized, in turn, and followed to the end


class Plan:
    """The steps of a float network, and what is measured at each.

    Parameters
    ----------
    reference, quantized : Source
    pairs : sequence of Pair
    parts : sequence of str
        What is to be followed to the end: none for the local error alone, `WHOLE`, or all three.
    """

    def __init__(self, reference: Source, quantized: Source, pairs: Sequence[Pair], parts: Sequence[str] = ()) -> None:
        self.reference, self.quantized, self.parts = reference, quantized, tuple(sorted(parts))
        of = {pair.reference_op.index: pair for pair in pairs}
        self._matched = {pair.quantized.index: pair.reference.index for pair in pairs}
        ops = [op for op in reference.graph.ops if op.outputs and not all(map(reference.constant, op.outputs))]
        self.steps = [
            OpStep(op=op, inputs=tuple(dict.fromkeys(reference.activations(op))), pair=of.get(op.index)) for op in ops
        ]
        for step in self.steps:
            self._pair_inputs(step)
        self.outputs = reference.graph.outputs
        self.logits = reference.graph.logits
        self.alive = self._alive()

    def _pair_inputs(self, step: OpStep) -> None:
        """Which float tensor each input of the quantized op stands for; no pair where that cannot be told."""
        pair = step.pair
        if pair is None or not self._real(step.op.outputs[0]):
            step.pair = None
            return
        theirs, ours = self.reference.activations(step.op), self.quantized.activations(pair.op)
        if len(ours) != len(theirs):
            step.pair = None
            return
        found = [self._matched.get(self.quantized.root(i)) for i in ours]  # an exporter may have swapped them
        known = [i for i in found if i is not None]
        step.taken = dict(zip(ours, known if set(found) == set(theirs) else theirs, strict=True))
        step.parts = tuple(part for part in self.parts if part == WHOLE or pair.kernels is not None)

    def _real(self, index: int) -> bool:
        """Whether a float tensor holds numbers to be quantized, and not a shape or an index."""
        return bool(self.reference.graph.tensors[index].dtype == np.float32)

    def rounded(self, step: OpStep) -> dict[int, int]:
        """Inputs of the quantized op that stand for numbers, and the float tensors that they stand for."""
        return {index: taken for index, taken in step.taken.items() if self._real(taken)}

    def _alive(self) -> list[frozenset[int]]:
        """Before each step, and after the last, the tensors that are there and will be taken."""
        alive = [frozenset({self.logits, *self.outputs})]
        for step in reversed(self.steps):
            alive.append(alive[-1].difference(step.op.outputs).union(step.inputs))
        return alive[::-1]

    def bytes_per_image(self) -> int:
        """Most that waits between two steps for one image."""
        tensors = self.reference.graph.tensors
        between = zip(self.alive, self.alive[1:], strict=False)
        return max(4 * sum(_count(tensors[i].shape) for i in before | after) for before, after in between)

    def add_integer_op(self, assembly: Assembly, step: OpStep, inputs: dict[int, int], rounded: dict[int, int]) -> int:
        """QUANTIZE, then the op as the quantized file has it; the place of its codes.

        Parameters
        ----------
        inputs : dict
            Places of the float tensors that the step takes.
        rounded : dict
            Places of codes that stand there already, by index in the quantized file; what is added is noted.
        """
        assert step.pair is not None
        source, numbers = self.quantized, self.rounded(step)
        inside = {-1: -1}
        for index in dict.fromkeys(int(i) for i in source.stored(step.pair.op).inputs if i >= 0):
            if index in numbers and index not in rounded:
                rounded[index] = assembly.convert(inputs[numbers[index]], source.main.tensors[index])
            if index in numbers:
                inside[index] = rounded[index]
            elif index in step.taken:
                inside[index] = inputs[step.taken[index]]
            else:
                inside[index] = assembly.constant(source, index)
        return first_output(assembly, source, step.pair.op, inside)


def first_output(assembly: Assembly, source: Source, op: Op, inside: dict[int, int]) -> int:
    """Add an op of a source, whose inputs stand in `inside` by their index there; the first of its outputs."""
    outputs = [assembly.value(source.main.tensors[i]) for i in op.outputs]
    assembly.op(source, op, [inside[int(i)] for i in source.stored(op).inputs], outputs)
    return outputs[0]


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))
