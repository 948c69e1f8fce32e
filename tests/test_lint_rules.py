"""Every rule of the lint at its limit, on ops made by hand. What XNNPACK and Vela say to the same is in test_lint.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from effnet_lab.analysis.lint import findings, npu, stated, values, xnnpack
from effnet_lab.analysis.lint.findings import Findings
from effnet_lab.analysis.lint.network import Network, Node
from effnet_lab.analysis.lint.rules import RULES, SEVERITIES, Finding
from effnet_lab.analysis.lint.words import in_words
from effnet_lab.images import Preprocess
from effnet_lab.litert import ModelInfo
from effnet_lab.litert.graph import Graph, Op, Tensor
from effnet_lab.litert.options import Options

TINY = 1.1754944e-38  # the smallest float32 that is not subnormal
BELOW = float(np.nextafter(np.float32(2**7), np.float32(0))) / 2**7  # the float32 just below 1


class Paper:
    """Makes ops on paper; tensors are numbered in the order in which they are made."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.nodes: list[Node] = []

    def tensor(self, shape=(1, 4, 4, 8), dtype="int8", scale=1.0, zero=0, data=None, name="") -> Tensor:
        scale = np.atleast_1d(np.asarray([] if scale is None else scale, np.float32))
        index = len(self.tensors)
        self.tensors.append(
            Tensor(
                index=index, name=name or f"t{index}", shape=tuple(shape), dtype=np.dtype(dtype), scale=scale,
                zero_point=np.full(scale.size, zero, np.int64), axis=0, data=None if data is None else np.asarray(data),
            )
        )  # fmt: skip
        return self.tensors[-1]

    def op(self, kind: str, inputs, outputs, madds: int = 0, **options) -> Node:
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        op = Op(
            index=len(self.nodes),
            kind=kind,
            inputs=tuple(t.index for t in inputs),
            outputs=tuple(t.index for t in outputs),
        )
        self.nodes.append(
            Node(
                op=op, options=Options(**options), inputs=tuple(inputs), outputs=outputs,
                fixed=tuple(t.data is not None for t in inputs), madds=madds,
            )
        )  # fmt: skip
        return self.nodes[-1]

    def network(self) -> Network:
        ends = {i for node in self.nodes for i in node.op.outputs} - {i for node in self.nodes for i in node.op.inputs}
        graph = Graph(
            tensors=tuple(self.tensors),
            ops=tuple(node.op for node in self.nodes),
            inputs=(0,),
            outputs=tuple(sorted(ends)),
        )
        return Network(graph=graph, nodes=tuple(self.nodes))


def dense(
    weights, *, into=1.0, weight=1.0, out=1.0, bias=0, zeros=(0, 0), paper=None, x=None, bias_scale=None, **options
) -> Paper:
    """A fully connected layer with these int8 weights (channels, inputs)."""
    paper, weights = paper or Paper(), np.atleast_2d(np.asarray(weights, np.int8))
    x = x or paper.tensor((1, weights.shape[1]), scale=into, zero=zeros[0])
    kernel = paper.tensor(weights.shape, scale=weight, data=weights)
    stated = np.asarray(into) * np.asarray(weight) if bias_scale is None else bias_scale
    values_ = np.broadcast_to(np.asarray(bias, np.int32), len(weights)).copy()
    biases = paper.tensor((len(weights),), "int32", scale=stated, data=values_)
    paper.op(
        "dense", [x, kernel, biases], paper.tensor((1, len(weights)), scale=out, zero=zeros[1]), weights.size, **options
    )
    return paper


def depthwise(
    weight=1.0,
    *,
    into=1.0,
    out=1.0,
    kind="depthwise",
    dtypes=("int8", "int8", "int8"),
    bias=True,
    weights=None,
    **options,
) -> Paper:
    paper = Paper()
    shape = (1, 3, 3, 8) if kind == "depthwise" else (8, 3, 3, 8)
    weights = np.ones(shape, np.int8) if weights is None else weights
    x = paper.tensor(dtype=dtypes[0], scale=into if dtypes[0] != "float32" else None)
    w = paper.tensor(shape, dtypes[1], weight, data=weights)
    inputs = [x, w] + (
        [paper.tensor((8,), "int32", into * np.asarray(weight), data=np.zeros(8, np.int32))] if bias else []
    )
    paper.op(kind, inputs, paper.tensor(dtype=dtypes[2], scale=out if dtypes[2] != "float32" else None), 100, **options)
    return paper


def binary(kind: str, first: float, second: float, out: float, **options) -> Node:
    paper = Paper()
    return paper.op(kind, [paper.tensor(scale=first), paper.tensor(scale=second)], paper.tensor(scale=out), **options)


def unary(kind: str, into=1.0, out=1.0, *, dtypes=("int8", "int8"), zeros=(0, 0), shape=(1, 10), **options) -> Node:
    paper = Paper()
    x, y = (paper.tensor(shape, d, s, z) for d, s, z in zip(dtypes, (into, out), zeros, strict=True))
    return paper.op(kind, [x], y, **options)


