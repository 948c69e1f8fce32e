"""The ranges that a quantized file has already, in the form of calibration statistics."""

from __future__ import annotations

import numpy as np

from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.evidence import CodeGrid
from effnet_lab.images.imageset import digest
from effnet_lab.litert import Graph, Tensor
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.graph import read_graph
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError
from effnet_lab.quantize.calibration import INPUT, Statistics, network_digest
from effnet_lab.quantize.range_choice import BINS


def own_ranges(twins: Twins, float_content: bytes) -> Statistics:
    """Statistics with one row: where the codes of each layer of the quantized file end.

    Raises
    ------
    UserError
        If a layer of the file is not quantized, so that nothing is known of its range.
    """
    graph = read_graph(with_unique_names(float_content))
    found = {pair.reference_op.index: pair.quantized for pair in twins.pairs}
    names = layer_names(graph)
    inputs = [graph.tensors[index] for index in graph.inputs]
    tensors: list[tuple[Tensor, str, Tensor | None]] = [
        (tensor, INPUT if len(inputs) == 1 else tensor.name, _after_quantize(twins.quantized_source.graph, n))
        for n, tensor in enumerate(inputs)
    ]
    for op in graph.computing_ops:
        tensor = graph.tensors[op.outputs[0]]
        tensors.append((tensor, names.get(tensor.name, tensor.name), found.get(op.index)))
    ends = [_ends(layer, quantized) for _, layer, quantized in tensors]
    low, high = (np.array([[end[i] for end in ends]], np.float32) for i in range(2))
    return Statistics(
        model=network_digest(graph), data="ranges of the file", split="", layers=tuple(layer for _, layer, _ in tensors),
        tensors=tuple(tensor.name for tensor, _, _ in tensors), images=(digest(low.tobytes(), high.tobytes()),),
        low=low, high=high, exponent=np.zeros(low.shape, np.int16), counts=np.zeros((*low.shape, BINS), np.uint32),
    )  # fmt: skip


def _after_quantize(graph: Graph, n: int) -> Tensor | None:
    """An input as codes: itself, or what QUANTIZE makes of it."""
    index = graph.inputs[n]
    if graph.tensors[index].quantized:
        return graph.tensors[index]
    made = (op.outputs[0] for op in graph.ops if op.kind == "quantize" and index in op.inputs)
    return next((graph.tensors[output] for output in made), None)


def _ends(layer: str, tensor: Tensor | None) -> tuple[float, float]:
    grid = CodeGrid.of(tensor) if tensor is not None and tensor.dtype.kind in "iu" else None
    if grid is None:
        raise UserError(
            f"The layer {layer[:60]!r} is not quantized in this file, so its range is not known. Give calibration images."
        )
    return grid.low, grid.high
