"""The logits of a whole file, without any short cut: what tests hold quicker ways against."""

from __future__ import annotations

import numpy as np

from effnet_lab.litert import Runner


def logits(content: bytes, batch: np.ndarray) -> np.ndarray:
    """What the last dense layer gives for each image of (n, side, side, 3), float64 (n, classes)."""
    runner = Runner(content, keep_all=True)
    dense = next(op for op in runner.graph.ops if op.kind == "dense")
    found = []
    for image in batch:
        runner.feed(image)
        runner.invoke()
        found.append(runner.activation(runner.graph.tensors[dense.outputs[0]]).reshape(-1).astype(np.float64))
    return np.stack(found)
