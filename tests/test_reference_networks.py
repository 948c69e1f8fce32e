"""Networks from elsewhere with random weights: their published sizes, and ST's published memory."""

from __future__ import annotations

import pytest

from effnet_lab.bench import measure_latency
from effnet_lab.board import footprint, measure_memory
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert import ModelInfo, allocate, embed_info, read_graph
from effnet_lab.litert.io_types import with_io
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.models import build_reference
from effnet_lab.names import UserError
from effnet_lab.quantize.ai_edge import requantize
from effnet_lab.quantize.convert import convert, trace_model
from effnet_lab.quantize.schemes import get_scheme


def int8(model) -> tuple[bytes, bytes]:
    """Float and int8 file; ranges are made up, they change no shape."""
    content = convert(trace_model(model), get_scheme("float32"), model)
    graph = read_graph(content)
    names = [*(graph.tensors[i].name for i in graph.inputs), *layer_names(graph)]
    return content, requantize(content, get_scheme("int8"), dict.fromkeys(names, (-4.0, 4.0)))


@pytest.mark.parametrize(("name", "published_kib"), [("st_lc_v1_128", 129.17), ("st_lc_v1_224", 393.17)])
def test_structure_of_st_takes_the_activation_memory_that_st_publishes(name, published_kib):
    """Source: STMicroelectronics stm32ai-modelzoo, EfficientNet LC v1, activation RAM, STM32Cube.AI 8.1."""
    _, content = int8(build_reference(name))
    arena = allocate(with_io(content, "uint8"))
    assert arena.head_bytes / 1024 == pytest.approx(published_kib, rel=0.03)
    graph = read_graph(content)
    assert sum(kernel.data.size for op in graph.ops if (kernel := graph.weights(op)) is not None) == 485_440


def test_mobilenet_has_the_published_parameters_and_can_be_measured(tmp_path):
    model = build_reference("mobilenet_v2", size_px=64)
    assert model.keras.count_params() == 3_538_984  # Keras applications
    paths = []
    for scheme, content in zip(("float32", "static_wi8_ai8"), int8(model), strict=True):
        info = ModelInfo(
            model=model.name, scheme=scheme, backend="", preprocess=Preprocess(size_px=64), classes=model.classes
        )
        paths.append(tmp_path / f"{scheme}.tflite")
        paths[-1].write_bytes(embed_info(content, info))
    assert (
        footprint(paths[1]).table["arena_head_bytes"].item() >= measure_memory(paths[1])["peak_activation_bytes"].item()
    )
    assert list(measure_latency(paths, n_runs=16)["model"]) == ["mobilenet_v2"] * 2


def test_unknown_baseline():
    with pytest.raises(UserError, match="Did you mean 'resnet50'"):
        build_reference("resnet5")
