"""The lint against the interpreter, against Vela, and against networks that are healthy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from single_ops import binary, layer, mean, outcomes, unary
from typer.testing import CliRunner

from effnet_lab import cli, frames
from effnet_lab.analysis.lint import RULES, SEVERITIES, Findings
from effnet_lab.analysis.lint import lint as findings_of
from effnet_lab.analysis.lint.network import Network
from effnet_lab.analysis.lint.npu import objection
from effnet_lab.analysis.lint.values import accumulator_range
from effnet_lab.analysis.lint.xnnpack import fate, fates
from effnet_lab.images import open_images
from effnet_lab.litert import Runner, delegation, embed_info, read_info
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.names import UserError

INT8 = "static_wi8_ai8 converter"


def lint(path: Path) -> pd.DataFrame:
    return findings_of(path).table


def ids(path: Path) -> dict[str, list[str]]:
    """Layers by id of finding."""
    return lint(path).groupby("id")["layer"].agg(list).to_dict()


def grave(path: Path) -> set[str]:
    return {row["id"] for row in findings_of(path).at_least("warning")}


@pytest.fixture
def change(files, tmp_path):
    """Edit a copy of the int8 file: the function gets the tree and its tensors by a part of their name."""

    def edit(with_tree, name: str = INT8) -> Path:
        tree = parse(files[name])
        with_tree(tree)
        path = tmp_path / "changed.tflite"
        path.write_bytes(pack(tree))
        return path

    return edit


def op_of(tree, part: str):
    """(op, its tensors) of the layer whose output is named so."""
    main = tree.subgraphs[0]
    op = next(op for op in main.operators if part in main.tensors[op.outputs[0]].name.decode())
    return op, [main.tensors[i] for i in op.inputs], main.tensors[op.outputs[0]]


# ---- what XNNPACK takes and refuses


def just_below(value: float) -> float:
    return float(np.nextafter(np.float32(value), np.float32(0)))


def edges(*values: float) -> list[float]:
    return [edge for value in values for edge in (just_below(value), value)]


SWEEPS = {
    "conv": [layer("conv", m, 1.0, 1.0) for m in (1e-30, 1.0, 255.0, *edges(256.0), 1e6)],
    "conv, one channel": [layer("conv", 1.0, [1e-3] * 5 + [m], 1.0) for m in edges(256.0)],
    "depthwise": [layer("depthwise", 1.0, [m, 0.1, 0.1, 0.1], 1.0, kernel=3) for m in (1e-9, *edges(256.0))],
    "dense": [layer("dense", 1.0, m, 1.0) for m in edges(256.0)],
    "output scale": [
        layer(kind, 1.0, 0.01, s, bias_scale=0.01)
        for kind in ("conv", "depthwise", "dense") for s in (1e-39, 0.0, np.inf, 1e-8, 1.0)
    ],
    "input scale": [layer(kind, s, 0.01, 1.0, bias_scale=0.01) for kind in ("conv", "dense") for s in (0.0, 1e-39, 1.0)],
    "weight scale": [
        layer(kind, 1.0, [s] + [0.01] * n, 1.0, bias_scale=[0.01] * (n + 1))
        for kind, n in (("conv", 5), ("depthwise", 3), ("dense", 5)) for s in (0.0, 1e-39, 1e-30)
    ],
    "bias scale": [layer(kind, 1.0, 0.01, 1.0, bias_scale=s) for kind in ("conv", "dense") for s in (0.0, 1e-39, 1e-30)],
    "zero point": [layer("conv", 1.0, 0.01, 1.0, zero=z) for z in ((0, 200), (-129, 0), (-128, 127))],
    "activation": [layer("conv", 1.0, 0.01, 1.0, fused=f) for f in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1", "TANH")],
    "int16": [layer(kind, 1.0, 0.01, 1.0, dtype="int16") for kind in ("conv", "depthwise", "dense")],
    "add": [binary("add", m, 1.0, 1.0) for m in (1e-4, *edges(2.0**-10, 1.0, 2.0**8), 2.0**18)],
    "add, aborts": [binary("add", *s) for s in ((2.0**19, 1.0, 1.0), (1.0, 2.0**19, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1e-39))],
    "add, second": [binary("add", 1.0, m, 1.0) for m in edges(2.0**-10, 2.0**8)],
    "sub": [binary("sub", m, 1.0, 1.0) for m in edges(2.0**-10, 2.0**8)],
    "mul": [binary("mul", m, 1.0, 1.0) for m in edges(2.0**-16, 2.0**8)],
    "mean": [mean(m, 1.0) for m in (1e-39, 1e-30, 1.0, 1e30)] + [mean(1.0, 0.0)],
    "quantize": [unary("quantize", m, 1.0) for m in (*edges(2.0**-8, 2.0**7), 129.0)]
    + [unary("quantize", 1.0, 1.0, dtypes=t) for t in (("uint8", "int8"), ("int8", "uint8"))]
    + [unary("quantize", None, 1.0, dtypes=("float32", t)) for t in ("int8", "uint8")],
    "uint8": [
        layer(kind, 1.0, m, 1.0, dtype="uint8", weights="uint8")
        for kind in ("conv", "depthwise", "dense") for m in (0.01, *edges(256.0))
    ]
    + [binary(kind, m, 1.0, 1.0, dtype="uint8") for kind in ("add", "sub", "mul") for m in (2.0**-17, *edges(2.0**8))]
    + [unary("quantize", m, 1.0, dtypes=("uint8", "uint8")) for m in (1.0, 129.0)]
    + [unary("softmax", 0.1, 1 / 256, dtypes=("uint8", "uint8"), beta=1.0), unary("relu6", 0.1, 0.1, dtypes=("uint8", "uint8"))],
    "softmax": [unary("softmax", None, None, dtypes=("float32", "float32"), beta=b) for b in (1.0, 2.0)]
    + [unary("softmax", 0.1, 1 / 256, zeros=(0, -128), beta=1.0), unary("relu6", 0.1, 0.1)],
}  # fmt: skip
SAYS = {"delegated": "delegated", "plain": "plain", "refused": "refused", "aborts": "crash"}


DELEGATED = (
    INT8, "static_wi8_ai8 ai_edge_quantizer", "float32 converter", "float16 converter", "dynamic_wi8_afp32 converter",
    "dynamic_wi8_afp32 ai_edge_quantizer",
)  # fmt: skip
SOFTMAX = [
    unary("softmax", 0.1, scale / 256, zeros=(0, zero), beta=1.0)
    for scale, zero in ((1, -128), (0.9991, -128), (0.9989, -128), (1, -127))
]


@pytest.fixture(scope="module")
def happened() -> dict[str, dict[bytes, str]]:
    """What the interpreter does with every file, by kernel path."""
    contents = [*SOFTMAX, *(content for sweep in SWEEPS.values() for content in sweep)]
    return {kernels: outcomes(contents, kernels) for kernels in ("xnnpack", "builtin")}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_prediction_is_what_the_interpreter_does(sweep, happened, tmp_path):
    path = tmp_path / "one.tflite"
    for content in SWEEPS[sweep]:
        path.write_bytes(content)
        node = Network.open(path).nodes[0]
        predicted, why = fate(node)
        scales = [float(t.scale[0]) for t in node.activations if t.quantized]
        assert happened["xnnpack"][content] == SAYS[predicted], (scales, why)
        if predicted == "refused":
            assert happened["builtin"][content] in ("plain", "refused")  # a dense layer checks its scales itself
        if predicted == "aborts":
            assert happened["builtin"][content] == "crash"


def test_softmax_output_that_the_interpreter_refuses(happened, tmp_path):
    path = tmp_path / "one.tflite"
    said = []
    for content in SOFTMAX:
        path.write_bytes(content)
        said.append("Q104" in ids(path))
        assert said[-1] == (happened["builtin"][content] == "refused")
    assert said == [False, False, True, True]


@pytest.mark.parametrize("name", DELEGATED)
def test_delegated_ops_of_a_network_are_predicted(files, name):
    taken = delegation(Runner(files[name]))
    for node in Network.open(files[name]).nodes:
        assert (fate(node)[0] == "delegated") == (taken[node.op.index] == "XNNPACK"), (node.kind, fate(node))


@pytest.mark.real
def test_delegated_ops_of_a_file_from_elsewhere_are_predicted(shared):
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    taken = delegation(Runner(path))
    predicted = {node.op.index: fate(node)[0] == "delegated" for node in Network.open(path).nodes}
    assert predicted == {index: name == "XNNPACK" for index, name in taken.items()}


WILD = sorted((SHARED / "fixtures" / "wild").glob("*.tflite"))


@pytest.mark.real
@pytest.mark.parametrize("path", WILD, ids=lambda path: path.stem)
def test_public_files_do_what_the_lint_says(path):
    """What LiteRT refuses or dies on is an error; of every other file each operator is where the lint expects it."""
    found = set(lint(path)["id"])
    if found & {"F901", "F902"}:
        with pytest.raises(UserError, match=r"LiteRT refuses|ends the interpreter"):
            Runner(path)
        return
    predicted = {index: what == "delegated" for index, (what, _) in fates(Network.open(path)).items()}
    assert predicted == {index: name == "XNNPACK" for index, name in delegation(Runner(path)).items()}


@pytest.mark.real
def test_what_litert_does_with_public_files(shared):
    wild = shared / "fixtures" / "wild"
    errors = {path.stem: set(lint(path)["id"]) & {"F901", "F902"} for path in WILD}
    assert {name: ids for name, ids in errors.items() if ids} == {
        "tensorflow__keyword_scrambled_8bit": {"F902"}, "tensorflow__person_detect": {"F901"},
    }  # fmt: skip
    coral = delegation(Runner(wild / "google-coral__mobilenet_v1_0.25_128_quant.tflite"))
    assert list(coral.values()).count("XNNPACK") == 29  # its README there
    assert len(coral) == 31


@pytest.fixture(scope="module")
def never_firing(tmp_path_factory):
    """micro0, one of whose ReLU6 gets inputs far below zero, exported as any user would."""
    from effnet_lab.models import load_model
    from effnet_lab.quantize import targets, write_files

    model = load_model("micro0")
    norm = model.keras.get_layer("blocks_4_dwconv_bn")
    gamma, _beta, mean_, variance = norm.get_weights()
    norm.set_weights([gamma, np.full_like(gamma, -100.0), mean_, variance])
    out = tmp_path_factory.mktemp("dead") / "dead.tflite"
    calibration = open_images("scenes", split="calibration", limit=20)
    return write_files(model, targets(["int8"], ["converter"]), out, calibration=calibration)[0]


def test_a_relu6_that_never_fires_is_predicted(never_firing):
    """The lint says which layer; the interpreter then fails with the delegate, and only with it."""
    found = ids(never_firing)
    assert found["D301"] == ["blocks_4_dwconv"]
    assert found["Q101"] == ["blocks_4_dwconv"]
    image = np.zeros((1, 32, 32, 3), np.float32)
    with pytest.raises((UserError, RuntimeError), match="failed to create XNNPACK runtime"):
        Runner(never_firing).predict(image)
    assert Runner(never_firing, kernels="builtin").predict(image).shape == (1, 10)


# ---- faults planted in a healthy file: each is found, and nothing else


def test_healthy_files_give_no_error_and_no_warning(files):
    for name in (INT8, "float32 converter", "float16 converter"):
        assert grave(files[name]) == set(), lint(files[name])[["id", "layer", "evidence"]]


@pytest.mark.real
def test_a_healthy_lite0_from_elsewhere(shared):
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    assert grave(path) == set()
    assert len(ids(path)["D303"]) > 20  # its authors did not prune


def test_bias_at_the_end_of_int32(change):
    def plant(tree):
        _, inputs, _ = op_of(tree, "blocks_1_expand")
        bias = tree.buffers[inputs[2].buffer]
        values = np.array(bias.data).view(np.int32).copy()
        values[3] = np.iinfo(np.int32).min
        bias.data = values.view(np.uint8)

    path = change(plant)
    assert grave(path) == {"B401"}
    assert ids(path)["B401"] == ["blocks_1_expand"]
    assert "channel 3 first: -2,147,483,648" in lint(path).set_index("id").loc["B401", "evidence"]


def test_accumulator_that_can_overflow(change):
    def plant(tree):
        _, inputs, _ = op_of(tree, "blocks_1_expand")
        bias = tree.buffers[inputs[2].buffer]
        values = np.array(bias.data).view(np.int32).copy()
        values[3] = np.iinfo(np.int32).max - 100
        bias.data = values.view(np.uint8)

    assert grave(change(plant)) == {"B402"}


def test_bias_in_other_units(change):
    def plant(tree):
        _, inputs, _ = op_of(tree, "blocks_2_project")
        inputs[2].quantization.scale = np.asarray(inputs[2].quantization.scale) * np.float32(2)

    path = change(plant)
    assert ids(path)["Q105"] == ["blocks_2_project"]
    assert grave(path) == {"Q105"}


def test_activation_that_leaves_one_code(change):
    def plant(tree):
        _, _, output = op_of(tree, "blocks_2_dwconv")
        output.quantization.zeroPoint = np.array([127])

    found = ids(change(plant))["D302"]
    assert found == ["blocks_2_dwconv", "blocks_2_project"]  # what follows has a constant input, and is constant


def test_activation_that_leaves_few_codes(change):
    def plant(tree):
        _, _, output = op_of(tree, "blocks_2_dwconv")
        output.quantization.scale = np.asarray(output.quantization.scale) * np.float32(8)

    assert "blocks_2_dwconv" in ids(change(plant))["D304"]


def test_depthwise_weights_per_tensor(change):
    def plant(tree):
        _, inputs, _ = op_of(tree, "blocks_3_dwconv")
        for tensor in inputs[1:]:
            tensor.quantization.scale = np.asarray(tensor.quantization.scale)[:1]
            tensor.quantization.zeroPoint = np.zeros(1, np.int64)

    path = change(plant)
    assert ids(path)["W501"] == ["blocks_3_dwconv"]
    assert grave(path) == {"W501"}


def test_residual_inputs_of_unlike_scale(change):
    def plant(tree):
        _, inputs, _ = op_of(tree, "blocks_4_add")
        inputs[0].quantization.scale = np.asarray(inputs[0].quantization.scale) / np.float32(100)

    assert ids(change(plant))["R601"] == ["blocks_4_add"]


def one_op(tmp_path, content: bytes) -> set[str]:
    path = tmp_path / "one.tflite"
    path.write_bytes(content)
    return set(lint(path)["id"])


def test_the_limits_of_unlike_residuals_and_of_bias_scales(tmp_path):
    """Three bits; one percent."""
    assert ["R601" in one_op(tmp_path, binary("add", 2.0**-bits, 1.0, 1.0)) for bits in (2.9, 3.1, 4.4)] == [
        False,
        True,
        True,
    ]
    off = [layer("conv", 0.1, 0.01, 0.1, bias_scale=0.001 * share) for share in (1.005, 1.02, 1.09)]
    assert ["Q105" in one_op(tmp_path, content) for content in off] == [False, True, True]


def test_a_stated_normalisation_that_the_input_cannot_hold(files, change, tmp_path):
    """The standard's own entry alone, behind which no entry of ours stands: it says -1 to 1, the input holds 0 to 1."""

    def plant(tree):
        tree.metadata = [entry for entry in tree.metadata if entry.name == b"TFLITE_METADATA"]
        image = tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]]
        image.quantization.scale, image.quantization.zeroPoint = np.array([1 / 255], np.float32), np.array([-128])

    evidence = lint(change(plant)).set_index("id").loc["M803", "evidence"]
    assert "(x - 127) / 128 gives -0.9922 to 1, the input holds 0 to 1" in evidence