def found(findings) -> dict[str, str]:
    return {finding.id: finding.evidence for finding in findings}


def fate(node: Node) -> str:
    return xnnpack.fate(node)[0]


# --- what XNNPACK takes: each bound from both sides


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
def test_a_multiplier_of_256_is_refused(kind):
    assert fate(depthwise([1.0] * 7 + [256 * BELOW], kind=kind).nodes[0]) == "delegated"
    what, why = xnnpack.fate(depthwise([1.0] * 7 + [256.0], kind=kind).nodes[0])
    assert (what, why) == ("refused", "multiplier 256, bound 256")
    assert fate(depthwise(16.0, into=16.0, out=1.01, kind=kind).nodes[0]) == "delegated"
    assert fate(depthwise(16.0, into=16.0, out=0.99, kind=kind).nodes[0]) == "refused"
    assert fate(dense([[1]], into=256.0).nodes[0]) == "refused"


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("add", 2.0**-10, 2.0**8), ("sub", 2.0**-10, 2.0**8), ("mul", 2.0**-16, 2.0**8)]
)
def test_the_ratios_of_elementwise_ops(kind, low, high):
    for first, taken in ((low, True), (low * BELOW, False), (high * BELOW, True), (high, False)):
        assert (fate(binary(kind, first, 1.0, 1.0)) == "delegated") == taken
        assert (fate(binary(kind, 1.0, first, 1.0)) == "delegated") == taken
    assert fate(binary("mul", 16.0, 16.0, 1.0)) == "plain"  # the product of both
    assert fate(binary("mul", 16.0, 8.0, 1.0)) == "delegated"
    assert fate(binary("add", 16.0, 8.0, 0.1)) == "delegated"  # each by itself
    assert fate(binary(kind, 1.0, 1.0, 0.5)) == "delegated"


@pytest.mark.parametrize("kind", ["add", "sub"])
def test_sums_that_abort(kind):
    assert fate(binary(kind, 2.0**19, 1.0, 1.0)) == "aborts"
    assert fate(binary(kind, 1.0, 2.0**20, 2.0)) == "aborts"
    assert fate(binary(kind, 2.0**19 * BELOW, 1.0, 1.0)) == "plain"
    assert fate(binary(kind, 1.0, 1.0, 0.0)) == ("aborts" if kind == "add" else "plain")
    assert fate(binary("mul", 2.0**19, 1.0, 1.0)) == "plain"


def test_rescaling():
    for ratio, taken in ((2.0**-8, True), (2.0**-8 * BELOW, False), (2.0**7, True), (2.0**7 / BELOW, False)):
        assert (fate(unary("quantize", ratio, 1.0)) == "delegated") == taken
        assert (fate(unary("leaky_relu", ratio, 1.0, slope=1.0)) == "delegated") == taken
    assert fate(unary("leaky_relu", 1.0, 1.0, slope=2.0**-8)) == "delegated"
    assert fate(unary("leaky_relu", 1.0, 1.0, slope=-(2.0**-8))) == "delegated"
    assert fate(unary("leaky_relu", 1.0, 1.0, slope=2.0**-9)) == "plain"


@pytest.mark.parametrize(
    ("scale", "what"), [(TINY, "delegated"), (TINY * 0.9, "refused"), (0.0, "refused"), (np.inf, "refused")]
)
def test_scales_that_xnnpack_cannot_represent(scale, what):
    assert fate(unary("mean", scale, 1.0)) == what
    assert fate(unary("mean", 1.0, scale)) == what


@pytest.mark.parametrize("zero", [-129, -128, 127, 128])
def test_zero_points_outside_the_type(zero):
    expected = "delegated" if -128 <= zero <= 127 else "refused"
    assert fate(unary("mean", zeros=(zero, 0))) == fate(unary("mean", zeros=(0, zero))) == expected


def test_weights_and_biases_with_strange_scales_are_left_alone():
    assert xnnpack.fate(depthwise([0.0] + [1.0] * 7).nodes[0]) == ("plain", "weight scale 0")
    odd = dense([[1]], bias_scale=0.0).nodes[0]
    assert xnnpack.fate(odd) == ("plain", "bias scale 0")
    assert (
        fate(dense([[1]], weight=0.0, bias_scale=1.0).nodes[0]) == "refused"
    )  # a dense layer's weights are asked later


@pytest.mark.parametrize("fused", ["none", "relu", "relu6", "relu_n1_to_1", "tanh", "sign_bit"])
def test_fused_activations(fused):
    expected = "plain" if fused in ("tanh", "sign_bit") else "delegated"
    assert fate(depthwise(fused=fused).nodes[0]) == expected
    assert fate(binary("add", 1.0, 1.0, 1.0, fused="tanh")) == "delegated"  # only layers are asked


