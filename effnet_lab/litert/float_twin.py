"""A quantized .tflite file alone: the float network that has its dequantized weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.graph import CHANGES_OF_TYPE, graph_of


def float_twin(model: Path | str | bytes) -> bytes:
    """The same graph in float32: weights and biases dequantized, activations not quantized, names kept.

    Ops that only change the type are taken out, but for casts from and to what stays whole numbers. A fused activation stays
    where the op names it. What the twin cannot show is the rounding of the weights themselves: it starts from the rounded
    ones.
    """
    tree = parse(model)
    graph = graph_of(tree)
    main = tree.subgraphs[0]
    for tensor, stored in zip(graph.tensors, main.tensors, strict=True):
        if tensor.quantized or tensor.dtype == np.float16:
            stored.type, stored.quantization = schema.TensorType.FLOAT32, None
            if tensor.data is not None:
                tree.buffers.append(schema.BufferT(data=tensor.real(tensor.data).reshape(-1).view(np.uint8)))
                stored.buffer = len(tree.buffers) - 1
    same: dict[int, int] = {}  # output of a removed op -> the tensor it was made from
    for op in graph.ops:
        if op.kind in CHANGES_OF_TYPE and main.tensors[op.inputs[0]].type == main.tensors[op.outputs[0]].type:
            same[op.outputs[0]] = same.get(op.inputs[0], op.inputs[0])
    kept = [not same.keys() & set(op.outputs) for op in graph.ops]
    main.operators = [stored for stored, keep in zip(main.operators, kept, strict=True) if keep]
    for stored in main.operators:
        stored.inputs = [same.get(int(i), int(i)) for i in stored.inputs]
    main.outputs = [same.get(int(i), int(i)) for i in main.outputs]
    tree.metadata = [entry for entry in tree.metadata or [] if entry.name == b"min_runtime_version"]
    used = {stored.buffer for graph in tree.subgraphs for stored in graph.tensors}
    used |= {entry.buffer for entry in tree.metadata}
    for i, buffer in enumerate(tree.buffers):
        if i not in used:
            buffer.data = None  # the integer weights
    return pack(tree)
