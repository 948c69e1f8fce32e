"""One op after the other: what the error of an op by itself does to the logits.

The float network is run op by op, all images of a chunk through one op before the next, so that at any time few small
interpreters are open and only the tensors between two ops wait in memory. To follow the error of one op to the end, what
comes after it is run twice as two files: the rest of its segment of the network, and all segments behind, which the ops of
one segment share. So nothing before the quantized op is computed again, and few large files are built. The images of a
chunk are shared out over workers, each with interpreters of its own over the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import numpy as np

from effnet_lab.analysis.error_sums import End, LogitErrors, end_of
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.plan import ACTIVATIONS, WEIGHTS, WHOLE, OpStep, Plan, Variant, first_output
from effnet_lab.litert.runner import fed, invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly
from effnet_lab.workers import in_order, workers_for

CHUNK_BYTES = 112 << 20  # of the values that wait between two ops, over all images of a chunk
MOST_IMAGES = 16  # of a chunk: what an interrupt can cost
SEGMENT = 12  # ops: how many share the files behind them; few large files are to be built, and few tensors handed on
_COPIES = 3  # of the weights behind a step, at most, that a worker holds: file, packed, and those of the step
Values = dict[int, Array]  # of one image, by index of the float tensor


def chunk_size(plan: Plan) -> int:
    """Images that are taken through the steps together."""
    return int(np.clip(CHUNK_BYTES // plan.bytes_per_image(), 1, MOST_IMAGES))


class Part:
    """Some of a network in an interpreter."""

    _interpreter: Any = None

    def _open(self, content: bytes, kernels: str) -> None:
        self._file = content, kernels
        self._interpreter = open_interpreter(content, threads=1, kernels=kernels, keep_all=False)

    def team(self, n: int) -> list[Self]:
        """Itself, and others over the same file: n in all."""
        others = [copy(self) for _ in range(n - 1)]
        for other in others:
            if self._interpreter is not None:
                other._open(*self._file)
        return [self, *others]


class Piece(Part):
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
        if self._outputs:
            self._open(assembly.content([*self._inputs.values()], [*self._outputs.values()]), kernels)

    def run(self, values: Values) -> Values:
        """What later steps take of this piece, as views: let go of them before the next run."""
        if self._interpreter is None:
            return {}
        for i, place in self._inputs.items():
            self._interpreter.set_tensor(place, values[i])
        invoke(self._interpreter)
        return {i: self._interpreter.tensor(place)() for i, place in self._outputs.items()}


class StepRunner(Part):
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
        add = {WHOLE: self._add_whole, WEIGHTS: self._add_weights_alone, ACTIVATIONS: self._add_activations_alone}
        for part in step.parts:
            self._parts[part] = add[part](assembly)
        outputs = [*self._outputs.values(), *self._parts.values()]
        self._open(assembly.content([*self._inputs.values()], list(dict.fromkeys(outputs))), kernels)

    def _add_whole(self, assembly: Assembly) -> int:
        """The op in integers."""
        return assembly.convert(self._plan.add_integer_op(assembly, self._step, self._inputs, {}), None)

    def _add_weights_alone(self, assembly: Assembly) -> int:
        """The float op with the values that the quantized file stores for its kernel and bias."""
        step, source, quantized = self._step, self._plan.reference, self._plan.quantized
        assert step.pair is not None
        inside = dict(self._inside)
        for mine, other in zip(source.stored(step.op).inputs, quantized.stored(step.pair.op).inputs, strict=False):
            if int(other) >= 0 and int(mine) in self._constants:
                inside[int(mine)] = assembly.constant(quantized, int(other), real=True)
        return first_output(assembly, source, step.op, inside)

    def _add_activations_alone(self, assembly: Assembly) -> int:
        """The float op between inputs and an output that are rounded to the quantized file's codes."""
        step, source, theirs = self._step, self._plan.reference, self._plan.quantized.main.tensors
        assert step.pair is not None
        inside = dict(self._inside)
        for index, taken in self._plan.rounded(step).items():
            inside[taken] = assembly.convert(assembly.convert(self._inputs[taken], theirs[index]), None)
        out = first_output(assembly, source, step.op, inside)
        return assembly.convert(assembly.convert(out, theirs[step.pair.quantized.index]), None)

    def run(self, values: Values, behind: Sequence[Piece]) -> tuple[Values, list[tuple[Variant, End]]]:
        """One image: the outputs of the step, for the next ones, and where each part ends after the pieces `behind`."""
        step, interpreter = self._step, self._interpreter
        for i, place in self._inputs.items():
            interpreter.set_tensor(place, values[i])
        invoke(interpreter)
        made = {i: interpreter.get_tensor(place) for i, place in self._outputs.items()}
        ends = []
        for part in step.parts:
            changed = values | made | {step.op.outputs[0]: interpreter.tensor(self._parts[part])()}
            for piece in behind:
                changed |= piece.run(changed)
            ends.append(((step.op.index, part), end_of(changed[self._plan.logits], changed[self._plan.outputs[0]])))
            del changed  # views into interpreters that run again
        return made, ends


class OpWalk:
    """Take a chunk of samples through all steps.

    Parameters
    ----------
    plan : Plan
    samples : sequence of sequences of ndarray, float32
        Of each sample an array per input of the network, without the batch.
    kernels : str
        See `litert.KERNELS`.
    sums : LogitErrors
        Where the ends go.
    workers : int, optional
        That share the samples, see `workers_for`; the sums are the same to the bit.
    """

    def __init__(
        self,
        plan: Plan,
        samples: Sequence[Sequence[Array]],
        kernels: str,
        sums: LogitErrors,
        workers: int | None = None,
    ) -> None:
        self.plan, self._kernels, self._sums = plan, kernels, sums
        self._n_workers = workers_for(workers, len(samples), _COPIES * len(plan.reference.content))
        self._far: list[Piece] = []
        inputs, tensors = plan.reference.graph.inputs, plan.reference.graph.tensors
        self.states: list[Values] = [
            {i: fed(array, tensors[i]) for i, array in zip(inputs, sample, strict=True)} for sample in samples
        ]

    def __iter__(self) -> Iterator[partial[None]]:
        """The work, step by step; it is done when it is called."""
        return (partial(self._take, n) for n in range(len(self.plan.steps)))

    def _take(self, n: int) -> None:
        plan, n_workers = self.plan, self._n_workers if self.plan.steps[n].parts else 1
        end = min((n // SEGMENT + 1) * SEGMENT, len(plan.steps))
        if n % SEGMENT == 0 or not self._far:
            self._far = []  # never two of them in memory
            self._far = Piece(plan, end, len(plan.steps), self._kernels).team(self._n_workers)
        runners = StepRunner(plan, plan.steps[n], self._kernels).team(n_workers)
        near = Piece(plan, n + 1, end, self._kernels).team(n_workers)
        calls = [partial(runner.run, behind=behind) for runner, *behind in zip(runners, near, self._far, strict=False)]
        for state, (made, ends) in zip(self.states, in_order(calls, self.states), strict=True):
            state |= made
            for variant, where in ends:
                self._sums.see_end(variant, where)
            for index in state.keys() - plan.alive[n + 1]:
                del state[index]
