"""One op after the other: what an op does wrong by itself, and what its error does to the logits.

The float network is run op by op. Beside the float values travel *variants* of them: the values of a network in which one
op, somewhere before, was quantized. Each op is run once on all of them, as a batch, so that nothing before the quantized op
is computed twice, and at any time one small interpreter and the values around it are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.pairs import Pair
from effnet_lab.litert import Op
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.litert.runner import invoke, open_interpreter
from effnet_lab.litert.surgery import Assembly, Source

BATCHED = {  # ops that treat the first axis as one of independent images
    "conv", "depthwise", "dense", "add", "sub", "mul", "relu", "relu6", "logistic", "hard_swish", "softmax",
    "average_pool_2d", "max_pool_2d",
}  # fmt: skip
BATCH_BYTES = 16 << 20  # of one op's inputs and outputs; the rest of the variants takes another turn
CHUNK_BYTES = 384 << 20  # of the values that wait between two ops, over all images of a chunk
WHOLE, WEIGHTS, ACTIVATIONS = "whole", "weights", "activations"  # what of an op is quantized
Variant = tuple[int, str]  # index of the float op, and what of it is quantized


@dataclass
class Rows:
    """Values of one tensor for one image: row 0 in float, then one for each variant that differs."""

    values: NDArray
    variants: tuple[Variant, ...] = ()

    def spread(self, variants: tuple[Variant, ...]) -> NDArray:
        """Rows for these variants; where this tensor does not differ, the float values."""
        if variants == self.variants:
            return self.values
        row = {variant: i + 1 for i, variant in enumerate(self.variants)}
        return self.values[[0, *(row.get(variant, 0) for variant in variants)]]


@dataclass
class Step:
    """One op of the float network, with its quantized counterpart where it has one."""

    op: Op
    inputs: tuple[int, ...]  # the float tensors that it takes from other steps
    pair: Pair | None
    taken: dict[int, int] = field(default_factory=dict)  # activation of the quantized op -> float tensor
    parts: tuple[str, ...] = ()  # what of it is quantized, in turn
    variants: tuple[Variant, ...] = ()  # that reach it

    @property
    def born(self) -> tuple[Variant, ...]:
        """The variants that begin here."""
        return tuple((self.op.index, part) for part in self.parts)


class Plan:
    """The steps of a float network, and which variants reach each.

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
        ops = [op for op in reference.graph.ops if not all(map(reference.constant, op.outputs))]
        self.steps = [
            Step(op=op, inputs=tuple(dict.fromkeys(reference.activations(op))), pair=of.get(op.index)) for op in ops
        ]
        reach: dict[int, tuple[Variant, ...]] = {}
        for step in self.steps:
            self._pair_inputs(step)
            step.variants = tuple(sorted({one for i in step.inputs for one in reach.get(i, ())}))
            reach |= dict.fromkeys(step.op.outputs, step.variants + step.born)
        self.runners: dict[int, StepRunner] = {}  # by position of the step, once made
        self.last_use = {i: n for n, step in enumerate(self.steps) for i in step.inputs}
        self.output = reference.graph.outputs[0]
        self.logits = self._logits()

    def _pair_inputs(self, step: Step) -> None:
        """Which float tensor each input of the quantized op stands for; no pair where that cannot be told."""
        if step.pair is None:
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

    def _logits(self) -> int:
        """What the last softmax or sigmoid takes; the output itself where there is none."""
        last = {index: step for step in self.steps for index in step.op.outputs}
        index = self.output
        while index in last and last[index].op.kind in (*CHANGES_OF_TYPE, "softmax", "logistic"):
            index = last[index].inputs[0]
        return index

    def bytes_per_image(self) -> int:
        """Most that waits between two steps for one image, about."""
        size, tensors = 0, self.reference.graph.tensors
        for step in self.steps:
            rows = 1 + len(step.variants) + len(step.born)
            size = max(size, rows * 4 * sum(_count(tensors[i].shape) for i in (*step.inputs, *step.op.outputs)))
        return size

    def chunk(self) -> int:
        """Images that are taken through the steps together."""
        return int(np.clip(CHUNK_BYTES // self.bytes_per_image(), 1, 32))


class StepRunner:
    """The small interpreter of one step: the float op on a batch, and on its first row whatever is quantized of it."""

    def __init__(self, plan: Plan, step: Step) -> None:
        self._step, self._plan, self._interpreter = step, plan, None
        tensors, n = plan.reference.graph.tensors, 1 + len(step.variants)
        size = 4 * sum(_count(tensors[i].shape) for i in (*step.inputs, *step.op.outputs))
        most = max(1, BATCH_BYTES // size) if step.op.kind in BATCHED or self._mean_of_images() else 1
        self.turns = -(-n // most)
        self.batch = -(-n // self.turns)
        self._assemble()

    def open(self, kernels: str) -> None:
        """Make the interpreter."""
        self._interpreter = open_interpreter(self._content, threads=1, kernels=kernels, keep_all=False)

    def close(self) -> None:
        """Let go of the interpreter and its memory; the small file stays for the next images."""
        self._interpreter = None

    def _mean_of_images(self) -> bool:
        source, op = self._plan.reference, self._step.op
        return op.kind == "mean" and 0 not in np.ravel(source.graph.tensors[op.inputs[1]].data)

    def _assemble(self) -> None:
        step, float_source = self._step, self._plan.reference
        assembly, like = Assembly(), float_source.main.tensors
        self._batched = {i: assembly.value(like[i], batch=self.batch) for i in step.inputs}
        self._first = self._batched
        if self.batch > 1 and step.pair is not None:
            self._first = {i: assembly.value(like[i]) for i in step.inputs}
        self._outputs = {i: assembly.value(like[i], batch=self.batch) for i in step.op.outputs}
        stored = [int(i) for i in float_source.stored(step.op).inputs]
        constants = {i: assembly.constant(float_source, i) for i in stored if i >= 0 and i not in self._batched}
        assembly.op(
            float_source,
            step.op,
            [(self._batched | constants | {-1: -1})[i] for i in stored],
            [*self._outputs.values()],
        )
        self._parts: dict[str, int] = {}
        if step.pair is not None:
            self._parts[WHOLE] = self._add_integer_op(assembly)
        if WEIGHTS in step.parts:
            self._parts[WEIGHTS] = self._add_weights_alone(assembly, constants)
        if ACTIVATIONS in step.parts:
            self._parts[ACTIVATIONS] = self._add_activations_alone(assembly, constants)
        inputs = dict.fromkeys((*self._batched.values(), *self._first.values()))
        self._content = assembly.content([*inputs], [*self._outputs.values(), *self._parts.values()])

    def _add_integer_op(self, assembly: Assembly) -> int:
        """QUANTIZE, then the op as the quantized file has it."""
        step, source = self._step, self._plan.quantized
        inside = {-1: -1}
        for index in dict.fromkeys(int(i) for i in source.stored(step.pair.op).inputs if i >= 0):
            if index in step.taken:
                inside[index] = assembly.convert(self._first[step.taken[index]], source.main.tensors[index])
            else:
                inside[index] = assembly.constant(source, index)
        out = assembly.value(source.main.tensors[step.pair.op.outputs[0]])
        assembly.op(source, step.pair.op, [inside[int(i)] for i in source.stored(step.pair.op).inputs], [out])
        return out

    def _add_weights_alone(self, assembly: Assembly, constants: dict[int, int]) -> int:
        """The float op with the values that the quantized file stores for its kernel and bias."""
        step, source, like = self._step, self._plan.reference, self._plan.reference.main.tensors
        ours = [int(i) for i in source.stored(step.op).inputs]
        theirs = [int(i) for i in self._plan.quantized.stored(step.pair.op).inputs]
        inside = self._first | constants | {-1: -1}
        for mine, other in zip(ours, theirs, strict=False):
            if mine >= 0 and other >= 0 and mine in constants:
                inside[mine] = assembly.constant(self._plan.quantized, other, real=True)
        out = assembly.value(like[step.op.outputs[0]])
        assembly.op(source, step.op, [inside[i] for i in ours], [out])
        return out

    def _add_activations_alone(self, assembly: Assembly, constants: dict[int, int]) -> int:
        """The float op between inputs and an output that are rounded to the quantized file's codes."""
        step, source, theirs = self._step, self._plan.reference, self._plan.quantized.main.tensors
        inside = self._first | constants | {-1: -1}
        for index, taken in step.taken.items():
            inside[taken] = assembly.convert(assembly.convert(self._first[taken], theirs[index]), None)
        out = assembly.value(source.main.tensors[step.op.outputs[0]])
        assembly.op(source, step.op, [inside[int(i)] for i in source.stored(step.op).inputs], [out])
        return assembly.convert(out, theirs[step.pair.quantized.index])

    def run(self, state: dict[int, Rows]) -> tuple[dict[int, Rows], NDArray | None]:
        """Rows of the outputs, and the codes of the quantized op."""
        step, interpreter = self._step, self._interpreter
        n, k = 1 + len(step.variants), len(step.born)
        rows = {i: state[i].spread(step.variants) for i in step.inputs}
        shapes = {i: self._plan.reference.graph.tensors[i].shape for i in step.op.outputs}
        out = {i: np.empty((n + k, *shape[1:]), np.float32) for i, shape in shapes.items()}
        codes: dict[str, NDArray] = {}
        for turn in range(self.turns):
            start, stop = turn * self.batch, min((turn + 1) * self.batch, n)
            for i, values in rows.items():
                part = values[start:stop]
                if stop - start < self.batch:
                    part = np.concatenate([part, np.repeat(part[:1], self.batch - (stop - start), axis=0)])
                interpreter.set_tensor(self._batched[i], part.reshape(-1, *values.shape[1:]))
                if turn == 0 and self._first is not self._batched:
                    interpreter.set_tensor(self._first[i], values[:1])
            invoke(interpreter)
            for i, index in self._outputs.items():
                out[i][start:stop] = interpreter.tensor(index)()[: stop - start]
            if turn == 0:
                codes = {part: interpreter.get_tensor(index) for part, index in self._parts.items()}
        born = dict(zip(step.born, range(n, n + k), strict=True))
        for (_, part), row in born.items():
            tensor = step.pair.quantized
            real = codes[part] if codes[part].dtype == np.float32 else tensor.real(codes[part])
            for i in step.op.outputs:
                out[i][row] = real[0] if i == step.op.outputs[0] else out[i][0]
        return {i: Rows(values, step.variants + step.born) for i, values in out.items()}, codes.get(WHOLE)


def walk(plan: Plan, images: NDArray, kernels: str) -> Iterator[tuple[Step, dict[int, Rows], NDArray | None]]:
    """Take a chunk of images through all steps: (step, the values of one image so far, codes of its quantized op).

    Parameters
    ----------
    plan : Plan
    images : ndarray of float32, shape (n, h, w, 3)
    kernels : str
        See `litert.KERNELS`.
    """
    start = plan.reference.graph.inputs[0]
    states = [{start: Rows(image[np.newaxis])} for image in images]
    kept = {plan.logits, plan.output}
    for n, step in enumerate(plan.steps):
        if n not in plan.runners:
            plan.runners[n] = StepRunner(plan, step)
        runner = plan.runners[n]
        runner.open(kernels)
        for state in states:
            made, codes = runner.run(state)
            state |= made
            for index in [i for i in state if plan.last_use.get(i, -1) <= n and i not in kept | made.keys()]:
                del state[index]
            yield step, state, codes
        runner.close()


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))
