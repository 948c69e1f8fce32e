"""Which ops of a graph a delegate has taken, as the interpreter itself reports it."""

from __future__ import annotations

from effnet_lab.litert.graph import Graph
from effnet_lab.litert.runner import Runner

XNNPACK = "XNNPACK"
PLAIN = ""  # the interpreter's own kernel


def delegation(runner: Runner) -> dict[int, str]:
    """Name of the delegate, "XNNPACK" or "", for every op by its index in the graph.

    The interpreter lists the nodes that it has put in the place of ops, with the tensors that go in and come out; an op
    belongs to such a node if its result is needed for what comes out and computed from what goes in. What ends in a state
    comes out nowhere: an op that leads to no output of the graph belongs to a node that has all that the op reads.
    """
    graph = runner.graph
    taken = dict.fromkeys((op.index for op in graph.ops), PLAIN)
    lost = _without_end(graph)
    for node in runner.nodes()[len(graph.ops) :]:
        inside, waiting = set(node["inputs"].tolist()), node["outputs"].tolist()
        while waiting:
            tensor = waiting.pop()
            if tensor in inside or tensor not in graph.producer:
                continue
            inside.add(tensor)
            taken[graph.producer[tensor].index] = XNNPACK
            waiting += graph.producer[tensor].inputs
        for op in graph.ops:
            if op.index in lost and op.inputs and inside.issuperset(op.inputs):
                taken[op.index] = XNNPACK
                inside.update(op.outputs)
    return taken


def _without_end(graph: Graph) -> set[int]:
    """Ops from which no output of the graph is computed."""
    wanted, lost = set(graph.outputs), set()
    for op in reversed(graph.ops):
        if wanted.intersection(op.outputs):
            wanted.update(op.inputs)
        else:
            lost.add(op.index)
    return lost


def delegate_of(runner: Runner) -> str:
    """In words for a column: "XNNPACK 64/65 ops", or "none"."""
    taken = delegation(runner)
    n = sum(name == XNNPACK for name in taken.values())
    return f"{XNNPACK} {n}/{len(taken)} ops" if n else "none"