@pytest.mark.parametrize(
    ("kind", "dtypes", "what"),
    [
        ("depthwise", ("float32", "float32", "float32"), "delegated"),
        ("depthwise", ("float32", "int8", "float32"), "plain"),
        ("conv", ("float32", "int8", "float32"), "delegated"),
        ("conv", ("int8", "int4", "int8"), "plain"),
        ("dense", ("int8", "int4", "int8"), "delegated"),
        ("conv", ("int16", "int8", "int16"), "plain"),
        ("conv", ("uint8", "uint8", "uint8"), "delegated"),
    ],
)
def test_types(kind, dtypes, what):
    assert fate(depthwise(kind=kind, dtypes=dtypes).nodes[0]) == what


def test_kinds_by_type():
    assert fate(unary("elu")) == "delegated"
    assert fate(unary("elu", dtypes=("uint8", "uint8"))) == "plain"
    assert fate(unary("exp")) == "plain"
    assert fate(unary("exp", None, None, dtypes=("float32", "float32"))) == "delegated"
    assert xnnpack.fate(unary("exp"))[1] == "exp of int8"
    paper = Paper()
    assert xnnpack.fate(paper.op("call_once", [], ())) == ("plain", "call_once")


@pytest.mark.parametrize(
    ("dtypes", "what"),
    [
        (("float32", "int8"), "delegated"), (("uint8", "float32"), "delegated"), (("uint8", "int8"), "plain"),
        (("int16", "int8"), "plain"), (("float32", "int16"), "plain"),
    ],
)  # fmt: skip
def test_changes_of_type(dtypes, what):
    assert fate(unary("quantize", dtypes=dtypes)) == what


def test_what_is_stored_is_unpacked_once():
    for dtype in ("float16", "int16", "int8"):
        assert fate(replace(unary("dequantize", dtypes=(dtype, "float32")), fixed=(True,))) == "delegated"
    assert fate(replace(unary("cast", dtypes=("int16", "int8")), fixed=(True,))) == "delegated"


def joined(kind: str, inputs: int, outputs: int = 1) -> Node:
    paper = Paper()
    axis = [paper.tensor((), "int32", None, data=np.int32(3))] if kind == "split" else []
    return paper.op(kind, axis + [paper.tensor() for _ in range(inputs)], tuple(paper.tensor() for _ in range(outputs)))


def test_how_many_are_joined_and_split():
    assert [fate(joined("concatenation", n)) for n in (1, 2, 5, 6)] == ["plain", "delegated", "delegated", "plain"]
    assert [fate(joined("split", 1, n)) for n in (1, 2, 4, 5)] == ["plain", "delegated", "delegated", "plain"]


def with_stored(kind: str, *stored, computed: bool = False, **options) -> Node:
    paper = Paper()
    inputs = [
        paper.tensor(),
        *(paper.tensor((4,), "int32", None, data=None if computed else np.array(s)) for s in stored),
    ]
    return paper.op(kind, inputs, paper.tensor(), **options)


@pytest.mark.parametrize(
    ("node", "taken"),
    [
        (with_stored("strided_slice", [0], [4], [1]), True),
        (with_stored("strided_slice", [0], [4], [2]), False),
        (with_stored("strided_slice", [0], [4], [1], masked=True), False),
        (with_stored("slice", [0], [1]), True),
        (with_stored("slice", [0], [0]), False),
        (with_stored("pad", [0, 1]), True),
        (with_stored("pad", [0, -1]), False),
        (with_stored("pad", [0, 1], computed=True), False),
        (with_stored("reshape", [1]), True),
        (unary("max_pool_2d", stride=(2, 2), window=(2, 2)), True),
        (unary("max_pool_2d", stride=(2, 3), window=(2, 2)), False),
        (unary("depth_to_space", block=2), True),
        (unary("depth_to_space", block=1), False),
        (unary("space_to_depth", block=1), False),
        (unary("softmax", None, None, dtypes=("float32", "float32")), True),
        (unary("softmax", None, None, dtypes=("float32", "float32"), beta=2.0), False),
        (unary("mean", shape=(1,) * 6), True),
        (unary("mean", shape=(1,) * 7), False),
        (depthwise(bias=False).nodes[0], False),
        (depthwise(bias=False, kind="conv").nodes[0], False),
        (unary("mean", into=[1.0, 1.0]), False),  # an activation with two scales
        (unary("mean", into=None, out=None), False),
        (unary("reshape", 1.0, 1.0), True),
        (unary("reshape", 1.0, 2.0), False),
        (unary("reshape", zeros=(0, 1)), False),
        (depthwise([1.0] * 8, kind="conv", dtypes=("uint8", "uint8", "uint8")).nodes[0], False),
        (depthwise([], kind="dense").nodes[0], False),  # int8 weights without a scale
    ],
)  # fmt: skip
def test_the_form_of_an_op(node, taken):
    assert (fate(node) == "delegated") == taken, xnnpack.fate(node)


def test_uint8_is_joined_only_where_the_scales_are_one():
    def node(dtype, second):
        paper = Paper()
        return paper.op(
            "concatenation",
            [paper.tensor(dtype=dtype), paper.tensor(dtype=dtype, scale=second)],
            paper.tensor(dtype=dtype),
        )

    assert [fate(node(*how)) for how in (("uint8", 1.0), ("uint8", 2.0), ("int8", 2.0))] == [
        "delegated",
        "plain",
        "delegated",
    ]


