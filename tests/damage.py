"""Faults planted in files, for tests that must find them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from effnet_lab.analysis.repair import Moments
from effnet_lab.litert import read_graph
from effnet_lab.litert.edit import with_constants
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.layer_names import layer_names


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


def spread_depthwise(
    float_content: bytes, moments: Mapping[str, Moments], octaves: float = 9.0, seed: int = 0
) -> bytes:
    """Multiply every depthwise channel by 2^U(-octaves, 0) and divide the projection that reads it.

    The same function wherever ReLU6 does not cut off; channels that it cuts off on the calibration images stay. The kernels
    of these layers, and the activations between them, have channels of very different ranges then.
    """
    graph, rng = read_graph(float_content), np.random.default_rng(seed)
    arrays = {}
    for op in graph.ops:
        if op.kind != "depthwise":
            continue
        name = graph.tensors[op.outputs[0]].name
        (reader,) = [other for other in graph.ops if op.outputs[0] in other.inputs]
        factor = np.exp2(rng.uniform(-octaves, 0, graph.tensors[op.outputs[0]].shape[-1])).astype(np.float32)
        factor[moments[name].peak >= 6] = 1
        for tensor in (graph.tensors[i] for i in op.inputs[1:]):
            arrays[tensor.name] = tensor.data * factor
        arrays[graph.weights(reader).name] = graph.weights(reader).data / factor
    return with_constants(float_content, arrays)
