"""The integer arithmetic of the kernels, recomputed in numpy: not one code may differ from the interpreter's."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from single_ops import FUSED, SAME, VALID, File, binary, layer, mean, run
from typer.testing import CliRunner

from effnet_lab import cli, frames
from effnet_lab.analysis import open_twins
from effnet_lab.analysis.integer import KINDS, check_integer, explain, explain_op, walk
from effnet_lab.analysis.integer.fixed_point import FLOAT32, TIES_AWAY, TIES_UP, quantize_multiplier, requantize
from effnet_lab.analysis.integer.op_case import OpCase
from effnet_lab.analysis.integer.steps import code_range, steps
from effnet_lab.images import open_images
from effnet_lab.litert import KERNELS, read_graph, read_info
from effnet_lab.litert.options import op_options
from effnet_lab.names import UserError

INT8 = "static_wi8_ai8 converter"


@pytest.fixture(scope="module")
def image(files):
    return first("scenes", files[INT8])


def first(data: str, model) -> np.ndarray:
    """The first picture of a data set as the model wants it."""
    return next(open_images(data, limit=1).batches(read_info(model).preprocess))[0][0]


def recomputed(content: bytes, kernels: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(ours, the interpreter's) output codes of a file of one op."""
    graph, options = read_graph(content), op_options(content)
    codes, theirs = run(content, kernels, np.random.default_rng(seed))
    op = graph.ops[0]
    into = dict(zip(graph.inputs, codes, strict=True))
    case = OpCase(
        op=op,
        options=options[0],
        inputs=tuple(graph.tensors[i] for i in op.inputs),
        output=graph.tensors[op.outputs[0]],
        codes=tuple(into.get(i, graph.tensors[i].data) for i in op.inputs),
        kernels=kernels,
    )
    return list(steps(case))[-1].value, theirs


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", [INT8, "static_wi8_ai8 ai_edge_quantizer"])
def test_every_op_of_an_embedded_network(files, image, name, kernels):
    table = check_integer(files[name], image, kernels=kernels)
    frames.require(table, frames.INTEGER, caller="test")
    graph = read_graph(files[name])
    assert len(table) == len(graph.ops)
    refused = table[table["refused"] != ""]
    assert refused["op"].tolist() == ["softmax"]
    assert refused["n_different"].isna().all()
    done = table[table["refused"] == ""]
    assert len(done) == sum(op.kind in KINDS for op in graph.ops)
    assert (done["n_different"] == 0).all()
    assert done["n_values"].sum() == sum(np.prod(graph.tensors[op.outputs[0]].shape) for op in graph.ops[:-1])


@pytest.mark.real
@pytest.mark.parametrize("kernels", KERNELS)
def test_every_op_of_a_real_lite0_at_224_px(shared, flowers_cache, kernels):
    model = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    table = check_integer(model, first("flowers160", model), kernels=kernels)
    done = table[table["refused"] == ""]
    counts = done["op"].value_counts().to_dict()
    assert counts == {"conv": 33, "depthwise": 16, "add": 10, "mul": 1, "mean": 1, "dense": 1}
    assert (done["n_different"] == 0).all()
    assert len(table) == len(done) + 1  # the softmax


@pytest.mark.real
@pytest.mark.parametrize("kernels", KERNELS)
def test_a_uint8_file_is_recomputed_to_the_last_code(shared, kernels):
    """One scale and zero point per tensor, for the weights too."""
    model = shared / "fixtures" / "wild" / "google-coral__mobilenet_v1_0.25_128_quant.tflite"
    table = explain(model, "scenes", kernels=kernels)
    done = table[table["refused"] == ""]
    assert done["op"].value_counts().to_dict() == {"conv": 15, "depthwise": 13}
    assert (done["n_different"] == 0).all()
    assert set(table.loc[table["refused"] != "", "op"]) == {"average_pool_2d", "reshape", "softmax"}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("axes", [(1,), (2,), (3,), (2, 3), (2, 1), (-2, -3)])
@pytest.mark.parametrize("keep", [False, True])
def test_means_over_other_axes(kernels, axes, keep):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        into, zeros = float(scales(rng, 1)[0]), tuple(int(z) for z in rng.integers(-128, 128, 2))
        shape = (1, *(int(n) for n in rng.integers(2, 20, 2)), 24)  # one group of 16 channels, and a rest
        content = mean(into, into * rng.uniform(0.02, 2), zeros=zeros, shape=shape, axes=axes, keep=keep)
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}")


