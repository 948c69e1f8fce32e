"""Networks that exist on paper only: graphs of a few tensors and ops, made without a file."""

from __future__ import annotations

import numpy as np

from effnet_lab.litert.graph import Graph, Op, Tensor


def tensor(index: int, name: str, shape=(1, 4, 4, 8), dtype="float32", scale=(), zero_point=(), data=None) -> Tensor:
    return Tensor(
        index=index, name=name, shape=tuple(shape), dtype=np.dtype(dtype), scale=np.asarray(scale, np.float32),
        zero_point=np.asarray(zero_point, np.int64), axis=0, data=data,
    )  # fmt: skip


def float_graph(*layers: tuple[str, str, tuple[str, ...]]) -> Graph:
    """A graph of float ops, each (kind, name of its output, names of its inputs); what no op makes is the image."""
    names = list(dict.fromkeys(["image", *(name for _, name, _ in layers)]))
    weights = len(names)
    tensors = [tensor(i, name) for i, name in enumerate(names)]
    tensors.append(tensor(weights, "kernel", (8, 1, 1, 8), data=np.zeros((8, 1, 1, 8), np.float32)))
    ops = []
    for i, (kind, name, inputs) in enumerate(layers):
        kernel = (weights,) if kind in ("conv", "depthwise", "dense") else ()
        places = tuple(names.index(source) for source in inputs)
        ops.append(Op(index=i, kind=kind, inputs=places + kernel, outputs=(names.index(name),)))
    return Graph(tensors=tuple(tensors), ops=tuple(ops), inputs=(0,), outputs=(names.index(layers[-1][1]),))
