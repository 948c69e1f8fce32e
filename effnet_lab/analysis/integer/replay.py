"""Ops of a file that has been run, recomputed from the codes that went in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from effnet_lab.analysis.integer.op_case import OpCase, Value
from effnet_lab.analysis.integer.steps import steps
from effnet_lab.analysis.metrics import Array
from effnet_lab.analysis.twins import Twins
from effnet_lab.litert import Graph, Op, Runner, Tensor, delegation
from effnet_lab.litert.options import Options, options_of
from effnet_lab.names import UserError


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One op recomputed, beside what the interpreter made of it."""

    n_values: int
    n_different: int
    quantities: dict[str, Value]
    rounding: str


class Replay:
    """The ops of one file after a run.

    Parameters
    ----------
    graph : Graph
        Of the file.
    options : sequence of Options
        Of its ops, in their order.
    computed : callable
        From a tensor to the codes that the interpreter has in it.
    kernels : str
        Which ones it ran on, see `litert.KERNELS`.
    left : collection of int
        Ops that the delegate has left to the plain kernels.
    """

    def __init__(
        self, graph: Graph, options: Sequence[Options], computed: Callable[[Tensor], Array], kernels: str,
        left: Collection[int] = (),
    ) -> None:  # fmt: skip
        self.graph, self.kernels = graph, kernels
        self._options, self._computed, self._left = options, computed, left

    def codes(self, tensor: Tensor) -> Array:
        """Stored values, or the codes that were computed."""
        return tensor.data if tensor.data is not None else np.array(self._computed(tensor))

    def case(self, op: Op) -> OpCase:
        """One op with the codes that went in."""
        inputs = tuple(self.graph.tensors[i] for i in op.inputs)
        return OpCase(
            op=op,
            options=self._options[op.index],
            inputs=inputs,
            output=self.graph.tensors[op.outputs[0]],
            codes=tuple(self.codes(tensor) for tensor in inputs),
            kernels="builtin" if op.index in self._left else self.kernels,
        )

    def compare(self, op: Op) -> Compared | None:
        """One op recomputed; None where its arithmetic is not known."""
        try:
            return self.compare_known(op)
        except UserError:
            return None

    def compare_known(self, op: Op) -> Compared:
        """The same; `UserError` says what is not known of its arithmetic."""
        case = self.case(op)
        try:
            quantities = {step.quantity: step.value for step in steps(case)}
        except (ValueError, IndexError, ArithmeticError, MemoryError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"Its shapes do not fit its options ({str(error)[:80]}), as the file states them."
            ) from None
        theirs = self.codes(case.output)
        return Compared(
            n_values=theirs.size,
            n_different=int(np.count_nonzero(np.asarray(quantities["output code"]) != theirs)),
            quantities=quantities,
            rounding=case.rounding,
        )


def last_run(twins: Twins) -> Replay:
    """The quantized file of a pair, as it was last run."""
    source, runner = twins.quantized_source, twins.quantized_runner
    return Replay(source.graph, options_of(source.tree), twins.code_of, twins.kernels, left_by_delegate(runner))


def left_by_delegate(runner: Runner) -> frozenset[int]:
    """Ops that XNNPACK does not take, and so run on the plain kernels; none where it was not asked."""
    if runner.kernels != "xnnpack":
        return frozenset()
    return frozenset(index for index, name in delegation(runner).items() if name != "XNNPACK")