def test_state():
    paper = Paper()
    handle, value = paper.tensor((), "V4", None), paper.tensor((1, 4))
    assert fate(paper.op("read_variable", [handle], value)) == "delegated"
    assert fate(paper.op("assign_variable", [handle, value], ())) == "delegated"
    shapeless, strange = paper.tensor(()), paper.tensor((1, 4), "int64", None)
    assert fate(paper.op("read_variable", [handle], shapeless)) == "plain"
    assert fate(paper.op("assign_variable", [handle, shapeless], ())) == "delegated"
    assert fate(paper.op("read_variable", [handle], strange)) == "plain"


def test_what_follows_from_the_fate_of_others():
    paper = Paper()
    stored = paper.tensor((8, 3, 3, 8), "float16", None, data=np.zeros((8, 3, 3, 8), np.float16))
    unpacked, bias = paper.tensor((8, 3, 3, 8), "float32", None), paper.tensor((8,), "float32", None, data=np.zeros(8))
    paper.op("dequantize", [stored], unpacked)
    x, y = (paper.tensor(dtype="float32", scale=None) for _ in range(2))
    paper.nodes.append(replace(paper.op("conv", [x, unpacked, bias], y, fused="tanh"), fixed=(False, True, True)))
    del paper.nodes[1]
    assert {i: what for i, (what, _) in xnnpack.fates(paper.network()).items()} == {0: "plain", 1: "plain"}
    paper.nodes[1] = replace(paper.nodes[1], options=Options())
    assert {i: what for i, (what, _) in xnnpack.fates(paper.network()).items()} == {0: "delegated", 1: "delegated"}
    state = Paper()
    handle, value = state.tensor((), "V4", None), state.tensor((1, 4))
    state.op("var_handle", [], handle)
    assert xnnpack.fates(state.network())[0][0] == "plain"  # nobody uses it
    state.op("read_variable", [handle], value)
    assert xnnpack.fates(state.network())[0] == ("delegated", "")


def test_what_falls_off_is_grave_where_it_is_work():
    def ids(share):
        paper = depthwise(fused="tanh")
        paper.nodes[0] = replace(paper.nodes[0], madds=share)
        x, w, b, y = (paper.tensor(dtype="float32", scale=None, data=None) for _ in range(4))
        big = paper.op("conv", [x, w, b], y, madds=1000 - share)
        paper.nodes[1] = replace(big, fixed=(False, True, True))
        return found(xnnpack.check(paper.network()))

    assert ids(10) == {"X201": "depthwise of int8; 1.0% of the MAdds"}
    assert ids(9) == {"X202": "depthwise of int8; 0.9% of the MAdds"}
    paper = Paper()
    paper.op("add", [paper.tensor(scale=1e-4), paper.tensor()], paper.tensor())
    assert found(xnnpack.check(paper.network())) == {"X201": "scale ratio 0.0001, taken within [0.000976562, 256)"}


def test_refusals_have_their_ids():
    assert found(xnnpack.check(depthwise(256.0).network())) == {"Q101": "multiplier 256, bound 256"}
    assert list(found(xnnpack.check(depthwise(out=0.0).network()))) == ["Q102"]
    paper = Paper()
    paper.op("add", [paper.tensor(scale=2.0**19), paper.tensor()], paper.tensor())
    assert list(found(xnnpack.check(paper.network()))) == ["Q103"]
    weights = found(xnnpack.check(depthwise([0.0, 0.0] + [1.0] * 6).network()))
    assert weights == {"Q106": "2 of 8 scales, 0 first; XNNPACK leaves the layer alone"}


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "right"),
    [
        ("int8", 1 / 256, -128, True), ("int8", 1 / 256, -127, False), ("uint8", 1 / 256, 0, True),
        ("uint8", 1 / 256, -128, False),
        ("int8", 1.0009 / 256, -128, True), ("int8", 1.0011 / 256, -128, False), ("int8", 0.9989 / 256, -128, False),
        ("int16", 0.3, 5, True),
    ],
)  # fmt: skip
def test_a_softmax_ends_at_one(dtype, scale, zero, right):
    paper = Paper()
    paper.op("softmax", [paper.tensor((1, 10), dtype)], paper.tensor((1, 10), dtype, scale, zero))
    assert ("Q104" not in found(xnnpack.check(paper.network()))) == right


@pytest.mark.parametrize(("off", "seen"), [(1.009, False), (1.011, True), (0.991, False), (0.989, True)])
def test_the_units_of_a_bias_are_input_times_weight(off, seen):
    layer = dense([[1], [2]], into=0.5, weight=[0.25, 0.5], bias_scale=[0.125 * off, 0.25])
    assert ("Q105" in found(xnnpack.check(layer.network()))) == seen
    if seen:
        assert "off by 1.1% in the worst channel" in found(xnnpack.check(layer.network()))["Q105"]


def test_channels_without_a_unit_have_no_wrong_one():
    layer = dense([[1], [2]], weight=[0.0, 0.5], bias_scale=[7.0, 0.5])
    assert "Q105" not in found(xnnpack.check(layer.network()))