# ---- in words


def test_what_is_said_of_many_layers_is_said_once(files):
    findings, found = lint(files[INT8]), findings_of(files[INT8])
    lines = found.lines()
    assert len(lines) == 2 * findings["id"].nunique() + 1
    many = findings["id"].value_counts()
    for name, count in many[many > 1].items():
        assert any(line.startswith(f"info {name} {count} layers (") for line in lines)
    assert lines[-1].startswith("Nothing here fails or costs accuracy")
    assert sum(line.startswith(("info", "warning", "error")) for line in found.lines(each=True)) == len(findings)
    assert Findings(rows=[]).lines() == ["Nothing found: the file loads, and no rule objects."]


def test_channels_called_constant_are_constant(files):
    """The claim is about any image: photographs, noise, black and white."""
    path = files[INT8]
    network, runner = Network.open(path), Runner(path, keep_all=True)
    rng = np.random.default_rng(0)
    info = read_info(path)
    pictures = [p for batch, _ in open_images("scenes", limit=10).batches(info.preprocess) for p in batch]
    pictures += [
        rng.uniform(-1, 1, (32, 32, 3)).astype(np.float32),
        *np.full((2, 32, 32, 3), [[[[-1]]], [[[1]]]], np.float32),
    ]
    seen: dict[int, list] = {node.op.index: [] for node in network.nodes if node.integer_layer}
    for picture in pictures:
        runner.feed(picture)
        runner.invoke()
        for index, values in seen.items():
            values.append(
                runner.activation(network.nodes[index].output).reshape(-1, network.nodes[index].output.shape[-1])
            )
    claims = 0
    for index, values in seen.items():
        node = network.nodes[index]
        low, high = accumulator_range(node, network)
        lowest, highest = network.codes[node.output.index]
        ends = [
            np.clip(np.rint(b * node.multipliers) + node.output.zero_point[0], lowest, highest) for b in (low, high)
        ]
        spread = np.ptp(np.concatenate(values), axis=0)
        real = [node.output.real(end) for end in ends]
        assert (np.concatenate(values).min(0) >= real[0] - 1e-6).all()
        assert (np.concatenate(values).max(0) <= real[1] + 1e-6).all()
        claims += int((ends[0] == ends[1]).sum())
        assert (spread[ends[0] == ends[1]] == 0).all()
    counted = lint(path).query("id == 'D303'")["evidence"].str.extract(r": (\d+) of")[0].astype(int).sum()
    assert counted == claims


