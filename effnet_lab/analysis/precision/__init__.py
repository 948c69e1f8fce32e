"""Which precision each layer gets: the least expected loss within a budget, or the least cost within a loss."""

from effnet_lab.analysis.precision.candidates import FLOAT, KINDS, PRECISIONS, Candidates, candidates_of
from effnet_lab.analysis.precision.costs import arena_costs, byte_costs, time_costs
from effnet_lab.analysis.precision.program import LOSS, Choice, Program, Resource, choose_precisions
from effnet_lab.analysis.precision.sensitivity import loss_matrix, sensitivities

__all__ = [
    "FLOAT", "KINDS", "LOSS", "PRECISIONS", "Candidates", "Choice", "Program", "Resource", "arena_costs", "byte_costs",
    "candidates_of", "choose_precisions", "loss_matrix", "sensitivities", "time_costs",
]  # fmt: skip