# --- what codes allow


def test_a_dead_range():
    for span, dead in ((0.99e-4, True), (1.01e-4, False)):
        paper = Paper()
        paper.op("relu", [paper.tensor()], paper.tensor(scale=span / 255))
        assert ("D301" in found(values.check(paper.network()))) == dead


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [
        (6 / 63, -128, "D304"),  # codes -128 to -65: 64 of 256
        (6 / 64, -128, None),
        (6 / 255, -128, None),
        (0.1, 127, "D302"),  # zero is the highest code
        (0.1, 126, "D304"),
    ],
)
def test_codes_that_a_relu6_leaves(scale, zero, expected):
    paper = Paper()
    paper.op(
        "add",
        [paper.tensor(scale=scale), paper.tensor(scale=scale)],
        paper.tensor(scale=scale, zero=zero),
        fused="relu6",
    )
    said = found(values.check(paper.network()))
    assert list(said) == ([expected] if expected else [])
    if zero == -128 and expected:
        assert said["D304"] == "activation relu6 leaves 64 of 256 codes: 2.0 bits lost"
    if zero == 127:
        assert said["D302"] == "activation relu6 and zero point 127 leave code 127 only"


def test_a_softmax_may_use_few_codes():
    paper = Paper()
    paper.op("softmax", [paper.tensor()], paper.tensor(scale=6 / 63, zero=-128), fused="relu6")
    assert found(values.check(paper.network())) == {}


def test_the_range_of_an_accumulator_by_hand():
    """Weights 2 and -3, codes -128 to 127 less a zero point of -28 are -100 to 155, bias 7."""
    paper = dense([[2, -3]], bias=7, zeros=(-28, 0))
    low, high = values.accumulator_range(paper.nodes[0], paper.network())
    assert (low.tolist(), high.tolist()) == ([2 * -100 - 3 * 155 + 7], [2 * 155 + 3 * 100 + 7])


def test_codes_that_the_op_before_cannot_write_do_not_count():
    """After a ReLU6 over 0 to 255 * 0.1 there are 61 codes, from -128 to -68; and zero pads."""
    paper = Paper()
    before = paper.tensor((1, 2), scale=0.1, zero=-128)
    paper.op("relu6", [paper.tensor((1, 2), scale=0.1, zero=-128)], before, fused="relu6")
    dense([[2, -3]], into=0.1, paper=paper, x=before)
    low, high = values.accumulator_range(paper.nodes[1], paper.network())
    assert (low.tolist(), high.tolist()) == ([-180], [120])
    high_zero = dense([[2, -3]], zeros=(127, 0))  # codes from -255 to 0 below it: no value above zero
    low, high = values.accumulator_range(high_zero.nodes[0], high_zero.network())
    assert (low.tolist(), high.tolist()) == ([-2 * 255], [3 * 255])
    beyond = Paper()  # a ReLU6 whose codes all lie below the zero point: 0 still pads
    before = beyond.tensor((1, 2), scale=0.1, zero=200)
    dense([[2, -3]], into=0.1, paper=beyond, x=before)
    low, high = values.accumulator_range(beyond.nodes[0], beyond.network())
    assert (low.tolist(), high.tolist()) == ([-2 * 328], [3 * 328])
    shifted = dense([[2, -3]], zeros=(-128, 0))
    low, high = values.accumulator_range(shifted.nodes[0], shifted.network())
    assert (low.tolist(), high.tolist()) == ([-3 * 255], [2 * 255])


INT32 = 2**31 - 1


@pytest.mark.parametrize(
    ("bias", "expected"),
    [(INT32, "B401"), (INT32 - 1, "B402"), (-INT32, "B401"), (-INT32 - 1, "B401"), (-INT32 + 1, "B402"), (0, None),
     (INT32 - 127, None), (INT32 - 126, "B402"), (-INT32 - 1 + 128, None), (-INT32 - 1 + 127, "B402")],
)  # fmt: skip
def test_biases_and_accumulators_that_overflow(bias, expected):
    """One weight of 1 over codes -128 to 127."""
    said = found(values.check(dense([[1], [0]], bias=[bias, 0], out=1e9).network()))
    assert [i for i in said if i.startswith("B")] == ([expected] if expected else [])
    if bias == INT32:
        assert said["B401"] == "1 of 2 channels at the end of int32, channel 0 first: 2,147,483,647"
    if bias == INT32 - 1:
        assert said["B402"].startswith(
            "1 of 2 channels; the largest possible sum is 2,147,483,773, int32 ends at 2,147,483,647"
        )
    if bias == -INT32 + 1:
        assert "the largest possible sum is 2,147,483,774," in said["B402"]


def test_channels_that_cannot_move():
    """Three channels: no weights and bias -200, 200 and 5; a fourth that moves."""
    said = found(values.check(dense([[0], [0], [0], [1]], bias=[-200, 200, 5, 0]).network()))
    assert said == {"D303": "3 of 4 channels: 1 at the lowest code, 1 at the highest, 1 between"}


