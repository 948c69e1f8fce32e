"""One op after the other: what an op does wrong by itself, and what its error does to the logits.

The float network is run op by op, all images of a chunk through one op before the next, so that at any time few small
interpreters are open and only the tensors between two ops wait in memory. To follow the error of one op to the end, what
comes after it is run twice as two files: the rest of its segment of the network, and all segments behind, which the ops of
one segment share. So nothing before the quantized op is computed again, and few large files are built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.twins import Pair
from effnet_lab.litert import Op
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.litert.runner import invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly, Source

CHUNK_BYTES = 112 << 20  # of the values that wait between two ops, over all images of a chunk
MOST_IMAGES = 16  # of a chunk: what an interrupt can cost
SEGMENT = 12  # ops: how many share the files behind them; few large files are to be built, and few tensors handed on
WHOLE, WEIGHTS, ACTIVATIONS = "whole", "weights", "activations"  # what of an op is quantized
Variant = tuple[int, str]  # index of the float op, and what of it is quantized
Values = dict[int, NDArray]  # of one image, by index of the float tensor


class Sums(Protocol):
    """Where the errors go."""

    def see_local(self, step: OpStep, reference: NDArray, codes: NDArray) -> None: ...

    def see_end(self, variant: Variant, logits: NDArray, output: NDArray) -> None: ...


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
    pass_on : "float" or "quantized"
        What the next op gets: the float op's output, or the quantized op's.
    """

    def __init__(
        self,
        reference: Source,
        quantized: Source,
        pairs: Sequence[Pair],
        parts: Sequence[str] = (),
        pass_on: str = "float",
    ) -> None:
        self.reference, self.quantized, self.parts, self.pass_on = reference, quantized, tuple(sorted(parts)), pass_on
        of = {pair.reference_op.index: pair for pair in pairs}
        self._matched = {pair.quantized.index: pair.reference.index for pair in pairs}
        ops = [op for op in reference.graph.ops if not all(map(reference.constant, op.outputs))]
        self.steps = [
            OpStep(op=op, inputs=tuple(dict.fromkeys(reference.activations(op))), pair=of.get(op.index)) for op in ops
        ]
        for step in self.steps:
            self._pair_inputs(step)
        self.output = reference.graph.outputs[0]
        self.logits = self._logits()
        self.alive = self._alive()

    def _pair_inputs(self, step: OpStep) -> None:
        """Which float tensor each input of the quantized op stands for; no pair where that cannot be told."""
        if step.pair is None or not self._real(step.op.outputs[0]):
            step.pair = None
            return
        theirs, ours = self.reference.activations(step.op), self.quantized.activations(step.pair.op)
        if len(ours) != len(theirs):
            step.pair = None
            return
        found = [self._matched.get(self.quantized.root(i)) for i in ours]  # an exporter may have swapped them
        step.taken = dict(zip(ours, found if set(found) == set(theirs) else theirs, strict=True))
        kernels = step.pair.reference_kernel, step.pair.quantized_kernel
        splits = kernels[0] is not None and kernels[0].shape == kernels[1].shape
        step.parts = tuple(part for part in self.parts if part == WHOLE or splits)

    def _real(self, index: int) -> bool:
        """Whether a float tensor holds numbers to be quantized, and not a shape or an index."""
        return self.reference.graph.tensors[index].dtype == np.float32

    def rounded(self, step: OpStep) -> dict[int, int]:
        """Inputs of the quantized op that stand for numbers, and the float tensors that they stand for."""
        return {index: taken for index, taken in step.taken.items() if self._real(taken)}

    def _logits(self) -> int:
        """What the last softmax or sigmoid takes; the output itself where there is none."""
        last = {index: step for step in self.steps for index in step.op.outputs}
        index = self.output
        while index in last and last[index].op.kind in (*CHANGES_OF_TYPE, "softmax", "logistic"):
            index = last[index].inputs[0]
        return index

    def _alive(self) -> list[frozenset[int]]:
        """Before each step, and after the last, the tensors that are there and will be taken."""
        alive = [frozenset({self.logits, self.output})]
        for step in reversed(self.steps):
            alive.append(alive[-1].difference(step.op.outputs).union(step.inputs))
        return alive[::-1]

    def bytes_per_image(self) -> int:
        """Most that waits between two steps for one image."""
        tensors = self.reference.graph.tensors
        between = zip(self.alive, self.alive[1:], strict=False)
        return max(4 * sum(_count(tensors[i].shape) for i in before | after) for before, after in between)

    def chunk(self) -> int:
        """Images that are taken through the steps together."""
        return int(np.clip(CHUNK_BYTES // self.bytes_per_image(), 1, MOST_IMAGES))


class Piece:
    """The steps from `first` up to `last`, without it, of the float network in one interpreter."""

    def __init__(self, plan: Plan, first: int, last: int, kernels: str) -> None:
        source, steps, assembly = plan.reference, plan.steps[first:last], Assembly()
        self._inputs: dict[int, int] = {}  # float tensor -> tensor of the piece
        inside = {-1: -1}
        for step in steps:
            stored = [int(i) for i in source.stored(step.op).inputs]
            for i in stored:
                if i not in inside and source.constant(i):
                    inside[i] = assembly.constant(source, i)
                elif i not in inside:
                    self._inputs[i] = inside[i] = assembly.value(source.main.tensors[i])
            inside |= {i: assembly.value(source.main.tensors[i]) for i in step.op.outputs}
            assembly.op(source, step.op, [inside[i] for i in stored], [inside[i] for i in step.op.outputs])
        made = {i for step in steps for i in step.op.outputs}
        self._outputs = {i: inside[i] for i in sorted(made & plan.alive[last])}
        self._interpreter = None
        if self._outputs:
            self._interpreter = open_step(
                assembly.content([*self._inputs.values()], [*self._outputs.values()]), kernels
            )

    def run(self, values: Values) -> Values:
        """What later steps take of this piece, as views: let go of them before the next run."""
        if self._interpreter is None:
            return {}
        for i, place in self._inputs.items():
            self._interpreter.set_tensor(place, values[i])
        invoke(self._interpreter)
        return {i: self._interpreter.tensor(place)() for i, place in self._outputs.items()}


class StepRunner:
    """The small interpreter of one step: the float op, and whatever is quantized of it; of several outputs, the first."""

    def __init__(self, plan: Plan, step: OpStep, kernels: str) -> None:
        self._step, self._plan = step, plan
        source, assembly = plan.reference, Assembly()
        self._inputs = {i: assembly.value(source.main.tensors[i]) for i in step.inputs}
        self._outputs = {i: assembly.value(source.main.tensors[i]) for i in step.op.outputs}
        stored = [int(i) for i in source.stored(step.op).inputs]
        self._constants = {i: assembly.constant(source, i) for i in stored if i >= 0 and i not in self._inputs}
        self._inside = self._inputs | self._constants | {-1: -1}
        assembly.op(source, step.op, [self._inside[i] for i in stored], [*self._outputs.values()])
        self._parts: dict[str, int] = {}  # real values
        self._codes = self._add_integer_op(assembly) if step.pair is not None else None
        if step.pair is not None and (WHOLE in step.parts or plan.pass_on == "quantized"):
            self._parts[WHOLE] = assembly.convert(self._codes, None)
        if WEIGHTS in step.parts:
            self._parts[WEIGHTS] = self._add_weights_alone(assembly)
        if ACTIVATIONS in step.parts:
            self._parts[ACTIVATIONS] = self._add_activations_alone(assembly)
        outputs = [*self._outputs.values(), *([] if self._codes is None else [self._codes]), *self._parts.values()]
        content = assembly.content([*self._inputs.values()], list(dict.fromkeys(outputs)))
        self._interpreter = open_step(content, kernels)

    def _add_integer_op(self, assembly: Assembly) -> int:
        """QUANTIZE, then the op as the quantized file has it."""
        step, source, rounded = self._step, self._plan.quantized, self._plan.rounded(self._step)
        inside = {-1: -1}
        for index in dict.fromkeys(int(i) for i in source.stored(step.pair.op).inputs if i >= 0):
            if index in rounded:
                inside[index] = assembly.convert(self._inputs[rounded[index]], source.main.tensors[index])
            elif index in step.taken:
                inside[index] = self._inputs[step.taken[index]]
            else:
                inside[index] = assembly.constant(source, index)
        return _first_output(assembly, source, step.pair.op, inside)

    def _add_weights_alone(self, assembly: Assembly) -> int:
        """The float op with the values that the quantized file stores for its kernel and bias."""
        step, source = self._step, self._plan.reference
        ours, theirs = source.stored(step.op).inputs, self._plan.quantized.stored(step.pair.op).inputs
        inside = dict(self._inside)
        for mine, other in zip(map(int, ours), map(int, theirs), strict=False):
            if other >= 0 and mine in self._constants:
                inside[mine] = assembly.constant(self._plan.quantized, other, real=True)
        return _first_output(assembly, source, step.op, inside)

    def _add_activations_alone(self, assembly: Assembly) -> int:
        """The float op between inputs and an output that are rounded to the quantized file's codes."""
        step, source, theirs = self._step, self._plan.reference, self._plan.quantized.main.tensors
        inside = dict(self._inside)
        for index, taken in self._plan.rounded(step).items():
            inside[taken] = assembly.convert(assembly.convert(self._inputs[taken], theirs[index]), None)
        out = _first_output(assembly, source, step.op, inside)
        return assembly.convert(assembly.convert(out, theirs[step.pair.quantized.index]), None)

    def run(self, values: Values, sums: Sums, near: Piece | None, far: Piece | None) -> Values:
        """Measure one image; the outputs of the step, for the next ones."""
        step, interpreter = self._step, self._interpreter
        for i, place in self._inputs.items():
            interpreter.set_tensor(place, values[i])
        invoke(interpreter)
        made = {i: interpreter.get_tensor(place) for i, place in self._outputs.items()}
        first = step.op.outputs[0]
        if self._codes is not None:
            sums.see_local(step, made[first], interpreter.tensor(self._codes)())
        for part in step.parts:
            changed = values | made | {first: interpreter.tensor(self._parts[part])()}
            changed |= near.run(changed)
            changed |= far.run(changed)
            sums.see_end((step.op.index, part), changed[self._plan.logits], changed[self._plan.output])
            del changed  # views into interpreters that run again
        if self._plan.pass_on == "quantized" and self._codes is not None:
            made[first] = interpreter.get_tensor(self._parts[WHOLE])
        return made


class OpWalk:
    """Take a chunk of images through all steps.

    Parameters
    ----------
    plan : Plan
    images : ndarray of float32, shape (n, h, w, 3)
    kernels : str
        See `litert.KERNELS`.
    sums : Sums
    """

    def __init__(self, plan: Plan, images: NDArray, kernels: str, sums: Sums) -> None:
        self._plan, self._kernels, self._sums, self._far = plan, kernels, sums, None
        self.states: list[Values] = [{plan.reference.graph.inputs[0]: image[np.newaxis]} for image in images]

    def __iter__(self) -> Iterator[partial[None]]:
        """The work, step by step; it is done when it is called."""
        return (partial(self._take, n) for n in range(len(self._plan.steps)))

    def _take(self, n: int) -> None:
        plan, near = self._plan, None
        runner = StepRunner(plan, plan.steps[n], self._kernels)
        end = min((n // SEGMENT + 1) * SEGMENT, len(plan.steps))
        if plan.parts:
            near = Piece(plan, n + 1, end, self._kernels)
            if n % SEGMENT == 0:
                self._far = None  # never two of them in memory
                self._far = Piece(plan, end, len(plan.steps), self._kernels)
        for state in self.states:
            state |= runner.run(state, self._sums, near, self._far)
            for index in state.keys() - plan.alive[n + 1]:
                del state[index]


def _first_output(assembly: Assembly, source: Source, op: Op, inside: dict[int, int]) -> int:
    """Add an op of a source, whose inputs stand in `inside` by their index there; the first of its outputs."""
    outputs = [assembly.value(source.main.tensors[i]) for i in op.outputs]
    assembly.op(source, op, [inside[int(i)] for i in source.stored(op).inputs], outputs)
    return outputs[0]


def open_step(content: bytes, kernels: str):
    """An interpreter of a part of a network."""
    return open_interpreter(content, threads=1, kernels=kernels, keep_all=False)


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))
