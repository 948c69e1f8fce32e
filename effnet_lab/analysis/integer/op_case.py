"""One op of a file that has been run, and the steps of its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.analysis.integer.fixed_point import FLOAT32, ONCE, TIES_AWAY, TIES_UP
from effnet_lab.analysis.metrics import Array
from effnet_lab.litert import Op, Tensor
from effnet_lab.litert.options import Options

Value = Array | float  # a number, or an array that broadcasts to the output's shape
LAYERS = ("conv", "depthwise", "dense")


@dataclass(frozen=True, kw_only=True)
class OpCase:
    """One op with the codes that go in."""

    op: Op
    options: Options
    inputs: tuple[Tensor, ...]
    output: Tensor
    codes: tuple[Array, ...]  # of the inputs, as stored or computed; None where there is nothing
    kernels: str  # see `litert.KERNELS`

    @property
    def rounding(self) -> str:
        """How these kernels round when they go from the accumulator to the output's scale."""
        if self.kernels == "xnnpack":
            return TIES_UP if self.op.kind == "add" else FLOAT32
        if self.kernels == "builtin":
            return TIES_UP if self.op.kind in LAYERS else TIES_AWAY
        return ONCE if self.op.kind == "dense" else TIES_AWAY


@dataclass(frozen=True, kw_only=True)
class IntegerStep:
    """One quantity: a number, or an array that broadcasts to the output's shape."""

    quantity: str
    value: Value
    how: str
