"""Which op of one graph is which op of another: by the name of what it computes, then by the structure of the graphs."""

from __future__ import annotations

from typing import Any

from effnet_lab.analysis.metrics import KernelSums
from effnet_lab.litert import Graph, Op, Tensor
from effnet_lab.litert.layer_names import computing, layer_names, says_nothing

_NAMED, _ALIKE = 1000.0, 100.0  # what a pair of one name is worth beside one of equal structure, which is worth 1 to 2


def match_ops(quantized: Graph, reference: Graph) -> dict[int, Op]:
    """The float op of every op of the quantized graph that has one, by the index of the quantized op.

    A pair has the same kind of op, shape of output and shape of kernel. Of those, pairs whose tensors bear the same name come
    first; then the rest is aligned in forward order so that as much as possible finds a counterpart (Needleman and Wunsch
    1970, without a penalty for gaps). There, layers of the same name but for what a tool has added to it (``quant_``) go
    before others, and among layers of the same shape those whose kernels point the same way.
    """
    ours, theirs = computing(quantized), computing(reference)
    by_name = {name: op for name, op in theirs if not says_nothing(name)}
    signatures = {op.index: _signature(reference, op) for _, op in theirs}
    found = {
        op.index: by_name[name]
        for name, op in ours
        if name in by_name and _signature(quantized, op) == signatures[by_name[name].index]
    }
    if len(found) == len(ours):
        return found
    taken = {op.index for op in found.values()}
    plain_ours, plain_theirs = _plain_names(quantized), _plain_names(reference)
    score = [[0.0] * len(theirs) for _ in ours]
    for i, (name, op) in enumerate(ours):
        signature = _signature(quantized, op)
        for j, (other_name, other) in enumerate(theirs):
            if found.get(op.index) is other:
                score[i][j] = _NAMED
            elif op.index not in found and other.index not in taken and signature == signatures[other.index]:
                alike = name in plain_ours and plain_ours[name] == plain_theirs.get(other_name)
                score[i][j] = (_ALIKE if alike else 1.0) + _likeness(quantized.weights(op), reference.weights(other))
    for i, j in _align(score):
        found.setdefault(ours[i][1].index, theirs[j][1])
    return found


def _signature(graph: Graph, op: Op) -> tuple[Any, ...]:
    kernel = graph.weights(op)
    shape = graph.tensors[op.outputs[0]].shape
    return op.kind, shape, None if kernel is None else kernel.shape


def _plain_names(graph: Graph) -> dict[str, str]:
    """Layer names without what quantization-aware training adds to them; of layers that have one."""
    return {name: layer.replace("quant_", "") for name, layer in layer_names(graph).items() if not says_nothing(name)}


def _likeness(a: Tensor | None, b: Tensor | None) -> float:
    """Cosine of two kernels, 0 where there is none or they point away from each other."""
    if a is None or b is None or a.data is None or b.data is None:
        return 0.0
    return max(0.0, KernelSums.of_kernels(b, a, a.axis).correlation)  # in this order, 0 for NaN, too


def _align(score: list[list[float]]) -> list[tuple[int, int]]:
    """Pairs (i, j), both increasing, with the largest sum of scores; a score of 0 is no pair."""
    n, m = len(score), len(score[0])
    best = [[0.0] * (m + 1) for _ in range(n + 1)]  # of the first i and the first j
    for i in range(n):
        for j in range(m):
            pair = best[i][j] + score[i][j] if score[i][j] > 0 else 0.0
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j], pair)
    pairs, i, j = [], n, m
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]
