"""Features from a .tflite file of any network: what one of its layers computes, or what its last layer is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images import Stated
from effnet_lab.litert import Graph, Runner, Tensor, read_graph, read_info, say_defaults, settle
from effnet_lab.litert.input_values import taken
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError, lookup

_PASSES = ("reshape", "squeeze", "quantize", "dequantize", "cast")  # ops that change no value


def file_features(
    path: Path, endpoint: str, read: Callable[[int], NDArray[Any]], n: int, *, pooled: str, preprocess: Stated = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """Real values of one layer for each picture.

    Parameters
    ----------
    path : Path
        A .tflite file.
    endpoint : str
        A layer by its readable name, or `pooled`: what the last layer with weights is given, as a vector.
    read : callable
        From an index to a picture.
    n : int
        Pictures.
    pooled : str
    preprocess : StatedInput or Preprocess, optional
    progress : callable, optional
        Wraps the pictures, as `tqdm` does.
    """
    info = settle(read_info(path), preprocess)
    if (prepare := info.preprocess) is None:
        takes = taken(read_graph(path))
        raise UserError(
            f"{info.model} takes no single pictures: its input is {takes}. So there are no features of pictures."
        )
    say_defaults(info)
    runner = Runner(path, keep_all=True)
    tensor = _endpoint(runner.graph, endpoint, pooled)
    rows = []
    for i in progress(range(n), total=n) if progress else range(n):
        runner.feed(prepare(read(i)))
        runner.invoke()
        values = runner.activation(tensor)
        rows.append(values.reshape(-1) if endpoint == pooled else values[0])
    return np.stack(rows)


def _endpoint(graph: Graph, endpoint: str, pooled: str) -> Tensor:
    if endpoint != pooled:
        layers = {layer: graph.produced[tensor].outputs[0] for tensor, layer in layer_names(graph).items()}
        return graph.tensors[lookup("layer", endpoint, layers)]
    last = next((op for op in reversed(graph.ops) if graph.weights(op) is not None), None)
    if last is None:
        raise UserError(f"The network has no layer with weights. Name an endpoint: {', '.join(graph.produced)}.")
    index, makers = last.inputs[0], {op.outputs[0]: op for op in graph.computing_ops}
    while index in makers and makers[index].kind in _PASSES:
        index = makers[index].inputs[0]
    return graph.tensors[index]
