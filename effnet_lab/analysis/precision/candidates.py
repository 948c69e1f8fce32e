"""Which precisions each layer of a network can have, and what stands between the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from effnet_lab.litert import Graph, Op
from effnet_lab.litert.layer_names import computing, layer_names

INT8, PER_TENSOR, INT4, INT16, FLOAT = "int8", "int8-per-tensor", "int4", "int16x8", "float32"
PRECISIONS = (INT8, PER_TENSOR, INT4, INT16, FLOAT)  # formats, as `export` names them
KINDS = (0, 0, 0, 1, 2)  # of their activations: int8, int16, float32
ACTIVATION_BYTES = (1, 1, 1, 2, 4)
_KERNELS = {INT8: "int8", PER_TENSOR: "int8", INT4: "int4", INT16: "int8"}
_OUTPUTS = {INT8: "int8", PER_TENSOR: "int8", INT4: "int8", INT16: "int16"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The layers of a float network, in forward order, and what a tool has written of each in each precision.

    Two more rows stand behind the layers: the network's input and its output, which are always int8.
    """

    graph: Graph  # of the float network
    allowed: NDArray[np.bool_]  # (layers + 2, precisions)

    @cached_property
    def ops(self) -> tuple[tuple[str, Op], ...]:
        """Name of the tensor, and op, of every layer."""
        return tuple(computing(self.graph))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Readable names of the layers."""
        return tuple(layer_names(self.graph)[tensor] for tensor, _ in self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(who computes, who reads) of every activation, with the input's and the output's rows."""
        made = {i: row for row, (_, op) in enumerate(self.ops) for i in op.outputs}
        made |= dict.fromkeys(self.graph.inputs, len(self))
        found = [(made[i], row) for row, (_, op) in enumerate(self.ops) for i in op.inputs if i in made]
        found += [(made[i], len(self) + 1) for i in self.graph.outputs if i in made]
        return tuple(dict.fromkeys(found))

    def elements(self, row: int) -> int:
        """Values of the activation that a row computes."""
        if row == len(self):
            return sum(_count(self.graph, i) for i in self.graph.inputs)
        return sum(_count(self.graph, i) for i in self.ops[row][1].outputs)

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Which activations are there while each op runs, (layers, layers + 2)."""
        found = np.zeros((len(self), len(self) + 2), bool)
        for row in range(len(self) + 1):
            first = 0 if row == len(self) else row
            readers = [reader for made, reader in self.edges if made == row]
            last = max((len(self) - 1 if reader > len(self) else reader for reader in readers), default=first)
            found[first : last + 1, row] = True
        return found


def candidates_of(graph: Graph, written: Mapping[str, Graph]) -> Candidates:
    """What each layer can have, seen on files that a tool wrote in one precision throughout.

    Parameters
    ----------
    graph : Graph
        Of the float network.
    written : mapping of precision to Graph
        Float needs none.
    """
    ops = computing(graph)
    allowed = np.zeros((len(ops) + 2, len(PRECISIONS)), bool)
    allowed[: len(ops), PRECISIONS.index(FLOAT)] = True
    for column, precision in enumerate(PRECISIONS):
        if precision in written:
            allowed[: len(ops), column] = [_has(written[precision], tensor, op, graph, precision) for tensor, op in ops]
    allowed[len(ops) :, PRECISIONS.index(INT8)] = True
    return Candidates(graph=graph, allowed=allowed)


def _has(written: Graph, tensor: str, op: Op, graph: Graph, precision: str) -> bool:
    """Whether the tool gave the layer this precision; what has no kernel has int8, int16 or float."""
    done = written.produced.get(tensor)
    if done is None or written.tensors[done.outputs[0]].dtype.name != _OUTPUTS[precision]:
        return False
    kernel = written.weights(done)
    if graph.weights(op) is None or kernel is None:
        return precision in (INT8, INT16)
    return kernel.dtype.name == _KERNELS[precision]


def _count(graph: Graph, index: int) -> int:
    return int(np.prod(graph.tensors[index].shape, dtype=np.int64))
