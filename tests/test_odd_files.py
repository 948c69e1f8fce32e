"""Valid files of a kind that nobody expects: each is answered, or refused for what is true of it."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from single_ops import DTYPES, OPS, VALID, File, layer

from effnet_lab.analysis import verdicts
from effnet_lab.analysis.lint import lint
from effnet_lab.analysis.repair import HeldOut
from effnet_lab.bench import bench
from effnet_lab.board import ethosu
from effnet_lab.evaluate import classify, evaluate
from effnet_lab.evaluate.file_features import file_features
from effnet_lab.images import open_samples
from effnet_lab.images.stated import StatedInput
from effnet_lab.litert import Runner, allocate, float_twin, read_graph
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.profiler import profile_nodes
from effnet_lab.names import UserError

OPS |= {"div": ("DIV", "DivOptions", 2), "minimum": ("MINIMUM", "MaximumMinimumOptions", 2),
        "gather": ("GATHER", "GatherOptions", 1), "rfft2d": ("RFFT2D", "Rfft2dOptions", 1),
        "cast": ("CAST", "CastOptions", 1), "dequantize": ("DEQUANTIZE", None, 2)}  # fmt: skip


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(path)
    return path


def stored(tmp_path, content: bytes, name: str = "odd"):
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(content)
    return path


def changed(content: bytes, change) -> bytes:
    tree = parse(content)
    change(tree)
    return pack(tree)


def picture_network(batch: int = 1) -> bytes:
    """As many numbers out as pixels go in."""
    content = layer("conv", 1 / 255, 0.01, 0.02, side=32, channels=(3, 3), zero=(-128, 0))

    def more(tree):
        for i in (0, 3):
            tree.subgraphs[0].tensors[i].shape = np.int32([batch, 32, 32, 3])

    return changed(content, more)


def test_names_with_lines_and_commas_reach_no_report_of_another_program(tmp_path):
    """Vela writes them unquoted into a CSV file; a terminal obeys what it does not print."""
    content = layer("conv", 0.1, np.full(6, 0.01, np.float32), 0.1)

    def rename(tree):
        for i, tensor in enumerate(tree.subgraphs[0].tensors):
            tensor.name = f'a, "b"\n{i}\x1b[2J'

    path = stored(tmp_path, changed(content, rename))
    compiled = ethosu(path)
    (row,) = compiled.layers.to_dict("records")
    assert (row["layer"], row["op"], row["runs_on"]) == ('a, "b" 3 [2J', "conv", "NPU")
    assert list(layer_names(read_graph(path)).values()) == ['a, "b" 3 [2J']


def test_a_file_without_operators_is_not_called_damaged(tmp_path):
    def empty(tree):
        graph = tree.subgraphs[0]
        graph.operators, graph.outputs = [], graph.inputs

    with pytest.raises(UserError, match="has no operator: it computes nothing"):
        read_graph(stored(tmp_path, changed(picture_network(), empty)))


def test_a_network_that_only_stops_on_zeros_is_not_called_unable_to_run(tmp_path):
    """A quotient: LiteRT refuses to divide by zero, on a blank input and nowhere else."""
    file = File()
    x, y = (file.tensor(name, (1, 4), scale=0.1) for name in "xy")
    one = file.tensor("one", (1, 4), scale=0.1, data=np.full((1, 4), 10))
    file.op("div", [one, x], y)
    path = stored(tmp_path, file.done([x], y))
    runner = Runner(path)
    with pytest.raises(UserError, match="LiteRT cannot run the model"):
        runner.run(np.zeros(4))
    assert runner.run(np.full(4, 0.5))[0] == pytest.approx(2.0)
    assert "F901" not in set(lint(path).table["id"])


def test_an_input_of_open_size_is_named_as_the_cause(tmp_path):
    content = layer("conv", 0.1, 0.01, 0.1, kernel=3, padding=VALID, side=8)

    def opened(tree):
        given = tree.subgraphs[0].tensors[0]
        given.shape, given.shapeSignature = np.int32([1, 1, 1, 4]), np.int32([-1, -1, -1, 4])

    path = stored(tmp_path, changed(content, opened))
    with pytest.raises(UserError, match=r"leaves the size of its input open and does not run at the stand-in"):
        bench([path], n_runs=4)
    arrays = tmp_path / "arrays.npy"
    np.save(arrays, np.zeros((2, 8, 8, 4), np.float32))
    with pytest.raises(UserError, match="leaves"):
        evaluate(path, arrays, against=path)


def test_a_size_that_is_open_is_not_to_be_settled_by_arrays(tmp_path, picture):
    """They are refused for the same reason."""

    def opened(tree):
        for i in (0, 3):
            stands = tree.subgraphs[0].tensors[i]
            stands.shape, stands.shapeSignature = np.int32([1, 1, 1, 3]), np.int32([-1, -1, -1, 3])

    path = stored(tmp_path, changed(picture_network(), opened))
    for ask in (lambda: verdicts(path, "scenes"), lambda: classify([picture], path)):
        with pytest.raises(UserError, match=r"stand-in for any size.*\. Export it with the size that you use\.$"):
            ask()


def test_several_pictures_at_a_time_are_not_called_no_pictures(tmp_path):
    path, guess = stored(tmp_path, picture_network(4)), StatedInput(guess=True)
    with pytest.raises(
        UserError, match=r"takes no single pictures: its input is \(4, 32, 32, 3\)\. So there are no feat"
    ):
        file_features(path, "conv", lambda _: None, 0, pooled="pooled", preprocess=guess)
    with pytest.raises(UserError, match=r"takes \(4, 32, 32, 3\): not one picture of a known size, and scenes holds"):
        verdicts(path, "scenes", preprocess=guess)


def test_numbers_of_words_are_profiled_at_zero(tmp_path):
    """What stood in memory before would be places outside of the table."""
    file = File()
    ids, table = file.tensor("ids", (1, 3), "int32"), file.tensor("table", (5, 4), "float32", data=np.ones((5, 4)))
    words = file.tensor("words", (1, 3, 4), "float32")
    file.op("gather", [table, ids], words, axis=0)
    profiled = profile_nodes(stored(tmp_path, file.done([ids], words)), n_runs=3)
    assert [node.name for node in profiled.nodes] == ["GATHER"]


def test_a_state_that_the_profiler_does_not_take_is_named(tmp_path):
    """As in an LSTM. The library says why before it says that it failed."""
    file = File()
    x, state, y = (file.tensor(name, (1, 4), "float32") for name in ("x", "state", "y"))
    file.tensors[state].isVariable = True
    file.op("add", [x, state], y)
    path = stored(tmp_path, file.done([x], y))
    assert (bench([path], n_runs=4)["p50_ms"] > 0).all()
    with pytest.raises(UserError, match=r"input of zeros: Variable tensors not yet supported\. `bench` without"):
        profile_nodes(path, n_runs=3)


def test_what_xnnpack_says_is_told_in_sentences(tmp_path):
    """It says several things of one tensor, one after the other and with no space between them."""

    def shift(tree):
        tree.subgraphs[0].tensors[2].quantization.zeroPoint = np.full(6, 7)

    content = changed(layer("conv", 0.1, np.full(6, 0.01, np.float32), 0.1), shift)
    with pytest.raises(
        UserError, match=r"XNNPACK delegate\. unsupported datatype \(INT32\) of tensor 2 in XNNPACK delegate\)"
    ):
        Runner(stored(tmp_path, content)).run(np.zeros((5, 5, 4)))


def test_where_a_board_has_no_kernel_int8_is_not_called_the_way_out(tmp_path):
    file = File()
    x, size = file.tensor("x", (1, 1, 8), "float32"), file.tensor("size", (2,), "int32", data=[1, 8])
    y = file.tensor("y", (1, 1, 5), "float32")
    file.op("rfft2d", [x, size], y)
    with pytest.raises(UserError, match=r"has no kernel for RFFT2D, in any kind of numbers\.$"):
        allocate(stored(tmp_path, file.done([x], y)))


@pytest.mark.parametrize(
    ("batch", "reason"), [(1, r"no ranking of classes: its output is \(1, 32, 32, 3\)"), (4, r"\(4, 32, 32, 3\)")]
)
def test_what_ranks_no_classes_for_one_picture_is_not_asked_to(tmp_path, picture, batch, reason):
    path = stored(tmp_path, picture_network(batch))
    with pytest.raises(UserError, match=reason):
        classify([picture], path, preprocess=StatedInput(guess=True))


def test_an_error_that_the_next_op_undoes_is_said_to_cost_nothing(tmp_path):
    """Values above 1 are cut off by the codes of one layer, and by the next op all the same."""
    file, rng = File(), np.random.default_rng(0)
    x = file.tensor("x", (1, 8), scale=2 / 127)
    kernel = file.tensor("kernel", (8, 8), scale=1 / 127, data=np.eye(8) * 127)
    wide, out = (file.tensor(name, (1, 8), scale=1 / 127) for name in ("wide", "out"))
    one = file.tensor("one", (1, 8), scale=1 / 127, data=np.full((1, 8), 127))
    file.op("dense", [x, kernel], wide)
    file.op("minimum", [wide, one], out)
    path, arrays = stored(tmp_path, file.done([x], out)), tmp_path / "arrays.npy"
    np.save(arrays, rng.uniform(-0.9, 2, (24, 8)).astype(np.float32))
    found = verdicts(path, arrays)
    assert found.table.set_index("layer").loc["wide", "verdict"] == "clipped"
    assert found.loss.sqnr_db > 35
    assert any(said.startswith("The error of wide does not reach the answer") for said in found.closing)


def test_grey_levels_that_a_cast_turns_into_numbers_stay_grey_levels_in_the_twin(tmp_path):
    """An input of bytes without a scale, as of many networks for pictures: its cast computes what no twin can leave out."""
    file, rng = File(), np.random.default_rng(0)
    x = file.tensor("x", (1, 6), "uint8")
    wide, codes = file.tensor("wide", (1, 6), "float32"), file.tensor("codes", (1, 6), scale=1.0, zero=-128)
    kernel = file.tensor("kernel", (4, 6), scale=0.01, data=rng.integers(-127, 128, (4, 6)))
    y = file.tensor("y", (1, 4), scale=4.0)
    file.op("cast", [x], wide, inDataType=DTYPES["uint8"], outDataType=DTYPES["float32"])
    file.op("quantize", [wide], codes)
    file.op("dense", [codes, kernel], y)
    path, arrays = stored(tmp_path, file.done([x], y)), tmp_path / "arrays.npy"
    given = rng.integers(0, 256, (24, 6))
    np.save(arrays, given)
    weights = read_graph(path).tensors[kernel]
    right = given @ weights.real(weights.values).T
    twin = Runner(float_twin(path))
    np.testing.assert_allclose([twin.run(sample)[0][0] for sample in given], right, rtol=1e-5)
    assert 20 < verdicts(path, arrays).loss.sqnr_db < 60


def test_an_output_is_found_though_its_name_is_that_of_the_codes_behind_it(tmp_path):
    """The AI Edge Quantizer leaves an op's name to its codes, which nobody can read, and calls what they stand for another."""
    plain, whole, rng = File(), File(), np.random.default_rng(0)
    kernel = rng.integers(-127, 128, (8, 8))
    x, y = (plain.tensor(name, (1, 8), "float32") for name in "xy")
    plain.op("dense", [x, plain.tensor("kernel", (8, 8), "float32", data=kernel / 100)], y)
    given, end = (whole.tensor(name, (1, 8), "float32") for name in ("x", "y_dequant"))
    codes, y_codes = (whole.tensor(name, (1, 8), scale=scale) for name, scale in (("x_quant", 0.01), ("y", 0.05)))
    whole.op("quantize", [given], codes)
    whole.op("dense", [codes, whole.tensor("kernel", (8, 8), scale=0.01, data=kernel)], y_codes)
    whole.op("dequantize", [y_codes], end)
    np.save(arrays := tmp_path / "arrays.npy", rng.uniform(-1, 1, (24, 8)).astype(np.float32))
    judge = HeldOut(plain.done([x], y), open_samples(arrays), None)
    assert 1e-6 < judge.losses(whole.done([given], end)).mean() < 1e-3