# ---- Ethos-U


@pytest.mark.parametrize("name", [INT8, "float32 converter", "dynamic_wi8_afp32 converter"])
def test_vela_leaves_to_the_cpu_what_the_lint_says(files, name, tmp_path):
    left = [node for node in Network.open(files[name]).nodes if objection(node)]
    assert vela_leaves(files[name].read_bytes(), tmp_path) == len(left)
    assert ("E702" in ids(files[name])) == (name != INT8)


def vela_leaves(content: bytes, folder: Path) -> int:
    """Ops that Vela leaves to the CPU."""
    path = folder / "model.tflite"
    path.write_bytes(content)
    command = [
        Path(sys.executable).parent / "vela",
        path,
        "--accelerator-config",
        "ethos-u65-256",
        "--output-dir",
        folder,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(said.split("CPU operators = ")[1].split()[0])


SINGLE = {
    "conv stride 3": layer("conv", 0.1, 0.01, 0.1, kernel=3, stride=3, side=12),
    "conv stride 5, nothing padded": layer("conv", 0.1, 0.01, 0.1, kernel=5, stride=5, side=20),
    "conv stride 4, padded": layer("conv", 0.1, 0.01, 0.1, kernel=3, stride=4, side=21),
    "depthwise stride 4": layer("depthwise", 0.1, 0.01, 0.1, kernel=3, stride=4, side=16),
    "depth multiplier": layer("depthwise", 0.1, 0.01, 0.1, kernel=3, depth_multiplier=2),
    "int16": layer("conv", 0.1, 0.01, 0.1, dtype="int16"),
    "mean over channels": mean(0.1, 0.1, axes=(3,)),
    "mean over a long row": mean(0.1, 0.1, shape=(1, 1, 4100, 4)),
    "mean of a batch": mean(0.1, 0.1, shape=(2, 4, 4, 8)),
    "from float": unary("quantize", None, 0.2, dtypes=("float32", "int8")),
    "softmax": unary("softmax", 0.1, 1 / 256, zeros=(0, -128), beta=1.0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_ops_fall_off_ethos_u_as_vela_says(name, tmp_path):
    path = tmp_path / "one.tflite"
    path.write_bytes(SINGLE[name])
    says = objection(Network.open(path).nodes[0])
    assert vela_leaves(SINGLE[name], tmp_path) == (1 if says else 0), says


# ---- metadata


def restated(files, tmp_path, **changes) -> Path:
    from dataclasses import replace

    path = tmp_path / "restated.tflite"
    tree = parse(files[INT8])
    tree.metadata = []
    path.write_bytes(embed_info(pack(tree), replace(read_info(files[INT8]), **changes)))
    return path


def test_metadata_that_contradict_the_tensors(files, tmp_path):
    from dataclasses import replace

    preprocess = read_info(files[INT8]).preprocess
    assert grave(restated(files, tmp_path)) == set()
    assert grave(restated(files, tmp_path, classes=("cat", "dog"))) == {"M802"}
    assert grave(restated(files, tmp_path, preprocess=replace(preprocess, mean=0.0, std=255.0))) == {"M803"}
    assert grave(restated(files, tmp_path, preprocess=replace(preprocess, mean=0.0, std=1.0))) == {"M803"}
    assert grave(restated(files, tmp_path, preprocess=replace(preprocess, size_px=64))) == {"M805"}
    assert grave(restated(files, tmp_path, scheme="float32")) == {"M804"}


def test_no_metadata(change):
    def plant(tree):
        tree.metadata = []

    assert "M801" in grave(change(plant))


def test_an_input_that_no_preprocessing_explains(change):
    def plant(tree):
        tree.metadata = []
        image = tree.subgraphs[0].tensors[tree.subgraphs[0].inputs[0]]
        image.quantization.scale = np.array([0.2], np.float32)

    assert "M806" in grave(change(plant))


# ---- command


def test_command_prints_findings_and_its_exit_code_follows_the_severity(files, never_firing):
    run = CliRunner().invoke
    assert run(cli.app, ["lint", str(files[INT8]), "--fail-on", "warning"]).exit_code == 0
    bad = run(cli.app, ["lint", str(never_firing)])
    assert bad.exit_code == 1
    assert "error Q101 blocks_4_dwconv" in bad.stdout
    rows = json.loads(run(cli.app, ["lint", str(never_firing), "--json"]).stdout)
    assert set(rows[0]) == set(frames.FINDINGS.columns)
    listed = run(cli.app, ["lint", "--rules"]).stdout
    assert all(f"{rule} " in listed for rule in RULES)
    assert {rule.severity for rule in RULES.values()} == set(SEVERITIES)


def test_command_refuses_in_one_line(tmp_path):
    for arguments in (["lint"], ["lint", str(tmp_path / "no.tflite")], ["lint", "x.tflite", "--fail-on", "warn"]):
        assert isinstance(CliRunner().invoke(cli.app, arguments).exception, UserError)


@pytest.mark.real
def test_lint_of_lite0_takes_less_than_two_seconds(shared):
    """CPU time of the whole command, imports too."""
    code = (
        "import sys, time; from effnet_lab import cli; sys.argv = ['effnet-lab', 'lint', sys.argv[1]]\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print(time.process_time(), 'tensorflow' in sys.modules)"
    )
    path = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    seconds, tensorflow = said.splitlines()[-1].split()
    assert float(seconds) < 2
    assert tensorflow == "False"
