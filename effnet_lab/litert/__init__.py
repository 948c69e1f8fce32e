"""A .tflite file: read its graph, run it, read its tensors. The only room that touches an interpreter.

To read a file loads no interpreter: each module is loaded when something of it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.litert.delegation import delegate_of, delegation
    from effnet_lab.litert.float_twin import float_twin
    from effnet_lab.litert.graph import Graph, Op, Tensor, read_graph
    from effnet_lab.litert.metadata import ModelInfo, embed_info, read_info, tell_apart
    from effnet_lab.litert.micro import Allocation, allocate, run_micro
    from effnet_lab.litert.runner import KERNELS, Runner
    from effnet_lab.litert.settle import describe, fit_samples, pair_preprocess, say_defaults, settle, settle_pair

__all__ = [
    "KERNELS",
    "Allocation",
    "Graph",
    "ModelInfo",
    "Op",
    "Runner",
    "Tensor",
    "allocate",
    "delegate_of",
    "delegation",
    "describe",
    "embed_info",
    "fit_samples",
    "float_twin",
    "pair_preprocess",
    "read_graph",
    "read_info",
    "run_micro",
    "say_defaults",
    "settle",
    "settle_pair",
    "tell_apart",
]
offer(
    __name__,
    {
        "delegation": ("delegate_of", "delegation"),
        "float_twin": ("float_twin",),
        "graph": ("Graph", "Op", "Tensor", "read_graph"),
        "metadata": ("ModelInfo", "embed_info", "read_info", "tell_apart"),
        "micro": ("Allocation", "allocate", "run_micro"),
        "runner": ("KERNELS", "Runner"),
        "settle": ("describe", "fit_samples", "pair_preprocess", "say_defaults", "settle", "settle_pair"),
    },
)
