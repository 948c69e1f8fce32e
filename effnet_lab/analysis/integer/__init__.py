"""One op, bit for bit: the integer arithmetic of the kernels, in numpy."""

from effnet_lab.analysis.integer.explain import check_integer, explain, explain_op
from effnet_lab.analysis.integer.steps import KINDS

__all__ = ["KINDS", "check_integer", "explain", "explain_op"]
