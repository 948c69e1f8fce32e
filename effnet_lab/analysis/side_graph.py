"""The float network with every op's integer counterpart beside it, as one file that is run once per image.

Each quantized op gets what the float network has there, rounded to the codes that it takes; so one run shows the float
values and what each op alone makes of them.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from functools import cached_property, partial
from typing import Any

import numpy as np

from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.plan import OpStep, Plan
from effnet_lab.litert.runner import KERNELS, fed, invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly
from effnet_lab.litert.trial import PartsTrial
from effnet_lab.names import UserError


class SideGraph:
    """One interpreter over the float network and integer ops beside it.

    Parameters
    ----------
    plan : Plan
    kernels : str
        See `litert.KERNELS`.
    beside : collection of int, optional
        Float ops whose integer counterpart is added; by default all that have one.
    passed_on : collection of int
        Of those, the ones whose quantized output, as real values, is what the rest of the network gets.
    ends_only : bool
        Only logits and outputs can be read afterwards.
    """

    def __init__(
        self, plan: Plan, kernels: str, *, beside: Collection[int] | None = None, passed_on: Collection[int] = (),
        ends_only: bool = False,
    ) -> None:  # fmt: skip
        self._assembly, self._plan, source = Assembly(), plan, plan.reference
        self._values = {i: self._assembly.value(source.main.tensors[i]) for i in source.graph.inputs}
        self._inputs = list(self._values.values())
        self._constants = {-1: -1}
        self._float: dict[int, int] = dict(
            self._values
        )  # what the float op made, also where another value is passed on
        self._codes: dict[int, int] = {}  # by float op
        self._rounded: dict[
            int, int
        ] = {}  # by tensor of the quantized file; as long as its float value is not replaced
        for step in plan.steps:
            wanted = step.pair is not None and (beside is None or step.op.index in beside)
            self._add(step, wanted, step.op.index in passed_on)
        wanted_ends = list(dict.fromkeys((plan.logits, *plan.outputs)))
        if stored := [i for i in wanted_ends if i not in self._values]:
            raise UserError(
                f"The output {source.graph.tensors[stored[0]].name[:60]!r} is a constant: nothing can change it."
            )
        ends = [self._values[i] for i in wanted_ends]
        shown = ends if ends_only else [*ends, *self._float.values(), *self._codes.values()]
        content = self._assembly.content(self._inputs, list(dict.fromkeys(shown)))
        self._trial = None if ends_only else PartsTrial(content, plan.quantized.file, kernels=KERNELS[kernels].name)
        self._open = partial(open_interpreter, content, threads=1, kernels=kernels, keep_all=False)
        tensors = source.graph.tensors
        values = sum(tensors[i].size_bytes for op in source.graph.ops for i in op.outputs)
        self.memory_bytes = (
            2 * len(content) + 3 * values
        )  # weights also packed; values, their codes and real values of those
        if ends_only:
            self._interpreter = self._open()

    @cached_property
    def _interpreter(self) -> Any:
        """Opened when it is first used: until then the child process tries it, while this one goes on."""
        if self._trial is not None:
            self._trial.require_survival()
        return self._open()

    def another(self) -> SideGraph:
        """A second interpreter over the same file, for another thread."""
        twin = copy(self)
        twin._interpreter = self._open()
        return twin

    def _add(self, step: OpStep, wanted: bool, passed_on: bool) -> None:
        source, assembly = self._plan.reference, self._assembly
        stored = [int(i) for i in source.stored(step.op).inputs]
        for i in stored:
            if i >= 0 and i not in self._values and i not in self._constants:
                self._constants[i] = assembly.constant(source, i)
        inside = self._constants | self._values
        made = {i: assembly.value(source.main.tensors[i]) for i in step.op.outputs}
        assembly.op(source, step.op, [inside[i] for i in stored], [*made.values()])
        inputs, first = dict(self._values), step.op.outputs[0]
        self._values |= made
        self._float |= made
        if wanted:
            self._codes[step.op.index] = self._plan.add_integer_op(assembly, step, inputs, self._rounded)
            if passed_on:
                self._values[first] = assembly.convert(self._codes[step.op.index], None)

    def feed(self, *arrays: Array) -> None:
        """One sample: an array for each input of the network, without the batch."""
        graph = self._plan.reference.graph
        for place, index, array in zip(self._inputs, graph.inputs, arrays, strict=True):
            self._interpreter.set_tensor(place, fed(array, graph.tensors[index]))

    def invoke(self) -> None:
        """Run once; `DelegateError` where XNNPACK does not take it."""
        invoke(self._interpreter)

    def float_values(self, index: int) -> Array:
        """What the float op made, by index of the tensor; a view: let go of it before the next run."""
        return self._read(self._float[index])

    def codes(self, op_index: int) -> Array:
        """Output codes of the integer counterpart of a float op; a view."""
        return self._read(self._codes[op_index])

    def end(self, index: int) -> Array:
        """Logits or an output of the network as it was run, by index of the float tensor; a copy."""
        return np.array(self._read(self._values[index]))

    def _read(self, place: int) -> Array:
        values: Array = self._interpreter.tensor(place)()
        return values
