"""Run one file after another that is nearly the same: what was computed for an earlier one is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert.graph import Graph, Op
from effnet_lab.litert.runner import KERNELS, DelegateError, invoke, open_interpreter, to_codes
from effnet_lab.litert.same_values import Mark, value_marks
from effnet_lab.litert.surgery import Assembly, Source
from effnet_lab.litert.trial import require_survival
from effnet_lab.names import UserError

KEPT_BYTES = 256 << 20  # of values that wait for the next file, over all samples
Codes = NDArray[Any]
Sample = Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rerun:
    """What a file answered."""

    logits: NDArray[np.float32]  # (samples, values), real
    n_ops: int  # of the file
    n_run: int  # of them, that had to be run
    graph: Graph


class Rerunner:
    """The samples, and the values that networks had on them.

    Parameters
    ----------
    samples : sequence of sequences of ndarray
        Of each sample an array per input, real values, without the batch.
    kernels : str
        See `litert.KERNELS`. Where XNNPACK refuses a file, the plain kernels run all from then on, and `kernels` says so.
    kept_bytes : int
        What may wait in memory.
    """

    def __init__(self, samples: Sequence[Sample], *, kernels: str = "xnnpack", kept_bytes: int = KEPT_BYTES) -> None:
        self.kernels, self._samples, self._most = kernels, samples, kept_bytes
        self._kept: dict[Mark, list[Codes]] = {}  # values by sample; what was used last stands last

    def run(self, content: bytes, *, check: Callable[[], None] = lambda: None) -> Rerun:
        """Answers to all samples.

        Parameters
        ----------
        content : bytes
            A .tflite file with the inputs of the others.
        check : callable
            Called before each sample; what it raises ends the run, and nothing of it is kept.
        """
        source = Source(content)
        if source.file is not None:  # somebody else's, on which the interpreter may die
            kernels = KERNELS[self.kernels].name
            require_survival(source.file, kernels=kernels, keep_all=True, madds=source.graph.madds)
        if source.graph.keeps_state:
            raise UserError("The network keeps state from one input to the next: a part of it cannot be run alone.")
        try:
            return self._run(source, check)
        except DelegateError:
            if self.kernels != "xnnpack":
                raise
            self.kernels = "builtin"
            self._kept.clear()
            return self._run(source, check)

    @property
    def kept_bytes(self) -> int:
        """Memory of the values that wait."""
        return sum(values[0].nbytes * len(values) for values in self._kept.values())

    def _run(self, source: Source, check: Callable[[], None]) -> Rerun:
        marks = value_marks(source)
        end = source.graph.logits
        ops, given = self._needed(source, marks, end)
        if ops:
            self._compute(source, marks, ops, given, end, check)
        tensor = source.graph.tensors[end]
        logits = np.stack([tensor.real(codes).reshape(-1) for codes in self._values(source, marks, end)])
        self._touch(marks.values())
        return Rerun(logits=logits, n_ops=len(source.graph.ops), n_run=len(ops), graph=source.graph)

    def _needed(self, source: Source, marks: dict[int, Mark], end: int) -> tuple[list[Op], list[int]]:
        """The ops to run for the logits, in order, and the tensors whose values are there."""
        wanted, seen, ops = [end], set(), {}
        given = []
        while wanted:
            index = wanted.pop()
            if index in seen:
                continue
            seen.add(index)
            if marks[index] in self._kept or index in source.graph.inputs:
                given.append(index)
                continue
            op = source.graph.producer[index]
            ops[op.index] = op
            wanted += source.activations(op)
        return [ops[index] for index in sorted(ops)], sorted(given)

    def _values(self, source: Source, marks: dict[int, Mark], index: int) -> Iterable[Codes]:
        if marks[index] in self._kept:
            return self._kept[marks[index]]
        tensor, place = source.graph.tensors[index], source.graph.inputs.index(index)
        return (to_codes(sample[place], tensor).reshape(tensor.shape) for sample in self._samples)

    def _compute(
        self, source: Source, marks: dict[int, Mark], ops: list[Op], given: list[int], end: int, check: Callable[[], None]
    ) -> None:  # fmt: skip
        content, inside = _part(source, ops, given, end)
        interpreter = open_interpreter(content, threads=1, kernels=self.kernels, keep_all=True)
        made = self._worth_keeping(source, ops, end)
        found: dict[int, list[Codes]] = {index: [] for index in made}
        for values in zip(*(self._values(source, marks, index) for index in given), strict=True):
            check()
            for index, codes in zip(given, values, strict=True):
                interpreter.set_tensor(inside[index], codes)
            invoke(interpreter)
            for index in made:
                found[index].append(interpreter.get_tensor(inside[index]))
        self._kept |= {marks[index]: codes for index, codes in found.items()}

    def _worth_keeping(self, source: Source, ops: list[Op], end: int) -> list[int]:
        """The logits, and of all else the small tensors first: late layers, and cheap to hold."""
        tensors, room = source.graph.tensors, self._most
        made = [index for op in ops for index in op.outputs if index != end]
        chosen = [end]
        for index in sorted(made, key=lambda index: tensors[index].size_bytes):
            room -= tensors[index].size_bytes * len(self._samples)
            if room < 0:
                break
            chosen.append(index)
        return chosen

    def _touch(self, marks: Iterable[Mark]) -> None:
        """What the last file had is kept longest."""
        for mark in marks:
            if mark in self._kept:
                self._kept[mark] = self._kept.pop(mark)
        while self.kept_bytes > 2 * self._most:  # the last file's, and as much of earlier ones
            del self._kept[next(iter(self._kept))]


def _part(source: Source, ops: list[Op], given: list[int], end: int) -> tuple[bytes, dict[int, int]]:
    """A file of these ops, and where tensors of the source stand in it."""
    assembly = Assembly()
    inside = {-1: -1} | {index: assembly.value(source.main.tensors[index]) for index in given}
    for op in ops:
        stored = [int(i) for i in source.stored(op).inputs]
        for i in stored:
            if i not in inside:
                inside[i] = assembly.constant(source, i)
        inside |= {i: assembly.value(source.main.tensors[i]) for i in op.outputs}
        assembly.op(source, op, [inside[i] for i in stored], [inside[i] for i in op.outputs])
    return assembly.content([inside[index] for index in given], [inside[end]]), inside