@pytest.mark.parametrize("kernels", KERNELS)
def test_depthwise_sums_that_fall_between_two_codes(kernels):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        channels, ratio = int(rng.integers(4, 30)), float(rng.choice([1 / 2, 1 / 4, 1 / 8, 1 / 64]))
        zeros = tuple(int(z) for z in rng.integers(-128, 128, 2))
        weight = np.full(channels, 0.25, np.float32)
        content = layer("depthwise", 0.5, weight, 0.125 / ratio, rng=rng, zero=zeros, channels=(channels, channels))
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}")


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_means_that_fall_between_two_codes(kernels, dtype):
    """Ratios of scales that make ties: there the order of the operations and their precision show."""
    limits = np.iinfo(dtype)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        into, zeros = float(scales(rng, 1)[0]), tuple(int(z) for z in rng.integers(limits.min, limits.max + 1, 2))
        out = into * float(rng.choice([1, 2, 0.5, 3, 1.5, 0.75, 0.6]))
        shape = (1, *(int(n) for n in rng.integers(2, 8, 2)), 40)
        content = mean(
            into, out, zeros=zeros, shape=shape, axes=((1,), (2,), (1, 2))[seed % 3], keep=bool(seed % 2), dtype=dtype
        )
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}")


def scales(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), n)).astype(np.float32)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("conv", {"kernel": 3, "stride": 2, "padding": SAME, "side": 9}),
        ("conv", {"kernel": 3, "stride": 2, "padding": SAME, "side": 10, "fused": "RELU6"}),
        ("conv", {"kernel": 5, "stride": 2, "padding": VALID, "side": 11, "fused": "RELU"}),
        ("conv", {"kernel": 3, "dilation": 2, "side": 9, "fused": "RELU_N1_TO_1"}),
        ("depthwise", {"kernel": 5, "stride": 2, "side": 13, "fused": "RELU6"}),
        ("depthwise", {"kernel": 3, "stride": 1, "side": 8, "padding": VALID}),
        ("depthwise", {"kernel": 3, "depth_multiplier": 3, "side": 8}),
        ("depthwise", {"kernel": 3, "side": 8, "channels": (13, 13)}),  # a group of eight channels, and a rest
        ("dense", {"channels": (200, 500)}),
    ],
)
@pytest.mark.parametrize("granularity", ["per channel", "per tensor"])
def test_layers_of_every_shape(kind, options, granularity, kernels):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        channels = options.get("channels", (16, 24))
        width = {"depthwise": channels[0] * options.get("depth_multiplier", 1)}.get(kind, channels[1])
        weight = scales(rng, width if granularity == "per channel" else 1)
        into, bias = scales(rng, 1)[0], rng.integers(-40_000, 40_000, width)
        out = into * weight.max() * rng.uniform(100, 4000)
        zero = (int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
        content = layer(kind, into, weight, out, rng=rng, zero=zero, bias=bias, **{"channels": channels} | options)
        np.testing.assert_array_equal(*recomputed(content, kernels, seed))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("kind", ["add", "mul"])
def test_elementwise_ops_over_a_wide_range_of_scales(kind, kernels):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        out = float(scales(rng, 1)[0])
        low = -9 if kind == "add" else -4  # XNNPACK takes an addition from 2**-10 on
        first, second = (out * 2.0 ** rng.uniform(low, 3, 2)).astype(np.float32)
        if kind == "mul":  # the upper half leaves int16, where the plain kernel wraps around
            second = np.float32(2.0 ** rng.uniform(-10, 2) * out / first)
        zeros = tuple(int(z) for z in rng.integers(-128, 128, 3))
        content = binary(kind, first, second, out, zeros=zeros, fused=str(rng.choice(["NONE", "RELU", "RELU6"])))
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}")


SHAPES = {  # of the two inputs
    "same": ((1, 9, 8, 14), (1, 9, 8, 14)), "per channel": ((1, 4, 5, 20), (20,)), "one value": ((1, 4, 5, 20), (1,)),
    "per position": ((1, 1, 1, 20), (1, 4, 5, 1)), "crossed": ((1, 4, 1, 20), (1, 1, 5, 1)),
    "twice": ((2, 3, 5, 9), (2, 1, 5, 1)),
}  # fmt: skip


