"""Numbers for the ledger that no specification gives: a vendor's structure, built with random weights and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.board.footprint import footprint
from effnet_lab.images import open_images
from effnet_lab.litert import Graph, read_graph
from effnet_lab.paths import scratch_folder

ST = ("st_lc_v1_128", "st_lc_v1_224")
KERAS = ("mobilenet_v2", "resnet50", "inception_v3")
PADDING_BYTES = 128  # that ST's flash has beyond its weights and biases
ARENA_TOLERANCE = 0.03  # another allocator of the same tensors
_FLASH = (
    "It is the flash of the int8 file in bytes. The network has 499,113 trainable parameters with 5 classes; 516,153 with the "
    "statistics of its batch norms and a bias for each convolution before one."
)
_MACC = "STM32Cube.AI counts what is averaged and added as well."


def measure_claims(
    names: Sequence[str] = (*ST, *KERAS), progress: Callable[..., Iterable[Any]] | None = None
) -> pd.DataFrame:
    """MEASURED frame: arena, flash and arithmetic of ST EfficientNet LC v1 at both sizes; parameters of Keras's networks.

    Nothing of it depends on the weights, which are drawn at random. ST's own files may run on ST's devices only and are not
    used.
    """
    from effnet_lab.models import build_reference
    from effnet_lab.quantize import export

    calibration, rows = open_images("scenes", split="calibration", limit=4), []
    for name in progress(names) if progress else names:
        model = build_reference(name)
        if name in KERAS:
            rule = {"rule": "parameters, batch-norm statistics included", "tolerance": 0.0, "because": ""}
            rows.append({"model": name, "quantity": "params", "value": model.keras.count_params()} | rule)
            continue
        with scratch_folder() as folder:
            how: dict[str, Any] = {
                "format": "int8",
                "backend": "ai_edge_quantizer",
                "io": "uint8",
                "calibration": calibration,
            }
            (path,) = export(model, folder / "st.tflite", **how).files
            rows += [{"model": name} | row for row in _numbers(path)]
    return frames.build(frames.MEASURED, rows)


def _numbers(path: Path) -> list[dict[str, Any]]:
    graph, arena = read_graph(path), footprint(path).table["arena_head_bytes"].item()
    flash = _stored_bytes(graph) + PADDING_BYTES
    exact = {"tolerance": 0.0, "because": ""}
    return [
        {"quantity": "params", "rule": "bytes of int8 weights and int32 biases, and 128 more", "value": flash}
        | exact | {"because": _FLASH},
        {"quantity": "flash_bytes", "rule": "bytes of int8 weights and int32 biases, and 128 more", "value": flash} | exact,
        {"quantity": "madds", "rule": "multiply-adds, and one per element that is averaged or added", "because": _MACC,
         "value": graph.madds + _elements(graph), "tolerance": 0.0},
        {"quantity": "activation_bytes", "rule": "arena of TensorFlow Lite Micro, its head", "value": arena, "because": "",
         "tolerance": ARENA_TOLERANCE},
    ]  # fmt: skip


def _stored_bytes(graph: Graph) -> int:
    """Of an int8 kernel and an int32 bias for every op that has a kernel.

    They are counted op by op and not as stored: constants that are equal share a place, and a bias of zeros has none, which
    happens with random weights only.
    """
    kernels = [(kernel, graph.tensors[op.outputs[0]]) for op in graph.ops if (kernel := graph.weights(op)) is not None]
    return sum(kernel.size_bytes + 4 * output.shape[-1] for kernel, output in kernels)


def _elements(graph: Graph) -> int:
    ends = [op.inputs[0] if op.kind == "mean" else op.outputs[0] for op in graph.ops if op.kind in ("mean", "add")]
    return sum(int(np.prod(graph.tensors[index].shape, dtype=np.int64)) for index in ends)
