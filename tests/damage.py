"""Faults planted in files, for tests that must find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from effnet_lab.analysis.pairs import layer_names
from effnet_lab.litert import read_graph
from effnet_lab.litert.flatbuffer import pack, parse


def flip_one_scale(path: Path, layer: str, factor: float = 1.1) -> None:
    """Multiply the scale of the first channel of one layer's kernel."""
    tree, graph = parse(path), read_graph(path)
    names = layer_names(graph)
    op = next(op for op in graph.ops if names.get(graph.tensors[op.outputs[0]].name) == layer)
    quantization = tree.subgraphs[0].tensors[graph.weights(op).index].quantization
    scales = np.array(quantization.scale, np.float32)
    scales[0] *= factor
    quantization.scale = scales
    path.write_bytes(pack(tree))