@pytest.mark.parametrize("kernels", ["builtin", "reference"])
@pytest.mark.parametrize("kind", ["add", "mul"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_elementwise_ops_of_repeated_inputs(shapes, kind, kernels):
    """Products up to sixty times the 8 bits, some of which leave 16; rare roundings of sums; int8 and uint8."""
    for seed in range(24):
        rng = np.random.default_rng(seed)
        first, second = SHAPES[shapes]
        dtype = "uint8" if seed % 2 else "int8"
        lowest, out = np.iinfo(dtype).min, float(scales(rng, 1)[0])
        zeros = [int(z) + lowest for z in rng.integers(0, 256, 3)]
        ratios = 2.0 ** rng.uniform(-6, 3, 2)
        if kind == "mul":
            ratios[1] = 2.0 ** rng.uniform(-6, 1) / (ratios[0] * out)
        file = File()
        a, b = (
            file.tensor(name, shape, dtype, scale=out * ratio, zero=zero)
            for name, shape, ratio, zero in zip("ab", (first, second), ratios, zeros, strict=False)
        )
        y = file.tensor("y", np.broadcast_shapes(first, second), dtype, scale=out, zero=zeros[2])
        file.op(kind, [a, b], y, fusedActivationFunction=FUSED["NONE"])
        np.testing.assert_array_equal(*recomputed(file.done([a, b], y), kernels, seed), err_msg=f"seed {seed}")


@pytest.mark.parametrize("kernels", ["builtin", "reference"])
@pytest.mark.parametrize("shapes", ["same", "one value", "per position"])
def test_products_far_beyond_the_codes(shapes, kernels):
    """The multiplier is a float32, and what it shifts to the left is kept in 32 bits; most codes are at an end."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        dtype, out = ("uint8", "int8")[seed % 2], float(scales(rng, 1)[0])
        first = out * 2.0 ** rng.uniform(-6, 3)
        second = 2.0 ** rng.uniform(6, 22) * out / first
        zeros = [int(z) + np.iinfo(dtype).min for z in rng.integers(0, 256, 3)]
        file = File()
        a, b = (
            file.tensor(name, shape, dtype, scale=scale, zero=zero)
            for name, shape, scale, zero in zip("ab", SHAPES[shapes], (first, second), zeros, strict=False)
        )
        y = file.tensor("y", np.broadcast_shapes(*SHAPES[shapes]), dtype, scale=out, zero=zeros[2])
        file.op("mul", [a, b], y, fusedActivationFunction=FUSED["NONE"])
        np.testing.assert_array_equal(*recomputed(file.done([a, b], y), kernels, seed), err_msg=f"seed {seed}")


@pytest.mark.parametrize("kernels", KERNELS)
def test_dense_sums_near_the_middle_of_two_codes(kernels):
    """Powers of two as scales: every sixteenth sum or so lies on a half, or so near that two roundings reach it."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        content = layer(
            "dense", 2.0**-6, np.full(48 if seed % 2 else 1, 2.0**-5, np.float32), 2.0 ** float(rng.integers(-6, 0)),
            rng=rng, channels=(32, 48), bias=rng.integers(-500, 500, 48),
        )  # fmt: skip
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}")


@pytest.mark.parametrize("kernels", KERNELS)
def test_means_over_any_number_of_values(kernels):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        side, into = int(rng.integers(2, 20)), float(scales(rng, 1)[0])
        zeros = tuple(int(z) for z in rng.integers(-128, 128, 2))
        content = mean(
            into,
            into * rng.uniform(0.02, 2),
            zeros=zeros,
            shape=(1, side, side, 200),
            keep=bool(seed % 2),
        )
        np.testing.assert_array_equal(*recomputed(content, kernels, seed), err_msg=f"seed {seed}, side {side}")


def test_the_kernel_paths_round_differently(files, image):
    """Else the three claims would be one: on ties, an op of one path is not reproduced by the rounding of another."""
    accumulator = np.array([-6, -2, 2, 6])  # a quarter: -1.5, -0.5, 0.5, 1.5
    assert requantize(accumulator, 0.25, FLOAT32).tolist() == [-2, 0, 0, 2]
    assert requantize(accumulator, 0.25, TIES_AWAY).tolist() == [-2, -1, 1, 2]
    assert requantize(accumulator, 0.25, TIES_UP).tolist() == [-1, 0, 1, 2]
    ways = {table["rounding"][0] for table in (check_integer(files[INT8], image, kernels=k) for k in KERNELS)}
    assert len(ways) == 3


