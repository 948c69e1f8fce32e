"""Which precision each layer gets: the least expected loss within a budget, or the least cost within a loss."""

from effnet_lab.analysis.precision.program import Choice, Program, Resource, choose_precisions

__all__ = ["Choice", "Program", "Resource", "choose_precisions"]
