"""Scaling arithmetic: a specification to its layers, parameters, MAdds and memory, without a framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.scaling.compound import Compound
    from effnet_lab.scaling.counts import layer_counts, totals
    from effnet_lab.scaling.family import count_network, published, variant_rows, variants
    from effnet_lab.scaling.law import fit_law, law_of, law_of_the_published, left_out
    from effnet_lab.scaling.lean import lean_spec, search_lean
    from effnet_lab.scaling.planner import ArenaEstimate, Buffer, arena_of, estimate_arena, estimate_of, place
    from effnet_lab.scaling.search import Grid, search
    from effnet_lab.scaling.specs import NetSpec, Stage
    from effnet_lab.scaling.trained import study_of
    from effnet_lab.scaling.variants import LITE, MICRO, STYLES, VARIANTS, get_spec, known_spec, spec_by_numbers

__all__ = [
    "LITE",
    "MICRO",
    "STYLES",
    "VARIANTS",
    "ArenaEstimate",
    "Buffer",
    "Compound",
    "Grid",
    "NetSpec",
    "Stage",
    "arena_of",
    "count_network",
    "estimate_arena",
    "estimate_of",
    "fit_law",
    "get_spec",
    "known_spec",
    "law_of",
    "law_of_the_published",
    "layer_counts",
    "lean_spec",
    "left_out",
    "place",
    "published",
    "search",
    "search_lean",
    "spec_by_numbers",
    "study_of",
    "totals",
    "variant_rows",
    "variants",
]  # fmt: skip
offer(
    __name__,
    {
        "compound": ("Compound",),
        "counts": (
            "layer_counts",
            "totals",
        ),
        "family": (
            "count_network",
            "published",
            "variant_rows",
            "variants",
        ),
        "law": (
            "fit_law",
            "law_of",
            "law_of_the_published",
            "left_out",
        ),
        "lean": (
            "lean_spec",
            "search_lean",
        ),
        "planner": (
            "ArenaEstimate",
            "Buffer",
            "arena_of",
            "estimate_arena",
            "estimate_of",
            "place",
        ),
        "search": (
            "Grid",
            "search",
        ),
        "specs": (
            "NetSpec",
            "Stage",
        ),
        "trained": ("study_of",),
        "variants": (
            "LITE",
            "MICRO",
            "STYLES",
            "VARIANTS",
            "get_spec",
            "known_spec",
            "spec_by_numbers",
        ),
    },
)