@pytest.mark.parametrize("real", [1e-6, 0.0003, 0.25, 0.4999999999, 0.5, 0.9999999999999, 1.0, 7.3, 255.0])
def test_mantissa_and_shift_stand_for_the_multiplier(real):
    mantissa, shift = quantize_multiplier(real)
    assert 2**30 <= mantissa < 2**31
    assert mantissa * 2.0 ** (int(shift) - 31) == pytest.approx(real, rel=2**-31)
    assert quantize_multiplier(2.0**-40) == (0, 0)


def test_relu6_limits_the_codes(files):
    graph = read_graph(files[INT8])
    output = graph.tensors[graph.ops[0].outputs[0]]
    low, high = code_range(output, "relu6")
    assert output.real(np.array([low]))[0] == 0
    assert output.real(np.array([high]))[0] <= 6 + output.scale[0] / 2
    assert code_range(output, "none") == (-128, 127)


@pytest.mark.parametrize("kernels", KERNELS)
def test_one_value_adds_up(files, image, kernels):
    layers = check_integer(files[INT8], image)
    for kind, rows in layers[layers["refused"] == ""].groupby("op"):
        layer_name = rows["layer"].iloc[-1]
        table = explain_op(files[INT8], layer_name, image, kernels=kernels)
        frames.require(table, frames.INTEGER_STEPS, caller="test")
        value = table.set_index("quantity")["value"]
        assert value["output code"] == value["interpreter's code"], kind
        assert value["before rounding"] == pytest.approx(value["rounded value"], abs=0.51)
        if kind in ("conv", "depthwise", "dense"):
            total = value["sum of products"] + value["zero point term"] + value["bias code"]
            assert value["accumulator"] == total
            assert value["before rounding"] == pytest.approx(total * value["multiplier"])


def test_a_named_position_is_the_one_shown(files, image):
    table = explain_op(files[INT8], "stem_conv", image, at=(3, 2, 1))
    assert set(table["at"]) == {"3,2,1"}
    with pytest.raises(UserError, match=r"must lie in \(16, 16, 8\), counted from 0. Got \(16, 0, 0\)"):
        explain_op(files[INT8], "stem_conv", image, at=(16, 0, 0))


def test_what_cannot_be_explained_gets_one_line(files, image):
    with pytest.raises(UserError, match=r"Unknown layer 'stem_con'\. Did you mean 'stem_conv'"):
        explain_op(files[INT8], "stem_con", image)
    with pytest.raises(UserError, match="computes nothing in integers: its scheme is float32"):
        check_integer(files["float32 converter"], image)


def test_a_layer_whose_arithmetic_is_not_known_says_so_in_place_of_its_steps(files):
    twins = open_twins(files[INT8])
    refused = walk(twins, "scenes", "softmax")
    assert frames.require(refused.table, frames.INTEGER_STEPS, caller="test").empty
    assert refused.reason.startswith("softmax: The arithmetic of 'softmax' is not known.")
    known = walk(twins, "scenes", "stem_conv")
    pd.testing.assert_frame_equal(known.table, explain(twins, "scenes", layer="stem_conv"))
    assert known.reason == ""
    with pytest.raises(UserError, match="Unknown layer"):
        walk(twins, "scenes", "stem_con")


def test_command_shows_the_steps_and_checks_every_op(files, tmp_path):
    picture = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(picture)
    run, model = CliRunner().invoke, str(files[INT8])
    one = run(cli.app, ["explain", model, "--image", str(picture), "--layer", "stem_conv", "--at", "3,2,1"])
    assert one.exit_code == 0
    assert one.stdout.startswith("stem_conv (conv) at 3,2,1, kernels xnnpack")
    assert "sum of products" in one.stdout
    every = json.loads(run(cli.app, ["explain", model, "--image", str(picture), "--json"]).stdout)
    assert {row["n_different"] for row in every if not row["refused"]} == {0}
    assert [row["op"] for row in every if row["refused"]] == ["softmax"]
    assert [row["n_different"] for row in every if row["refused"]] == [None]
    for wrong in (["--at", "3;2"], ["--at", "99,0,0"]):
        said = run(cli.app, ["explain", model, "--image", str(picture), "--layer", "stem_conv", *wrong])
        assert isinstance(said.exception, UserError)
    assert isinstance(run(cli.app, ["explain", model, "--image", str(tmp_path / "no.png")]).exception, UserError)
