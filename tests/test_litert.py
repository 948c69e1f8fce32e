"""Reading, running and rewriting .tflite files: against LiteRT itself and a file that somebody else made."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from single_ops import binary, layer

from effnet_lab.images import open_images
from effnet_lab.litert import Runner, embed_info, float_twin, read_graph, read_info, runner
from effnet_lab.litert.edit import with_unique_names
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.graph import Tensor
from effnet_lab.litert.input_values import by_scale
from effnet_lab.litert.metadata import KEY
from effnet_lab.litert.runner import DelegateError, invoke, to_codes
from effnet_lab.names import UserError
from effnet_lab.quantize import SCHEMES
from effnet_lab.quantize.write import quantizer
from effnet_lab.scaling import get_spec, layer_counts, totals

INT8 = "static_wi8_ai8 converter"


@pytest.fixture
def flowers_model(shared):
    return shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"


def test_graph_counts_what_the_specification_counts(files):
    graph, counts = read_graph(files[INT8]), totals(get_spec("micro0"), classes=10)
    assert graph.madds == counts.madds
    assert graph.peak_activation_bytes == counts.peak_activation_bytes
    ops = layer_counts(get_spec("micro0"), classes=10)["op"].tolist()
    assert [op.kind for op in graph.ops] == [*ops, "softmax"]


def test_float_activations_take_four_times_the_memory(files):
    small, large = read_graph(files[INT8]), read_graph(files["float32 converter"])
    assert large.peak_activation_bytes == 4 * small.peak_activation_bytes
    assert read_graph(files["float16 converter"]).peak_activation_bytes == large.peak_activation_bytes


def test_scheme_is_recognised_from_the_types(files):
    for name, path in files.items():
        assert read_graph(path).scheme == name.split()[0], name


@pytest.mark.real
def test_a_softmax_of_sixteen_bits_makes_no_network_of_sixteen_bits(shared):
    path = shared / "fixtures" / "wild" / "tensorflow__keyword_scrambled_8bit.tflite"
    assert read_graph(path).scheme == "static_wi8_ai8_per_tensor"


def test_runner_agrees_with_the_bare_interpreter(files):
    image = np.random.default_rng(0).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    runner, bare = Runner(files[INT8]), Interpreter(str(files[INT8]))
    bare.allocate_tensors()
    into, out = bare.get_input_details()[0], bare.get_output_details()[0]
    scale, zero = into["quantization"]
    bare.set_tensor(into["index"], np.clip(np.round(image / scale) + zero, -128, 127).astype(np.int8)[None])
    bare.invoke()
    scale, zero = out["quantization"]
    expected = (bare.get_tensor(out["index"]).astype(np.float32) - zero) * scale
    np.testing.assert_array_equal(runner.predict(image[None]), expected)


def test_input_saturates_and_never_wraps():
    tensor = Tensor(
        index=0, name="x", shape=(3,), dtype=np.dtype("int8"), scale=np.array([0.5], np.float32), zero_point=np.array([10]),
        axis=0, data=None,
    )  # fmt: skip
    codes = to_codes(np.array([1e6, -1e6, 1.0], np.float32), tensor)
    assert codes.tolist() == [127, -128, 12]
    np.testing.assert_allclose(tensor.real(codes), [58.5, -69.0, 1.0])


def test_info_travels_in_the_file(files):
    info = read_info(files["static_wi8_ai8 ai_edge_quantizer"])
    assert (info.model, info.scheme, info.backend) == ("micro0", "static_wi8_ai8", "ai_edge_quantizer")
    assert info.preprocess.size_px == 32
    assert info.classes == tuple("0123456789")


def test_embedding_info_changes_no_output(files, tmp_path):
    path = files["float32 converter"]
    again = tmp_path / "again.tflite"
    again.write_bytes(embed_info(path.read_bytes(), read_info(path)))
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(Runner(path).predict(batch), Runner(again).predict(batch))


def test_buffers_behind_the_tree_are_kept(files):
    """AI Edge Quantizer stores large buffers after the flatbuffer, by offset."""
    tree = parse(files["static_wi8_ai8 converter"])
    plain = pack(tree)
    largest = max(tree.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    data, largest.data, largest.size = bytes(largest.data), None, len(largest.data)
    largest.offset = 2  # any value but 0 and 1 has the same size in the file
    start = len(pack(tree))
    largest.offset = start
    again = parse(pack(tree) + data)
    assert pack(again) == plain


def test_a_buffer_without_bytes_is_no_stored_value(files):
    """Some tools write one where the others write none; AI Edge Quantizer takes its tensors for constants."""
    content = files["float32 converter"].read_bytes()
    tree = parse(content)
    tree.buffers[0].data = np.zeros(0, np.uint8)
    for tensor in tree.subgraphs[0].tensors:
        if tree.buffers[tensor.buffer].data is None:
            tensor.buffer = 0
    odd = pack(tree)
    assert parse(odd).buffers[0].data.size == 0
    assert parse(with_unique_names(odd)).buffers[0].data is None
    assert quantizer((SCHEMES["dynamic_wi8_afp32"], "ai_edge_quantizer"))(odd)


def test_float_twin_computes_what_the_quantized_weights_say(files, tmp_path):
    """Quantizing the weights only (dynamic file) and taking its twin is the float network with rounded weights."""
    twin = Runner(float_twin(files[INT8]))
    assert {tensor.dtype.name for tensor in twin.graph.tensors} <= {"float32", "int32"}
    images = open_images("scenes", limit=40)
    info = read_info(files[INT8])
    batch = np.concatenate([batch for batch, _ in images.batches(info.preprocess)])
    same = twin.predict(batch).argmax(1) == Runner(files["float32 converter"]).predict(batch).argmax(1)
    assert same.mean() >= 0.9


@pytest.mark.real
def test_what_a_file_from_elsewhere_says_about_itself(flowers_model):
    info, graph = read_info(flowers_model), read_graph(flowers_model)
    assert info.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    # its input takes pixels as they are; so says its TFLite Metadata, too: mean 0, std 255
    assert (info.preprocess.mean, info.preprocess.std) == (0.0, 255.0)
    assert (info.preprocess.size_px, info.scheme, info.backend) == (224, "static_wi8_ai8", "")
    # lite0 with 5 classes
    assert graph.madds == totals(get_spec("lite0"), classes=5).madds


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [
        (1 / 128, 127, (127.0, 128.0)),
        (0.0089, 127, (127.0, 128.0)),  # the original exporter's, which leaves room for the bicubic kernel's overshoot
        (1 / 127.5, 128, (127.5, 127.5)),
        (1 / 127.5, 127, (127.5, 127.5)),
        (1 / 255, 0, (0.0, 255.0)),
        (1.0, 0, (0.0, 1.0)),
        (0.0042, 0, (0.0, 255.0)),
        (0.5847, 211, None),  # of speech: no pictures have these values
    ],
)
def test_usual_normalisations_are_seen_in_an_input(scale, zero, expected):
    codes = {"scale": np.float32([scale]), "zero_point": np.int64([zero]), "dtype": np.dtype("uint8"), "axis": 0}
    assert by_scale(Tensor(index=0, name="x", shape=(1, 8, 8, 3), data=None, **codes)) == expected


@pytest.mark.real
def test_a_float_input_that_the_graph_normalises_is_in_unit_range(flowers_model, tmp_path):
    path = tmp_path / "twin.tflite"
    path.write_bytes(float_twin(flowers_model))
    assert (read_info(path).preprocess.mean, read_info(path).preprocess.std) == (0.0, 255.0)


@pytest.mark.real
def test_twin_of_a_file_from_elsewhere_agrees_with_it(flowers_model, flowers_cache):
    """Fixtures README: dequantized weights and float activations agree with the file on 99.1 % of the photographs."""
    images, info = open_images("flowers160", limit=100), read_info(flowers_model)
    batch = np.concatenate([batch for batch, _ in images.batches(info.preprocess)])
    same = Runner(float_twin(flowers_model)).predict(batch).argmax(1) == Runner(flowers_model).predict(batch).argmax(1)
    assert same.mean() >= 0.97


@pytest.mark.parametrize("content", [b"", b"just some text, not a model", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 60])
def test_a_file_that_is_no_model_gets_one_line(tmp_path, content):
    path = tmp_path / "text.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"text\.tflite"):
        Runner(path)


@pytest.mark.parametrize("content", [b"no JSON", b"{}", b"[1]", b'{"preprocess": 3, "classes": []}'])
def test_damaged_metadata_get_one_line(files, tmp_path, content):
    tree = parse(files[INT8])
    (entry,) = (entry for entry in tree.metadata if entry.name == KEY.encode())
    tree.buffers[entry.buffer].data = np.frombuffer(content, np.uint8)
    path = tmp_path / "bad.tflite"
    path.write_bytes(pack(tree))
    with pytest.raises(UserError, match=r"bad\.tflite' is damaged"):
        read_info(path)


def test_a_missing_file_gets_one_line(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_graph(tmp_path / "none.tflite")


def test_a_wrong_image_shape_gets_one_line(files):
    with pytest.raises(UserError, match=r"takes images of shape \(32, 32, 3\). Got \(16, 16, 3\)"):
        Runner(files[INT8]).predict(np.zeros((1, 16, 16, 3), np.float32))


class Failing:
    """An interpreter that says something when it is asked to run."""

    def __init__(self, said: str) -> None:
        self.said = said

    def invoke(self) -> None:
        raise RuntimeError(self.said)


def test_only_xnnpacks_complaints_are_about_the_delegate():
    with pytest.raises(DelegateError, match="XNNPACK refuses"):
        invoke(Failing("failed to create XNNPACK runtime"))
    with pytest.raises(UserError, match="LiteRT cannot run the model: input 3 is out of range") as raised:
        invoke(Failing("input 3 is out of range."))
    assert not isinstance(raised.value, DelegateError)


def test_the_interpreter_gets_what_was_asked_for(monkeypatch):
    asked = []
    real = runner.Interpreter
    monkeypatch.setattr(runner, "Interpreter", lambda **how: asked.append(how) or real(**how))
    Runner(layer("conv", 0.1, 0.01, 0.1), threads=2, kernels="reference", keep_all=True)
    (how,) = asked
    assert how["num_threads"] == 2
    assert how["experimental_preserve_all_tensors"] is True
    assert how["experimental_op_resolver_type"].name == "BUILTIN_REF"


@pytest.mark.real
def test_a_network_with_a_state_is_reset(shared):
    """A voice activity detector keeps what it heard; a second hearing differs until it forgets."""
    net = Runner(shared / "fixtures" / "wild" / "esphome__vad.tflite")
    heard = np.random.default_rng(0).uniform(0, 26, net.input.shape[1:]).astype(np.float32)
    answers = []
    for forget in (False, False, False, True):
        if forget:
            net.reset()
        net.feed(heard)
        net.invoke()
        answers.append(float(net.activation(net.output).reshape(-1)[0]))
    assert len(set(answers[:3])) > 1
    assert answers[3] == answers[0]
    handle = next(op for op in net.graph.ops if op.kind == "var_handle").outputs[0]
    for read in (net.codes, net.activation):  # LiteRT itself ends the process here
        with pytest.raises(UserError, match="holds a handle"):
            read(net.graph.tensors[handle])


def test_several_inputs_are_fed_in_order():
    net = Runner(binary("sub", 1.0, 1.0, 1.0))
    a, b = np.full((8, 8, 16), 5, np.float32), np.full((1, 8, 8, 16), 3, np.float32)
    net.feed(a, b)
    net.invoke()
    assert (net.activation(net.output) == 2).all()
    with pytest.raises(UserError, match="2 inputs"):
        net.feed(a)


def test_unknown_kernels_and_threads(files):
    with pytest.raises(UserError, match="Did you mean 'xnnpack'"):
        Runner(files[INT8], kernels="xnpack")
    with pytest.raises(UserError, match="threads must be >= 1"):
        Runner(files[INT8], threads=0)