@pytest.mark.parametrize(
    ("bias", "where"),
    [([-200, -300], "the lowest code"), ([200, 300], "the highest code"), ([5, -200], "one code each")],
)
def test_an_output_that_cannot_move(bias, where):
    said = found(values.check(dense([[0], [0]], bias=bias).network()))
    assert said == {"D302": f"all 2 channels stay at {where} whatever goes in"}


def test_a_small_multiplier_holds_a_channel_still():
    """Codes -128 to 127 times a multiplier of 1/257 are -0.498 to 0.494: one code; times 1/200 they are -0.64 to 0.635."""
    still = found(values.check(dense([[1], [127]], into=1 / 257, out=1.0).network()))
    assert still["D303"].startswith("1 of 2 channels")
    moves = found(values.check(dense([[1], [127]], into=1 / 200, out=1.0).network()))
    assert "D303" not in moves


def test_weights_of_one_scale():
    """Three channels of 64, 16 and 16: the median channel loses two bits."""
    assert found(values.check(dense([[64], [16], [16]], out=1e3).network())) == {
        "W502": "median channel loses 2.0 bits, the worst 2.0"
    }
    assert found(values.check(dense([[64], [17], [16]], out=1e3).network())) == {}
    assert found(values.check(dense([[64], [16], [16]], weight=[1, 1, 1], out=1e3).network())) == {}
    assert found(values.check(dense([[64]], out=1e3).network())) == {}
    assert list(found(values.check(dense([[0], [0]], bias=[0, 0]).network()))) == ["D302"]  # no division by nothing
    every = np.full((1, 3, 3, 8), 5, np.int8)
    assert found(values.check(depthwise(weights=every).network())) == {
        "W501": "median channel loses 0.0 bits, the worst 0.0"
    }


@pytest.mark.parametrize(("small", "said"), [(1 / 8, True), (1 / 7.9, False)])
def test_residual_inputs_of_unlike_scale(small, said):
    """Three bits lost: the steps of the sum are eight times those of the smaller input."""
    paper = Paper()
    paper.op("add", [paper.tensor(scale=1.0), paper.tensor(scale=small)], paper.tensor(scale=1.0))
    seen = found(values.check(paper.network()))
    assert seen == ({"R601": "input scales 1, 0.125, output 1: 3.0 bits lost"} if said else {})


def test_a_stored_input_is_no_residual():
    for odd in ({"data": np.zeros((1, 4, 4, 8), np.int8)}, {"scale": None, "dtype": "float32"}):
        paper = Paper()
        paper.op("add", [paper.tensor(), paper.tensor(**({"scale": 1 / 64} | odd))], paper.tensor())
        assert found(values.check(paper.network())) == {}


# --- Ethos-U


def says(node: Node) -> str:
    return npu.objection(node) or ""


def window(
    weights=None, *, kind="conv", side=8, out=4, stride=(2, 2), same=True, kernel=3, dilation=(1, 1), dtype="int8"
) -> Node:
    paper = Paper()
    shape = (8, kernel, kernel, 4) if kind == "conv" else (1, kernel, kernel, 8)
    weights = np.ones(shape, np.int8) if weights is None else weights
    x, w = paper.tensor((1, side, side, 4)), paper.tensor(weights.shape, dtype, 1.0, data=weights)
    return paper.op(kind, [x, w], paper.tensor((1, out, out, 8)), stride=stride, same=same, dilation=dilation)


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (window(), ""),
        (window(stride=(3, 3), out=3), ""),
        (window(stride=(4, 4), out=2, same=False), ""),  # no padding: columns become channels
        (window(stride=(4, 4), out=2, kernel=4), ""),  # nothing is padded: (2 - 1) * 4 + 4 = 8
        (window(stride=(4, 4), out=2, kernel=5), "stride 4x4"),
        (window(stride=(1, 4), out=2, kernel=5), "stride 1x4"),
        (window(stride=(4, 4), out=2, same=False, dilation=(2, 2)), "stride 4x4"),
        (window(kind="depthwise", stride=(4, 4), out=2, same=False), "stride 4x4"),
        (window(np.full((1, 256, 256, 4), 127, np.int8)), "sum of weights 33,292,288, at most 8,323,072"),
        (window(np.full((1, 128, 128, 4), -127, np.int8)), ""),  # the very bound
        (unary("custom"), "custom is a CPU op"),
        (unary("relu", dtypes=("float32", "int8"), into=None), "float32 values"),
        (unary("relu", into=0.0), "a tensor without quantization, or a scale"),
        (unary("relu", into=-1.0), "a tensor without quantization, or a scale"),
        (unary("relu", into=np.inf), "a tensor without quantization, or a scale"),
        (unary("relu", into=[1.0, 1.0]), "an activation quantized per channel"),
        (unary("relu", shape=(2, 4, 4, 8)), "a batch of 2"),
        (unary("relu", shape=(2, 4, 8)), ""),
        (unary("softmax", shape=(2, 4, 4, 8)), ""),
        (unary("relu", fused="sign_bit"), "fused activation sign_bit"),
        (unary("arg_max", out=None, dtypes=("int8", "int64")), ""),
        (depthwise(dtypes=("int8", "int16", "int8")).nodes[0], "int16 weights"),
        (depthwise(dtypes=("int8", "int4", "int8")).nodes[0], "4-bit weights"),
    ],
)  # fmt: skip
def test_what_an_npu_leaves_to_the_cpu(node, why):
    assert says(node).startswith(why)
    assert bool(says(node)) == bool(why)


