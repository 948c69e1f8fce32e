"""Scaling arithmetic: a specification to its layers, parameters, MAdds and memory, without a framework."""

from effnet_lab.scaling.compound import Compound
from effnet_lab.scaling.counts import layer_counts, totals
from effnet_lab.scaling.family import count_network, family, published
from effnet_lab.scaling.search import Budget, Grid, search
from effnet_lab.scaling.specs import NetSpec, Stage
from effnet_lab.scaling.variants import LITE, MICRO, VARIANTS, get_spec

__all__ = [
    "LITE", "MICRO", "VARIANTS", "Budget", "Compound", "Grid", "NetSpec", "Stage",
    "count_network", "family", "get_spec", "layer_counts", "published", "search", "totals",
]  # fmt: skip