def sparse(content: bytes, kernel: int) -> bytes:
    """The same file with one kernel stored row by row without its zeros."""

    def store(tree):
        tensor = tree.subgraphs[0].tensors[kernel]
        buffer = tree.buffers[tensor.buffer]
        values = np.asarray(buffer.data).view(np.int8).reshape(tensor.shape)
        rows, columns = np.nonzero(values)
        segments = np.concatenate([[0], np.cumsum(np.count_nonzero(values, axis=1))])
        whole = schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=len(values))
        part = schema.DimensionMetadataT(
            format=schema.DimensionType.SPARSE_CSR,
            arraySegmentsType=schema.SparseIndexVector.Int32Vector,
            arraySegments=schema.Int32VectorT(values=segments.astype(np.int32)),
            arrayIndicesType=schema.SparseIndexVector.Int32Vector,
            arrayIndices=schema.Int32VectorT(values=columns.astype(np.int32)),
        )
        tensor.sparsity = schema.SparsityParametersT(
            traversalOrder=np.int32([0, 1]), blockMap=None, dimMetadata=[whole, part]
        )
        buffer.data = values[rows, columns].view(np.uint8)

    return changed(content, store)


def test_weights_stored_without_their_zeros_are_read(tmp_path):
    file, rng = File(), np.random.default_rng(0)
    kernel = rng.integers(-127, 128, (5, 16)) * (rng.uniform(size=(5, 16)) < 0.3)
    x, y = file.tensor("x", (1, 16), scale=0.1), file.tensor("y", (1, 5), scale=0.5)
    file.op("dense", [x, file.tensor("kernel", (5, 16), scale=0.01, data=kernel)], y)
    content = file.done([x], y)
    thin = sparse(content, 2)
    np.testing.assert_array_equal(read_graph(thin).tensors[2].data, kernel)
    for wrong in (np.int32([0, 1, 1]), np.int32([1])):

        def damage(tree, order=wrong):
            tree.subgraphs[0].tensors[2].sparsity.traversalOrder = order

        with pytest.raises(UserError, match="states places that do not fit"):
            read_graph(changed(thin, damage))


@pytest.mark.parametrize("size", [3, 8])
def test_blocks_of_a_sparse_kernel(size):
    """TensorFlow's converter stores blocks of four along a row."""
    from effnet_lab.litert.sparse import dense

    rng = np.random.default_rng(size)
    kept = rng.uniform(size=(size, 4)) < 0.5
    kept[0] = True
    whole = rng.integers(1, 100, (size, 16)) * np.repeat(kept, 4, axis=1)
    rows, blocks = np.nonzero(kept)
    axes = [
        schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=size),
        schema.DimensionMetadataT(
            format=schema.DimensionType.SPARSE_CSR,
            arraySegments=schema.Uint8VectorT(values=np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.uint8)),
            arrayIndices=schema.Uint8VectorT(values=blocks.astype(np.uint8)),
        ),
        schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=4),
    ]
    stored = schema.SparsityParametersT(traversalOrder=[0, 1, 2], blockMap=[1], dimMetadata=axes)
    values = np.concatenate([whole[row, 4 * block : 4 * block + 4] for row, block in zip(rows, blocks, strict=True)])
    np.testing.assert_array_equal(dense(values, whole.shape, stored), whole)
    with pytest.raises(UserError, match="do not fit"):
        dense(values[:-1], whole.shape, stored)
