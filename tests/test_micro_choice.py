"""Precisions for a microcontroller: what its runtime refuses is not chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from effnet_lab.images import StatedInput, open_images
from effnet_lab.litert import allocate, micro, read_graph
from effnet_lab.studies import mixed_precision

ARENA, BYTES = 64_000, 70_000  # less than int8 throughout takes: 96,384 bytes


@pytest.mark.real
@pytest.mark.skipif(not micro.installed(), reason=micro.MISSING)
def test_a_layer_gets_no_precision_that_the_runtime_has_no_kernel_for(shared: Path, tmp_path: Path) -> None:
    """TensorFlow Lite Micro has int4 kernels for convolutions, and refuses a dense layer with an int4 kernel."""
    weights, out = shared / "fixtures/wild/mlcommons__pretrainedResnet.tflite", tmp_path / "out.tflite"
    calibration = open_images("scenes", split="calibration", limit=12)
    images, stated = open_images("scenes", limit=8), StatedInput(input_range="0..255")
    done = mixed_precision(
        weights, images, out, calibration=calibration, preprocess=stated, max_arena=ARENA, max_bytes=BYTES
    )
    assert allocate(out).total_bytes <= ARENA
    assert out.stat().st_size <= BYTES
    graph = read_graph(out)
    kernels = {(op.kind, kernel.dtype.name) for op in graph.ops if (kernel := graph.weights(op)) is not None}
    assert ("conv", "int4") in kernels
    assert not any("dense=int4" in recipe for recipe in done.table.loc[done.table["arena_bytes"].notna(), "recipe"])