def averaged(shape, axes, dtype="int8", computed=False) -> str:
    paper = Paper()
    over = paper.tensor((len(axes),), "int32", None, data=None if computed else np.array(axes, np.int32))
    return says(paper.op("mean", [paper.tensor(shape, dtype), over], paper.tensor((1, 8), dtype)))


def test_means_on_an_npu():
    assert averaged((1, 7, 7, 8), (1, 2)) == averaged((1, 7, 7, 8), (-3, -2)) == ""
    assert averaged((1, 7, 7, 8), (1, 2), computed=True) == "axes that are computed"
    assert averaged((1, 4096, 4096, 8), (1, 2)) == ""  # 2**24 of int8
    assert averaged((1, 4096, 4096, 8), (1, 2), "uint8").startswith(
        "a mean over 16,777,216 values, at most 8,388,608, and 4,096"
    )
    assert averaged((1, 256, 256, 8), (1, 2), "int16") == ""
    assert averaged((1, 257, 256, 8), (1, 2), "int16").startswith("a mean over 65,792 values, at most 65,536")
    assert averaged((1, 1, 4097, 8), (2,)).startswith("a mean over 4,097 values")
    assert averaged((1, 7, 7, 8), (3,)) == "a mean over channels"
    assert averaged((1, 1, 7, 8), (3,)) == ""


def test_nothing_or_something_runs_on_an_npu():
    paper = Paper()
    x, y, z = (paper.tensor() for _ in range(3))
    paper.op("custom", [x], y)
    assert found(npu.check(paper.network())) == {"E702": "all 1 ops are left to the CPU: custom is a CPU op first"}
    paper.op("relu", [y], z)
    assert found(npu.check(paper.network())) == {"E701": "custom is a CPU op"}
    assert [finding.op for finding in npu.check(paper.network())] == [0]


def test_what_only_computes_a_shape_is_no_work():
    paper = Paper()
    x, shape, y = paper.tensor(), paper.tensor((4,), "int32", None), paper.tensor()
    paper.op("shape", [x], shape)
    paper.op("reshape", [x, shape], y)
    assert found(npu.check(paper.network())) == {}
    paper.op("custom", [shape], paper.tensor())  # somebody else reads it
    assert set(found(npu.check(paper.network()))) == {"E701"}
    assert [finding.op for finding in npu.check(paper.network())] == [0, 2]


def test_a_dilation_in_three_ops_is_one():
    for middle, left in (("depthwise", []), ("relu", [0, 2])):
        paper = depthwise()
        node = paper.nodes.pop()
        spread, back = paper.tensor(), paper.tensor()
        paper.op("space_to_batch_nd", [node.inputs[0]], spread)
        inputs = [spread, *node.inputs[1:]] if middle == "depthwise" else [spread]
        paper.op(middle, inputs, node.output)
        paper.op("batch_to_space_nd", [node.output], back)
        assert [finding.op for finding in npu.check(paper.network())] == left


# --- what a file says of itself


def misfits(low: float, high: float, tone=(0.0, 1.0), dtype="int8", **info) -> list[str]:
    """Ids for a network whose input holds `low` to `high`, and that states this mean and standard deviation."""
    codes = 255 if dtype == "int8" else 65535
    paper = Paper()
    scale = (high - low) / codes
    x = paper.tensor((1, 8, 8, 3), dtype, scale, round(-(codes + 1) / 2 - low / scale))
    paper.op("mean", [x], paper.tensor((1, 4), dtype))
    known = {
        "model": "m",
        "scheme": "static_wi8_ai8_per_tensor",
        "backend": "",
        "classes": (),
        "preprocess": Preprocess(size_px=8),
    }
    if dtype == "int16":
        known["scheme"] = "static_wi8_ai16"
    return [finding.id for finding in stated.check(paper.network().graph, ModelInfo(**(known | info)), tone)]


@pytest.mark.parametrize(
    ("low", "high", "fits"),
    [
        (0.0, 255.0, True), (0.0, 231.0, True), (0.0, 228.0, False),  # a tenth may be missed
        (24.0, 255.0, True), (27.0, 255.0, False),
        (0.0, 390.0, True), (0.0, 395.0, False),  # 35 % may be unused
        (-130.0, 255.0, True), (-140.0, 255.0, False),
    ],
)  # fmt: skip
def test_a_statement_has_to_fit_the_input(low, high, fits):
    assert misfits(low, high) == ([] if fits else ["M803"])


def test_sixteen_bits_have_codes_to_spare():
    assert misfits(-400.0, 400.0, dtype="int16") == []
    assert misfits(0.0, 200.0, dtype="int16") == ["M803"]


