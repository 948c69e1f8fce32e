"""What to call a layer of a .tflite file: short, readable, unique."""

from __future__ import annotations

import posixpath
from collections import Counter

from effnet_lab.litert.graph import CHANGES_OF_TYPE, Graph, Op

_SUFFIXES = ("_act", "_bn")  # of the Keras layers that a converter fuses into the convolution before them


def computing(graph: Graph) -> list[tuple[str, Op]]:
    """The ops that compute something, with the name of what they compute, in forward order."""
    return [(name, op) for name, op in graph.produced.items() if op.kind not in CHANGES_OF_TYPE]


def says_nothing(name: str) -> bool:
    """Whether a tensor's name is none: the file has none, or it is the converter's for an output without its own."""
    return name.startswith(("#", "StatefulPartitionedCall"))


def layer_names(graph: Graph) -> dict[str, str]:
    """Readable, unique names of the computed tensors, by tensor name, in forward order.

    A fused tensor lists everything that went into it (``net/a/Relu6;net/a_bn/...;net/a/Conv2D``): the first entry counts,
    without the path that most share. ``blocks_1_expand_act/Relu6`` is the layer ``blocks_1_expand`` that `scaling` counts;
    where that shortening would make two layers one, the longer name stays. A nameless layer is called after its op.
    """
    paths = {
        name: op.kind if says_nothing(name) else _printable(name.split(";")[0]) or op.kind
        for name, op in computing(graph)
    }
    folders = [path.rsplit("/", 1)[0] for path in paths.values() if "/" in path]
    roots = [folder.split("/")[0] for folder in folders]
    root = max(roots, key=roots.count, default="")
    shared = posixpath.commonpath([folder for folder in folders if folder.split("/")[0] == root] or [""]) + "/"
    whole = {name: path.removeprefix(shared) for name, path in paths.items()}
    short = {name: _shorten(path) for name, path in whole.items()}
    times = Counter(short.values())
    longer = {name: short[name] if times[short[name]] == 1 else whole[name] for name in paths}
    times = Counter(longer.values())
    return {
        name: longer[name] if times[longer[name]] == 1 else f"{longer[name]}_{op.index}"
        for name, op in computing(graph)
    }


def _printable(name: str) -> str:
    """On one line, without what a terminal would take for a command."""
    return " ".join("".join(char if char.isprintable() else " " for char in name).split())


def _shorten(path: str) -> str:
    layer = path.rsplit("/", 1)[0] if "/" in path else path
    for suffix in _SUFFIXES:
        layer = layer.removesuffix(suffix)
    return layer
