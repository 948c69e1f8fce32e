"""Whether LiteRT loads and runs the file at all: tried in a child process."""

from __future__ import annotations

from collections.abc import Iterator

from effnet_lab.analysis.lint.rules import Finding
from effnet_lab.litert import Graph
from effnet_lab.litert.refusals import in_short
from effnet_lab.litert.trial import FileTrial, death_of

_BUILTIN = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


def check(path: str, asked: FileTrial, graph: Graph, known: set[str]) -> Iterator[Finding]:
    """F901 and F902, and Q107 where no other rule says what XNNPACK refuses.

    Parameters
    ----------
    path : str
    asked : FileTrial
        Begun with XNNPACK, as it is in use.
    graph : Graph
    known : set of str
        Ids of what the other rules found.
    """
    outcome, kernels = asked.outcome(), "AUTO"
    if outcome.refused:
        said, kernels = outcome.refused, _BUILTIN
        outcome = FileTrial(path, kernels=kernels, madds=graph.madds).outcome()
        if not outcome.refused and not outcome.death and not known & {"Q101", "Q102"}:
            yield Finding(id="Q107", op=None, evidence=in_short(said))
    if outcome.death:
        how, op = death_of(path, outcome, kernels=kernels)
        yield Finding(id="F902", op=op, evidence=how)
    elif outcome.refused:
        yield Finding(id="F901", op=None, evidence=in_short(outcome.refused))