def test_each_channel_of_a_statement_is_asked():
    assert misfits(-1.0, 1.0, ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))) == []
    assert misfits(-1.0, 1.0, ((127.5, 127.5, 0.0), (127.5, 127.5, 127.5))) == ["M803"]
    assert misfits(-1.0, 1.0, (127.5, 0.0)) == []  # a statement that nobody can apply


def test_labels_scheme_and_size():
    assert misfits(0.0, 255.0, classes=("a", "b")) == ["M802"]
    assert misfits(0.0, 255.0, classes=("a", "b", "c", "d")) == []
    assert misfits(0.0, 255.0, scheme="float32") == ["M804"]
    assert misfits(0.0, 255.0, scheme="float32", recipe="int8; a=float32") == []
    assert misfits(0.0, 255.0, scheme="static_wi8_ai8") == []  # weights per channel or not is a detail of it
    assert misfits(0.0, 255.0, preprocess=Preprocess(size_px=16)) == ["M805"]


def test_without_a_statement():
    assert misfits(0.0, 255.0, None) == ["M801"]
    assert misfits(-1.0, 1.0, None) == ["M801"]
    assert misfits(-10.0, 10.0, None) == ["M801", "M806"]
    assert misfits(-10.0, 10.0, None, preprocess=None) == []


# --- tables and words


def test_the_table_of_findings_is_in_order_and_says_where():
    paper = dense([[1, 2]])
    info = ModelInfo(model="m", scheme="int8", backend="tool", preprocess=None, classes=())
    told = [
        Finding(id="D303", op=0, evidence="some"), Finding(id="Q105", op=0, evidence="off"),
        Finding(id="M801", op=None, evidence="none"), Finding(id="Q105", op=0, evidence="again"),
    ]  # fmt: skip
    table = Findings(rows=findings._rows_of(paper.network(), info, told)).table
    order = [SEVERITIES.index(severity) for severity in table["severity"]]
    assert order == sorted(order)
    assert table["id"].tolist()[0] == "Q105"
    assert set(table["id"]) == {"D303", "Q105", "M801"}  # each once, and the first of each counts
    row = table.set_index("id").loc["Q105"]
    assert (row["op"], row["layer_index"], row["model"]) == ("dense", 0, "m")
    assert row["evidence"].endswith(": off")
    assert np.isnan(table.set_index("id").loc["M801", "layer_index"])


def test_two_channels_with_a_scale_each_are_not_per_tensor():
    each = dense([[127, 127], [1, 1]], weight=[1.0, 0.5])
    assert not list(values._per_tensor(each.nodes[0]))
    apart = dense([[127, 1], [1, 1], [1, 1]])
    assert found(values._per_tensor(apart.nodes[0])).keys() == {"W502"}


def test_codes_of_an_output_without_a_sound_scale_are_not_known():
    for scale, known in ((1.0, True), (0.0, False), (np.inf, False)):
        paper = dense([[1, 2]], out=scale)
        assert (paper.nodes[0].output.index in paper.network().codes) == known


def test_weights_that_are_computed_stay_off_the_delegate():
    for kind, place in (("conv", 1), ("depthwise", 1), ("conv", 2)):
        node = depthwise(kind=kind).nodes[0]
        stored = [replace(t, data=None) if i == place else t for i, t in enumerate(node.inputs)]
        computed = replace(node, inputs=tuple(stored), fixed=tuple(t.data is not None for t in stored))
        assert fate(computed) == "plain", (kind, place)


def test_graver_ones():
    rows = [{"severity": severity} for severity in ("error", "warning", "info")]
    assert [len(Findings(rows=rows).at_least(severity)) for severity in ("error", "warning", "info")] == [1, 2, 3]
    assert tuple(dict.fromkeys(rule.severity for rule in RULES.values())) != ()
    assert SEVERITIES == ("error", "warning", "info")


def lines(*rows: tuple[str, str], each=False) -> list[str]:
    findings = [
        {"id": i, "layer": layer, "layer_index": float(n), "severity": RULES[i].severity, "remedy": "do this",
         "evidence": f"{RULES[i].title}: because"}
        for n, (i, layer) in enumerate(rows)
    ]  # fmt: skip
    return in_words(findings, each=each)


def test_what_holds_of_many_layers_is_said_once():
    one = lines(("W501", "a"))
    assert one == ["warning W501 a: depthwise weights quantized per tensor: because", "    do this"]
    many = lines(*(("W501", name) for name in ("a", "", "c")))
    assert many[0] == "warning W501 3 layers (a, operator 1, c): depthwise weights quantized per tensor: because"
    assert "(a, b, c and 1 more)" in lines(*(("W501", name) for name in "abcd"))[0]
    assert len(lines(*(("W501", name) for name in "abcd"), each=True)) == 5


def test_the_last_sentence():
    assert lines() == ["Nothing found: the file loads, and no rule objects."]
    assert lines(("D303", "a"))[-1].startswith("Nothing here fails or costs accuracy")
    assert lines(("D303", "a"), ("W501", "a"))[-1] == "    do this"
