"""What travels in an exported file, its input and output types, what it is calibrated with, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import version

import flatbuffers
import numpy as np
import pytest
from PIL import Image

from effnet_lab.images import StatedInput, open_images
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert import ModelInfo, Runner, embed_info, float_twin, read_graph, read_info
from effnet_lab.litert.flatbuffer import pack, parse
from effnet_lab.litert.io_types import with_io
from effnet_lab.litert.metadata import KEY
from effnet_lab.litert.standard_metadata import ENTRY, read_normalisation
from effnet_lab.models import load_model
from effnet_lab.models.resize import at_size
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.quantize import calibrate, export, parse_recipe, targets, write_files
from effnet_lab.quantize.carried_out import remarks
from effnet_lab.quantize.ranges import Ranging

EDGE = "static_wi8_ai8 ai_edge_quantizer"


def stripped(content: bytes, *names: str) -> bytes:
    """The file without these metadata entries; the archive behind it stays."""
    tree = parse(content)
    tree.metadata = [entry for entry in tree.metadata if entry.name.decode() not in names]
    archive = content[content.rindex(b"PK\x03\x04") :] if b"PK\x03\x04" in content else b""
    return pack(tree) + archive


def test_everything_said_is_read_back(files):
    for name, path in files.items():
        info, scheme = read_info(path), name.split()[0]
        assert (info.model, info.variant, info.scheme) == ("micro0", "micro0", scheme)
        assert info.versions["tensorflow"] == version("tensorflow")
        assert info.versions.keys() == {"effnet_lab", "tensorflow", "litert", "quantizer"}
        runner = Runner(path)
        assert info.io == runner.input.dtype.name == runner.output.dtype.name
        if not scheme.startswith("static"):
            assert info.calibration is None
            continue
        images = open_images("scenes", split="calibration", limit=60)
        assert info.calibration.fingerprint == images.fingerprint
        assert (info.calibration.name, info.calibration.split) == ("scenes", "calibration")
        assert (info.calibration.n_images, info.calibration.method) == (60, "minmax")


def test_a_file_of_an_earlier_version_is_read(files):
    tree = parse(files[EDGE])
    (entry,) = [entry for entry in tree.metadata if entry.name.decode() == KEY]
    fields = json.loads(bytes(tree.buffers[entry.buffer].data))
    old = {name: fields[name] for name in ("model", "scheme", "backend", "preprocess", "classes")}
    tree.buffers[entry.buffer].data = np.frombuffer(json.dumps(old).encode(), np.uint8)
    path = files[EDGE].with_name("old.tflite")
    path.write_bytes(pack(tree))
    info = read_info(path)
    assert (info.model, info.variant, info.calibration, dict(info.versions)) == ("micro0", "", None, {})


@pytest.mark.parametrize("name", ["float32 converter", EDGE, "static_wi8_ai16 converter"])
def test_the_standard_part_alone_gives_normalisation_and_labels_back(name, files, tmp_path):
    """A mean and a standard deviation that no guess would come to."""
    odd = replace(read_info(files[name]), preprocess=Preprocess(size_px=32, mean=101.5, std=77.0))
    path = tmp_path / "odd.tflite"
    path.write_bytes(stripped(embed_info(files[name].read_bytes(), odd), KEY))
    info = read_info(path)
    assert (info.preprocess.mean, info.preprocess.std, info.preprocess.size_px) == (101.5, 77.0, 32)
    assert info.classes == tuple("0123456789")
    assert info.backend == ""
    path.write_bytes(stripped(path.read_bytes(), ENTRY))
    assert read_info(path).preprocess.mean == 127.0


def test_labels_are_an_archive_that_any_tool_opens(files, tmp_path):
    with zipfile.ZipFile(files[EDGE]) as archive:
        (member,) = archive.infolist()
        assert member.compress_type == zipfile.ZIP_STORED
        assert archive.read(member).decode().split("\n") == list("0123456789")
    content = files[EDGE].read_bytes()
    assert embed_info(content, read_info(files[EDGE])) == content  # nothing piles up


@pytest.mark.real
def test_the_standard_part_of_a_file_from_elsewhere(shared):
    path = shared / "fixtures/litert/flowers_lite0_int8.tflite"
    tree = parse(path)
    (entry,) = [entry for entry in tree.metadata if entry.name.decode() == ENTRY]
    assert read_normalisation(bytes(tree.buffers[entry.buffer].data)) == (0.0, 255.0)
    info = read_info(path)
    assert (info.preprocess.mean, info.preprocess.std, info.io) == (0.0, 255.0, "uint8")


@pytest.mark.real
def test_the_standard_part_has_the_fields_where_others_have_them(files, shared):
    """Field by field the flatbuffer has the tables that another tool wrote, read without knowing ours."""
    theirs = shared / "fixtures/litert/flowers_lite0_int8.tflite"
    roots = []
    for path in (theirs, files[EDGE]):
        tree = parse(path)
        (entry,) = [entry for entry in tree.metadata if entry.name.decode() == ENTRY]
        data = bytes(tree.buffers[entry.buffer].data)
        assert flatbuffers.util.BufferHasIdentifier(data, 0, b"M001")
        roots.append(data)
    assert b"labels.txt" in roots[0]
    assert b"labels.txt" in roots[1]


@pytest.mark.parametrize(
    ("name", "io"),
    [
        (EDGE, "uint8"),
        (EDGE, "float32"),
        ("static_wi8_ai8 converter", "uint8"),
        ("static_wi8_ai16 converter", "float32"),
    ],
)
def test_another_input_and_output_is_the_same_network(name, io, files):
    content = files[name].read_bytes()
    inner, outer = Runner(content), Runner(with_io(content, io))
    assert outer.input.dtype.name == outer.output.dtype.name == io
    batch = next(open_images("scenes", limit=24).batches(read_info(files[name]).preprocess))[0]
    np.testing.assert_array_equal(outer.predict(batch), inner.predict(batch))
    assert set(inner.graph.produced) <= set(outer.graph.produced)  # layers keep their names


def test_input_and_output_of_the_converters_own_making(files):
    """tf.lite.TFLiteConverter does the same for uint8: the code of a pixel is 128 more."""
    runner = Runner(with_io(files[EDGE].read_bytes(), "uint8"))
    inner = read_graph(files[EDGE])
    own = inner.tensors[inner.inputs[0]]
    assert runner.input.zero_point[0] == own.zero_point[0] + 128
    assert runner.input.scale[0] == own.scale[0]
    assert with_io(files[EDGE].read_bytes(), "int8") == pack(parse(files[EDGE]))


def test_an_input_that_the_activations_cannot_have_is_refused_first(tmp_path):
    model, images = load_model("micro0"), open_images("scenes", split="calibration", limit=4)
    for scheme, io in (("int16x8", "uint8"), ("float32", "uint8"), ("int8", "int16"), ("int8", "int32")):
        with pytest.raises(UserError, match="activations takes and gives"):
            write_files(model, targets([scheme], ["converter"]), tmp_path, calibration=images, io=io)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["weight_only_wi4_afp32 ai_edge_quantizer", "float16 ai_edge_quantizer", EDGE])
def test_quantized_files_open_as_weights_again(name, files, tmp_path):
    model = load_model(files[name])
    assert model.spec.name == "micro0"
    batch = next(open_images("scenes", limit=32).batches(model.preprocess))[0]
    same = model.keras(batch, training=False).numpy().argmax(1) == Runner(files[name]).predict(batch).argmax(1)
    assert same.mean() >= 0.9
    assert Runner(float_twin(files[name])).predict(batch[:1]).shape == (1, 10)


def test_from_a_float_file_nothing_is_converted(files, tmp_path):
    """The same codes and scales as by way of the Keras model, and without TensorFlow."""
    images = open_images("scenes", split="calibration", limit=60)
    (path,) = write_files(
        files["float32 converter"], targets(["int8"], ["ai_edge_quantizer"]), tmp_path, calibration=images
    )
    ours, keras = (read_graph(file) for file in (path, files[EDGE]))
    for tensor, other in zip(ours.tensors, keras.tensors, strict=True):
        assert (tensor.name, tensor.scale.tolist()) == (other.name, other.scale.tolist())
        assert tensor.data is None or np.array_equal(tensor.data, other.data)
    with pytest.raises(UserError, match=r"does not start from a \.tflite file"):
        write_files(files["float32 converter"], targets(["int8"], ["converter"]), tmp_path, calibration=images)
    with pytest.raises(UserError, match=r"is static_wi8_ai8\. Only a float32 file"):
        write_files(files[EDGE], targets(["int8"], ["ai_edge_quantizer"]), tmp_path, calibration=images)
    code = (
        "import sys; from effnet_lab.quantize import write_files, requantize, parse_recipe;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_statistics_are_collected_once(files, tmp_path):
    cache = tmp_path / "statistics.json"
    images = open_images("scenes", split="calibration", limit=20)
    wanted = targets([parse_recipe("int8; op:dense=float32")], ["ai_edge_quantizer"])
    first = write_files(
        files["float32 converter"], wanted, tmp_path / "a", calibration=Ranging(images=images, statistics=cache)
    )
    assert cache.exists()
    again = write_files(files["float32 converter"], wanted, tmp_path / "b", calibration=Ranging(statistics=cache))
    assert pack(parse(stripped(first[0].read_bytes(), KEY))) == pack(parse(stripped(again[0].read_bytes(), KEY)))
    assert read_info(again[0]).calibration.n_images == 20


def test_an_activation_that_is_no_number_names_its_first_layer(tmp_path):
    model = load_model("micro0")
    layer = model.keras.get_layer("blocks_2_expand")
    layer.set_weights([np.full_like(weights, np.nan) for weights in layer.get_weights()])
    images = open_images("scenes", split="calibration", limit=3)
    for backend in ("converter", "ai_edge_quantizer"):
        with pytest.raises(UserError, match="'blocks_2_expand' gave NaN or infinity on image 0"):
            write_files(model, targets(["int8"], [backend]), tmp_path, calibration=images)
    assert not list(tmp_path.iterdir())


def test_calibration_images_of_the_wrong_size(tmp_path):
    folder = tmp_path / "tiny" / "0"
    folder.mkdir(parents=True)
    Image.new("RGB", (5, 7)).save(folder / "a.png")
    with pytest.raises(UserError, match="are 5 x 7 px, the network takes 32 px"):
        write_files(
            load_model("micro0"),
            targets(["int8"], ["converter"]),
            tmp_path / "out",
            calibration=open_images(folder.parent),
        )
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(files, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    wanted = targets(["weight-int8"], ["ai_edge_quantizer"])
    with pytest.raises(UserError, match=r"Cannot write .*No space left on device.*another place"):
        write_files(files["float32 converter"], wanted, tmp_path)
    assert not list(tmp_path.iterdir())


def command(*args: object, before: str = "") -> subprocess.CompletedProcess:
    code = f"{before}\nimport sys\nfrom effnet_lab.cli import main\nsys.argv = ['effnet-lab', *sys.argv[1:]]\nmain()"
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False)


def test_a_file_size_limit_ends_in_one_line(files, tmp_path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    done = command(
        "export",
        "--weights",
        files["float32 converter"],
        "--format",
        "weight-int8",
        "--out",
        tmp_path / "out",
        before=limit,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("effnet-lab: Cannot write")
    assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").iterdir())


def test_the_command_writes_a_selective_file(files, tmp_path):
    done = command(
        "export", "--weights", files["float32 converter"], "--recipe", "int8; op:dense=float32", "--backend",
        "ai_edge_quantizer", "--io", "uint8", "--limit", 12, "--out", tmp_path / "mine.tflite", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["io"], row["n_calibration"], row["file"]) == ("uint8", 12, str(tmp_path / "mine.tflite"))
    assert row["scheme"] == read_info(tmp_path / "mine.tflite").scheme == parse_recipe("int8; op:dense=float32").name
    assert "Calibrated on 12 images of scenes, split calibration. Fewer than 100" in done.stderr


def test_a_float_file_of_any_network_is_quantized_without_being_asked_how(files, tmp_path):
    """Also where its tensors bear no names, which the quantizer does not take."""
    tree = parse(files["float32 converter"])
    for tensor in tree.subgraphs[0].tensors:
        tensor.name = b""
    tree.metadata, tree.subgraphs[0].operators = [], tree.subgraphs[0].operators[:-1]  # no card, and no softmax
    tree.subgraphs[0].outputs = tree.subgraphs[0].operators[-1].outputs
    source = tmp_path / "elsewhere.tflite"
    source.write_bytes(pack(tree))
    asked = ("export", "--weights", source, "--calibration", "scenes", "--limit", 8, "--out", tmp_path / "out")
    done = command(*asked, "--mean", 127, "--std", 128)  # which it does not say itself
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "elsewhere.static_wi8_ai8.ai_edge_quantizer.tflite"
    assert read_graph(path).scheme == "static_wi8_ai8"
    assert len(read_graph(path).ops) == len(read_graph(files[EDGE]).ops) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "int8; blocks_1_expnd=float32"], "Did you mean 'blocks_1_expand'"),
        (["--format", "int8", "--split", "evaluation"], "must not be evaluation images"),
        (["--format", "int8", "--split", "all"], "Unknown split 'all'"),
        (["--format", "int8", "--io", "int88"], "takes and gives int8 or uint8 or float32"),
        (["--format", "int4", "--backend", "converter"], "cannot write static_wi4_ai8. Use: ai_edge_quantizer"),
        (["--format", "int8", "--calibration", "no-such-folder"], "no such path exists"),
        (["--format", "int8", "--calibration", "EMPTY"], "has no image in it"),
        (["--format", "int8", "--method", "nonsense"], "nonsense"),
    ],
)
def test_wrong_input_is_one_line(options, message, files, tmp_path, monkeypatch, capfd):
    from effnet_lab import cli

    (tmp_path / "empty").mkdir()
    options = [str(tmp_path / "empty") if option == "EMPTY" else option for option in options]
    if "--backend" not in options:
        options += ["--backend", "ai_edge_quantizer"]
    given = ["export", "--weights", str(files["float32 converter"]), "--limit", "2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["effnet-lab", *given, *options])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    (said,) = capfd.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert message in said
    assert said.startswith("effnet-lab: ")
    assert not (tmp_path / "out").exists()


def test_infos_are_made_with_what_is_known():
    info = ModelInfo(model="m", scheme="float32", backend="", preprocess=Preprocess(size_px=8), classes=())
    assert (info.variant, info.recipe, info.io, info.calibration) == ("", "", "", None)


# --- networks of every kind


@pytest.mark.real
def test_a_network_that_takes_no_pictures_is_calibrated_on_arrays(shared, tmp_path):
    source = shared / "fixtures" / "wild" / "tensorflow__hello_world_float.tflite"
    inputs = tmp_path / "angles.npy"
    np.save(inputs, np.linspace(0, 6.28, 120, dtype=np.float32)[:, np.newaxis])
    done = export(source, tmp_path, calibration=inputs)
    assert done.table["n_calibration"].tolist() == [120]
    both = [Runner(source), Runner(done.files[0])]
    answers = [[runner.run(np.float32([x]))[0].item() for x in np.linspace(0, 6, 25)] for runner in both]
    assert np.corrcoef(answers)[0, 1] > 0.99
    kept = calibrate(source, inputs, out=tmp_path / "angles.npz")
    again = export(source, tmp_path / "again", statistics=kept.statistics)
    assert read_graph(again.files[0]).tensors[0].scale == read_graph(done.files[0]).tensors[0].scale
    with pytest.raises(UserError, match="not one picture of a known size"):
        export(source, tmp_path / "no", calibration="scenes")


@pytest.mark.real
def test_nobody_calibrates_on_a_guess(shared, tmp_path):
    source = shared / "fixtures" / "wild" / "mlcommons__pretrainedResnet.tflite"
    with pytest.raises(UserError, match=r"a calibration at .* would be a guess\. State --input-range"):
        export(source, tmp_path, limit=20)
    assert not list(tmp_path.iterdir())
    done = export(source, tmp_path, limit=20, preprocess=StatedInput(input_range="0..255"))
    preprocess = read_info(done.files[0]).preprocess
    assert (preprocess.mean, preprocess.std) == (0.0, 1.0)


def test_a_scheme_that_changes_nothing_is_refused(files):
    graph = read_graph(files["float32 converter"])
    with pytest.raises(UserError, match=r"cannot do 'dynamic' in this network: (\d+) of \1 layers stay float32"):
        remarks(parse_recipe("dynamic"), "ai_edge_quantizer", graph, graph)


def test_unknown_weights_are_refused_before_tensorflow_is_loaded(tmp_path):
    code = (
        "import sys; from effnet_lab.names import UserError; from effnet_lab.quantize import export; "
        "from effnet_lab.training import train\n"
        "for question in (lambda: export('micro9', 'x'), lambda: export('micro0', 'x', format='int88'), "
        "lambda: train(start='micro9')):\n"
        "    try: question()\n"
        "    except UserError as error: print(error)\n"
        "print('tensorflow' in sys.modules, 'ai_edge_quantizer' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("Did you mean")[0] for line in said[:3]] == [
        "Unknown model 'micro9'. ", "Unknown format 'int88'. ", "Unknown model 'micro9'. ",
    ]  # fmt: skip
    assert said[3] == "False False"


def test_weights_are_opened_at_another_size():
    model = load_model("micro0")
    larger = at_size(model, 96)
    assert (larger.spec.resolution, larger.preprocess.size_px, larger.keras.input_shape[1:3]) == (96, 96, (96, 96))
    assert to_bytes(at_size(larger, model.preprocess.size_px)) == to_bytes(model)
