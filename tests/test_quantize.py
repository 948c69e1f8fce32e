"""Both back ends write files that run, agree, and say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from effnet_lab.images import open_images
from effnet_lab.intervals import difference_interval
from effnet_lab.litert import Runner, read_graph, read_info
from effnet_lab.models import load_model
from effnet_lab.names import UserError
from effnet_lab.quantize import SCHEMES, get_scheme, targets, write_files
from effnet_lab.scaling import get_spec, totals
from effnet_lab.scaling.layers import layers as layers_of


def test_float_file_computes_what_keras_computes(files):
    model = load_model("micro0")
    batch = next(open_images("scenes", limit=16).batches(model.preprocess))[0]
    logits = model.keras(batch, training=False).numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(Runner(files["float32 converter"]).predict(batch), expected, atol=1e-5)


@pytest.fixture(scope="module")
def hits(files):
    """Whether each of 300 evaluation images was recognised, by file."""
    images = open_images("scenes", limit=300)
    info = read_info(files["float32 converter"])
    batch = np.concatenate([batch for batch, _ in images.batches(info.preprocess)])
    return {name: Runner(path).predict(batch).argmax(1) == images.labels for name, path in files.items()}


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES.values() if len(scheme.backends) == 2], ids=str)
def test_back_ends_agree_within_the_paired_interval(scheme, hits):
    first, second = (hits[f"{scheme.name} {backend}"] for backend in scheme.backends)
    low, high = difference_interval(first, second)
    assert low <= 0 <= high
    assert high - low < 0.06  # narrow enough to say something: at most three points to either side


def test_no_scheme_costs_what_float_does_not(hits):
    for name, hit in hits.items():
        assert hit.mean() == pytest.approx(hits["float32 converter"].mean(), abs=0.03), name


def test_min_max_ranges_are_the_converters(files):
    """But for what goes into an addition, which the converter gives the scale of the sum.

    The tool's own calibration, a moving average, clips: its scales were 0.44 to 1.0 of the converter's.
    """
    graphs = [read_graph(files[f"static_wi8_ai8 {backend}"]) for backend in ("converter", "ai_edge_quantizer")]
    scales = [
        {tensor: graph.tensors[op.outputs[0]].scale[0] for tensor, op in graph.produced.items()} for graph in graphs
    ]
    added = {graphs[0].tensors[index].name for op in graphs[0].ops if op.kind == "add" for index in op.inputs}
    compared = (scales[0].keys() & scales[1].keys()) - added
    assert len(compared) >= 15
    for tensor in compared:
        assert scales[1][tensor] == pytest.approx(scales[0][tensor], rel=0.01), tensor


def test_int8_file_is_int8_throughout(files):
    for backend in ("converter", "ai_edge_quantizer"):
        graph = read_graph(files[f"static_wi8_ai8 {backend}"])
        assert {graph.tensors[op.outputs[0]].dtype.name for op in graph.ops} == {"int8"}
        kernels = [kernel for op in graph.ops if (kernel := graph.weights(op)) is not None]
        assert all(kernel.scale.size == kernel.shape[kernel.axis] for kernel in kernels if len(kernel.shape) == 4)
        graph = read_graph(files[f"static_wi8_ai8_per_tensor {backend}"])
        kernels = [kernel for op in graph.ops if (kernel := graph.weights(op)) is not None]
        assert all(kernel.scale.size == 1 for kernel in kernels)


@pytest.mark.parametrize("name", ["static_wi4_ai8 ai_edge_quantizer", "weight_only_wi4_afp32 ai_edge_quantizer"])
def test_int4_weights_use_their_sixteen_values(name, files):
    graph = read_graph(files[name])
    stored = {(op.kind, graph.stored_weights(op).dtype.name) for op in graph.ops if graph.weights(op) is not None}
    assert stored == {("conv", "int4"), ("dense", "int4"), ("depthwise", "int8")}
    four = [kernel for op in graph.ops if (kernel := graph.stored_weights(op)) and kernel.dtype.name == "int4"]
    for kernel in four:
        assert set(np.unique(kernel.data.astype(int))) <= set(range(-7, 8))
        assert np.abs(kernel.data.astype(int)).max() == 7
    dense = read_graph(files["float32 converter"])
    reals = [dense.tensors[op.inputs[1]].data for op in dense.ops if op.kind in ("conv", "dense")]
    for kernel, real in zip(four, reals, strict=True):  # every weight within half a step of what it was
        steps = (kernel.real(kernel.data) - real) / kernel.scale.reshape((-1,) + (1,) * (real.ndim - 1))
        assert np.abs(steps).max() <= 0.501


def test_a_file_says_its_scheme_by_its_types_alone(files):
    for name, path in files.items():
        assert read_graph(path).scheme == name.split()[0]


def stored_bytes(path) -> int:
    """Bytes of kernels and biases in a file."""
    graph = read_graph(path)
    kernels = [op for op in graph.ops if graph.weights(op) is not None]
    return sum(graph.tensors[index].data.nbytes for op in kernels for index in op.inputs[1:])


def test_sizes_are_what_the_specification_says(files):
    """Kernels one byte each and biases four in int8, everything four in float32: batch norm is folded."""
    cost = totals(get_spec("micro0"), classes=10)
    assert stored_bytes(files["static_wi8_ai8 converter"]) == cost.flash_bytes
    kernels = (stored_bytes(files["float32 converter"]) - cost.flash_bytes) / 3
    assert kernels == sum(
        layer.weight_bytes - 4 * layer.channels
        for layer in layers_of(get_spec("micro0"), classes=10)
        if layer.weight_bytes
    )
    assert files["float16 converter"].stat().st_size < files["float32 converter"].stat().st_size - kernels


def test_schemes_by_both_names():
    for scheme in SCHEMES.values():
        assert get_scheme(scheme.name) is get_scheme(scheme.format) is scheme
    with pytest.raises(UserError, match="Did you mean 'static_wi8_ai8'"):
        get_scheme("static_wi8_a8")


def test_what_a_back_end_cannot_write_is_said_before_the_work():
    with pytest.raises(UserError, match=r"ai_edge_quantizer cannot write float32\. Use: converter"):
        targets(["float32"], ["ai_edge_quantizer"])
    with pytest.raises(UserError, match=r"converter cannot write static_wi4_ai8\. Use: ai_edge_quantizer"):
        targets(["int4"], ["converter"])
    with pytest.raises(UserError, match="Did you mean 'converter'"):
        targets(["int8"], ["convertor"])
    both = targets(["float32", "int8"], ["converter", "ai_edge_quantizer"])
    assert [(scheme.name, backend) for scheme, backend in both] == [
        ("float32", "converter"), ("static_wi8_ai8", "converter"), ("static_wi8_ai8", "ai_edge_quantizer"),
    ]  # fmt: skip


def test_calibration_is_needed_and_never_the_evaluation_split(tmp_path):
    model, int8 = load_model("micro0"), targets(["int8"], ["converter"])
    with pytest.raises(UserError, match="needs calibration images"):
        write_files(model, int8, tmp_path)
    with pytest.raises(UserError, match="must not be evaluation images"):
        write_files(model, int8, tmp_path, calibration=open_images("scenes", split="evaluation", limit=10))
    assert not list(tmp_path.iterdir())


def test_a_single_file_may_be_named(tmp_path):
    paths = write_files(load_model("micro0"), targets(["float32"], ["converter"]), tmp_path / "mine.tflite")
    assert paths == [tmp_path / "mine.tflite"]
    with pytest.raises(UserError, match="is one file"):
        write_files(load_model("micro0"), targets(["float32", "float16"], ["converter"]), tmp_path / "mine.tflite")
