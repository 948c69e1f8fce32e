"""Weights that are damaged, lie, or belong to something else: one line, and nothing left behind."""

from __future__ import annotations

import errno
import functools
import http.server
import io
import json
import struct
import tarfile
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pooch
import pytest
import tensorflow as tf
import tf_keras
from safetensors.numpy import load_file, save_file

from effnet_lab.litert import read_graph
from effnet_lab.models.catalog import require_weights
from effnet_lab.models.variables import variables
from effnet_lab.models.weights import (
    about,
    archive,
    checkpoint,
    keras_file,
    load_model,
    native,
    save_model,
    tflite_walk,
)
from effnet_lab.models.weights import files as downloads
from effnet_lab.models.weights.mapping import variable_shapes
from effnet_lab.models.weights.tflite_walk import OtherNetworkError
from effnet_lab.names import UserError
from effnet_lab.quantize import float_file
from effnet_lab.scaling import get_spec
from effnet_lab.training import train


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Temporary folders go where the test sees that they are gone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def micro():
    return load_model("micro0")


def refused(source, match: str, variant: str | None = None) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(UserError, match=match) as error:
        load_model(source, variant)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- archives


def tar(path, members: list[tuple[tarfile.TarInfo, bytes]]):
    with tarfile.open(path, "w:gz") as file:
        for member, content in members:
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


INDEX = (tarfile.TarInfo("lite/model.ckpt.index"), b"index")


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (tarfile.TarInfo("../model.ckpt.index"), "points outside the archive"),
        (tarfile.TarInfo("lite/../../x"), "points outside the archive"),
        (tarfile.TarInfo("/tmp/model.ckpt.index"), "points outside the archive"),
        (link("lite/checkpoint", tarfile.SYMTYPE), "link or a device"),
        (link("lite/checkpoint", tarfile.LNKTYPE), "link or a device"),
        (link("lite/checkpoint", tarfile.CHRTYPE), "link or a device"),
        (tarfile.TarInfo("other/model.ckpt.index"), "more than once"),
    ],
    ids=["parent", "hidden parent", "absolute", "symlink", "hard link", "device", "twice"],
)
def test_archives_that_reach_out(tmp_path, member, match):
    refused(tar(tmp_path / "a.tar.gz", [INDEX, (member, b"")]), match)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tar.gz", "scratch"]


def test_archives_that_are_too_large_or_empty(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar.gz", [INDEX])
    refused(path, f"{path.name}.*(Cannot read|damaged|not)|Cannot read the checkpoint")
    refused(tar(tmp_path / "b.tar.gz", [(tarfile.TarInfo("readme"), b"x")]), "holds no checkpoint")
    monkeypatch.setattr(archive, "MOST_BYTES", 3)
    refused(path, "unpacks to over 3 bytes")


@pytest.mark.real
@pytest.mark.parametrize("kept", [0, 20, 10_000, 1_000_000])
def test_truncated_archive(shared, tmp_path, kept):
    path = tmp_path / "efficientnet-lite0.tar.gz"
    path.write_bytes((shared / "fixtures/original" / path.name).read_bytes()[:kept])
    assert str(path) in refused(path, "Cannot unpack")


# --- checkpoints


def lite_checkpoint(folder, name: str = "lite0", change=lambda stored: None):
    """A checkpoint with averages, after `change` has damaged it."""
    shapes = variable_shapes(get_spec(name), 2)
    names = checkpoint.tf1_names(get_spec(name))
    stored = {f"efficientnet-{name}/{names[ours]}": np.ones(shape, np.float32) for ours, shape in shapes.items()}
    stored |= {f"{key}{checkpoint.EMA}": value for key, value in stored.items()}
    change(stored)
    folder.mkdir(exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt"),
        tensor_names=list(stored),
        shape_and_slices=[""] * len(stored),
        tensors=[tf.constant(value) for value in stored.values()],
    )
    return folder


KERNEL = f"efficientnet-lite0/blocks_3/conv2d_1/kernel{checkpoint.EMA}"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.update({KERNEL: s[KERNEL] * np.nan}), r"not finite numbers: 1 \(blocks_3_project/kernel\)"),
        (lambda s: s.pop(KERNEL), r"missing: 1 \(blocks_3/conv2d_1/kernel\); unexpected: none; wrong shape: none"),
        (
            lambda s: s.update({KERNEL: s[KERNEL][:, :, 1:]}),
            r"wrong shape: 1 \(blocks_3/conv2d_1/kernel \(1, 1, 143, 40\) ins",
        ),
        (lambda s: s.update({f"b/{KERNEL}": s[KERNEL]}), "under several scopes"),
        (
            lambda s: s.update({f"resnet/conv{checkpoint.EMA}": s[KERNEL]}),
            r"missing: none; unexpected: 1 \(resnet/conv\)",
        ),
    ],
    ids=["NaN", "missing", "wrong shape", "two networks", "one too many"],
)
def test_checkpoints_that_do_not_fit(tmp_path, change, match):
    refused(lite_checkpoint(tmp_path / "lite0", change=change), match)


def test_checkpoint_of_another_network(tmp_path):
    folder = tmp_path / "resnet"
    folder.mkdir()
    tf.raw_ops.SaveV2(
        prefix=str(folder / "m"), tensor_names=["resnet/kernel"], shape_and_slices=[""], tensors=[tf.zeros((3, 3))]
    )
    refused(folder, r"does not fit network 'lite0'. missing: 247 \(.*, \.\.\.\); unexpected: 1 \(resnet/kernel\)")
    refused(lite_checkpoint(tmp_path / "lite0"), r"It holds weights of 'lite0'. missing: \d+ \(", variant="lite2")


def test_damaged_checkpoints(tmp_path):
    folder = lite_checkpoint(tmp_path / "lite0")
    data = folder / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100_000])
    refused(folder, "Cannot read the checkpoint")
    data.unlink()
    refused(folder, "Cannot read the checkpoint")
    (folder / "model.ckpt.index").write_text("just some text")
    refused(folder, "Cannot read the checkpoint")
    (folder / "other.index").write_text("")
    refused(folder, "holds no checkpoint, or several")
    (tmp_path / "model.ckpt-1").write_text("a text")
    refused(tmp_path / "model.ckpt-1", "Cannot read the checkpoint")


# --- .safetensors and pickles


def header_of(content: bytes) -> tuple[dict, bytes]:
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_header(header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


LIES = {
    "longer than the file": lambda h: h["head_dense/bias"].update(data_offsets=[0, 10**12]),
    "backwards": lambda h: h["head_dense/bias"].update(data_offsets=[40, 0]),
    "overlapping": lambda h: h["head_dense/bias"].update(data_offsets=[4, 44]),
    "shape": lambda h: h["head_dense/bias"].update(shape=[11]),
    "huge shape": lambda h: h["head_dense/bias"].update(shape=[2**62, 8]),
    "another type": lambda h: h["head_dense/bias"].update(dtype="F64"),
    "unknown type": lambda h: h["head_dense/bias"].update(dtype="F12"),
    "no shape": lambda h: h["head_dense/bias"].pop("shape"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_header(micro, tmp_path, lie):
    header, body = header_of(native.to_bytes(micro))
    LIES[lie](header)
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(header, body))
    refused(path, "Cannot read .*model.safetensors")


@pytest.mark.parametrize("size", [0, 10, 2**20, 2**40, 2**64 - 1])
def test_lying_size_of_the_header(micro, tmp_path, size):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", size) + native.to_bytes(micro)[8:])
    refused(path, "Cannot read .*model.safetensors")


def test_lying_metadata_and_nan(micro, tmp_path):
    path, tensors = tmp_path / "model.safetensors", {k: v.numpy() for k, v in variables(micro.keras).items()}
    for text in ("{", "[]", "{}", json.dumps(json.loads(about.to_json(micro)) | {"spec": {"name": "x"}})):
        save_file(tensors, path, {about.KEY: text})
        refused(path, "its effnet-lab metadata")
    for field, value in (("repeats", 10**5), ("repeats", 2**40), ("channels", 2**40)):
        known = json.loads(about.to_json(micro))
        known["spec"]["stages"][3][field] = value
        save_file(tensors, path, {about.KEY: json.dumps(known)})
        refused(path, "are accepted")
    tensors["head_conv/kernel"] = tensors["head_conv/kernel"] * np.inf
    save_file(tensors, path, {about.KEY: about.to_json(micro)})
    refused(path, r"not finite numbers: 1 \(head_conv/kernel\)")


@pytest.mark.real
def test_timm_file_that_is_not_lite(shared, tmp_path):
    state = load_file(shared / "fixtures/timm/tf_efficientnet_lite0_random.safetensors")
    state["bn1.weight"][3] = np.nan
    save_file(state, tmp_path / "nan.safetensors")
    refused(tmp_path / "nan.safetensors", r"not finite numbers: 1 \(stem_conv_bn/gamma\)")
    state["blocks.0.0.se.conv_reduce.weight"] = state.pop("conv_head.weight")
    save_file(state, tmp_path / "b0.safetensors")
    refused(
        tmp_path / "b0.safetensors",
        r"not written by effnet-lab, and .* missing: 1 \(conv_head.weight\); unexpected: 1 \(blocks.0.0.se.conv_reduce",
    )


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl"])
def test_pickles_are_never_opened(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    refused(path, "is a pickle.*safetensors.torch.save_file")


# --- Keras files


def test_lambda_layers_are_never_executed(tmp_path):
    marker = tmp_path / "executed"
    code = tf_keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"), name="evil")
    image = tf_keras.Input((32, 32, 3))
    inner = tf_keras.Model(image, code(image))
    outer = tf_keras.Model(image, inner(image))
    marker.unlink()
    for name, keras in (("plain", inner), ("nested", outer)):
        config = json.dumps({"class_name": "Functional", "config": keras.get_config()})
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.attrs["model_config"] = config
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w") as file:
            file.writestr("config.json", config)
            content = io.BytesIO()
            h5py.File(content, "w").close()
            file.writestr("model.weights.h5", content.getvalue())
        for suffix in (".h5", ".keras"):
            refused(tmp_path / f"{name}{suffix}", "has a Lambda layer, which is code")
    assert not marker.exists()


def test_other_keras_files(micro, tmp_path):
    path = tmp_path / "model.h5"
    keras_file.save(micro, path)
    whole = path.read_bytes()
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = "mine>Surprise"
        file.attrs["model_config"] = json.dumps(config)
    refused(path, "layers that no network of this project has: mine>Surprise")
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = "{"
    refused(path, "its configuration is damaged")
    for content in (b"", b"just some text", whole[:1000], whole[: len(whole) // 2]):
        for name in ("model.h5", "model.weights.h5", "model.keras"):
            (tmp_path / name).write_bytes(content)
            refused(tmp_path / name, f"Cannot read .*{name}")
    path.write_bytes(whole)
    (tmp_path / "secret").write_bytes(bytes(40))
    with h5py.File(path, "a") as file:
        del file["model_weights/head_dense/head_dense/bias:0"]
        file["model_weights/head_dense/head_dense"].create_dataset(
            "bias:0", (10,), "f4", external=[(str(tmp_path / "secret"), 0, 40)]
        )
    refused(path, "not a plain array of numbers stored in this file")
    for name in ("effnet_lab", "model_weights", "layers"):
        path.write_bytes(whole)
        (tmp_path / "elsewhere.h5").write_bytes(whole)
        with h5py.File(path, "a") as file:
            if name in file:
                del file[name]
            file[name] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/model_weights")
        refused(path, f"'{name}' is a link to somewhere else")


def test_unknown_layers_are_listed(tmp_path):
    image = tf_keras.Input((32, 32, 3))
    other = tf_keras.Model(image, tf_keras.layers.Conv2D(3, 1, name="mine")(image))
    other.save_weights(tmp_path / "other.h5")
    refused(tmp_path / "other.h5", r"missing: \d+ \(stem_conv/kernel, .*unexpected: 2 \(mine/bias, mine/kernel\)")


# --- .tflite, SavedModel


def test_files_that_are_no_lite_network(files, tmp_path):
    text = tmp_path / "text.tflite"
    text.write_text("just some text, not a model")
    refused(text, "is not a .tflite file")
    path = files["float32 converter"]
    refused(path, r"is not network 'micro2'. missing: \d+ \(.*unexpected: \d+ \(", variant="micro2")


def test_almost_the_network(files, tmp_path, monkeypatch):
    """A file whose ops have the right kinds and shapes, but another function."""
    from effnet_lab.litert.flatbuffer import pack, parse

    for change, match in (
        (lambda op: setattr(op.builtinOptions, "fusedActivationFunction", 1), "stem_conv lacks a ReLU6"),
        (lambda op: setattr(op.builtinOptions, "padding", 1), "stem_conv has no SAME padding"),
        (lambda op: setattr(op.builtinOptions, "strideH", 1), "stem_conv has stride 1x2 instead of 2"),
    ):
        tree = parse(files["float32 converter"])
        change(tree.subgraphs[0].operators[0])
        (tmp_path / "almost.tflite").write_bytes(pack(tree))
        refused(tmp_path / "almost.tflite", match)
    graph = read_graph(files["float32 converter"])
    add = next(op.index for op in graph.ops if op.kind == "add")
    tree = parse(files["float32 converter"])
    tree.subgraphs[0].operators[add].inputs = [graph.ops[add].inputs[1]] * 2
    (tmp_path / "almost.tflite").write_bytes(pack(tree))
    refused(tmp_path / "almost.tflite", "_add reads .* instead of")


def test_saved_models_that_are_not_whole(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 20)
    refused(tmp_path, "Cannot read .*saved_model.pb")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    refused(tmp_path, "variables.index is missing")


# --- names


def test_what_is_no_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    refused(tmp_path / "model.onnx", "is not a known kind of weights")
    refused(tmp_path / "none.h5", "Unknown model")
    refused("micro9", "Did you mean 'micro0'|Did you mean")
    refused("imagenet", "needs a variant: one of lite0")
    refused("imagenet", "Unknown variant with official weights", variant="micro0")
    refused("micro0", "holds weights of 'micro0'. Got variant 'lite9'", variant="lite9")
    with pytest.raises(UserError, match=r"Unknown format '\.onnx'"):
        save_model(load_model("micro0"), tmp_path / "model.onnx")


# --- downloads


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A host with one file on the loopback interface; gives its requests, and the cache that is filled from it."""
    site, cache, requested = tmp_path / "site", tmp_path / "cache", []
    site.mkdir()
    (site / "weights.tar.gz").write_bytes(b"weights" * 1000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requested.append(self.path)

    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=host.serve_forever, daemon=True).start()
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    register(monkeypatch, f"http://127.0.0.1:{host.server_port}/weights.tar.gz")
    yield requested, cache
    host.shutdown()
    host.server_close()


def register(monkeypatch, url: str, sha256: str = "") -> None:
    monkeypatch.setitem(downloads.REMOTE, "imagenet-lite0", downloads.Remote(url=url, sha256=sha256))


def test_download_once_and_verify_ever_after(server, capfd):
    requested, cache = server
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: downloads.fetch("imagenet-lite0", progress=False), range(4)))
    assert (len(paths), len(requested)) == (1, 1)
    path = paths.pop()
    assert path.read_bytes() == b"weights" * 1000
    assert sorted(file.name for file in cache.iterdir()) == ["weights.tar.gz", "weights.tar.gz.sha256"]
    assert path.with_name("weights.tar.gz.sha256").read_text().split()[0] == pooch.file_hash(str(path))
    path.write_bytes(b"other")
    with pytest.raises(UserError, match=r"has SHA-256 .* was expected. Remove it and weights.tar.gz.sha256"):
        downloads.fetch("imagenet-lite0", progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown(server, capfd):
    downloads.fetch("imagenet-lite0")
    assert "7.00k" in capfd.readouterr().err


@pytest.mark.parametrize("known", ["0aa007d2", "f" * 64])
def test_wrong_hash_leaves_nothing(server, monkeypatch, known):
    _requested, cache = server
    register(monkeypatch, downloads.REMOTE["imagenet-lite0"].url, known)
    refused("imagenet", rf"has SHA-256 [0-9a-f]{{64}}, but {known} was expected", variant="lite0")
    assert not list(cache.iterdir())


def test_full_disk_leaves_nothing(server, monkeypatch):
    _requested, cache = server

    def full(self, url, output_file, *_):
        with open(output_file, "wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    refused("imagenet", "No space left in .*cache for weights.tar.gz", variant="lite0")
    assert not list(cache.iterdir())


def test_interrupted_download_starts_again(server, monkeypatch):
    _requested, cache = server
    with monkeypatch.context() as broken:

        def interrupted(self, url, output_file, *_):
            raise KeyboardInterrupt

        broken.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            downloads.fetch("imagenet-lite0")
    assert not list(cache.iterdir())
    assert downloads.fetch("imagenet-lite0", progress=False).is_file()


def test_offline_says_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(tmp_path / "cache"))
    register(monkeypatch, "http://127.0.0.1:9/lite/efficientnet-lite0.tar.gz")
    line = refused("imagenet", "Cannot download .* Without a network, put that file at", variant="lite0")
    assert str(tmp_path / "cache" / "efficientnet-lite0.tar.gz") in line
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.real
def test_archive_put_there_by_hand(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(tmp_path))
    name = "efficientnet-lite0.tar.gz"
    (tmp_path / name).write_bytes((shared / "fixtures/original" / name).read_bytes())
    assert load_model("imagenet", "lite0", classes=3).keras.output_shape == (None, 3)
    assert (tmp_path / f"{name}.sha256").is_file()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 7}, "name = '7'"),
        ({"name": ["a"]}, "name ="),
        ({"depth": True}, "depth = 'True'"),
        ({"dropout": float("nan")}, "dropout = 'nan'"),
        ({"stem": "32"}, "stem = '32'"),
        ({"stages": [{"kernel": 3.5, "stride": 1, "expansion": 1, "channels": 8, "repeats": 1}]}, "kernel = '3.5'"),
    ],
)
def test_a_specification_of_other_types_is_refused(change, says):
    from dataclasses import asdict

    from effnet_lab.models.weights import about
    from effnet_lab.scaling import get_spec

    spec = {"spec": asdict(get_spec("micro0")) | change, "name": "n", "classes": [], "preprocess": {"size_px": 32}}
    with pytest.raises(UserError, match=says):
        about.from_json(json.dumps(spec), "file")


def test_a_models_name_does_not_lead_out_of_the_folder(tmp_path):
    from effnet_lab.quantize.files import file_name, paths_of
    from effnet_lab.quantize.schemes import get_scheme

    (path,) = paths_of("../../out/side\x1b", [(get_scheme("int8"), "converter")], tmp_path)
    assert path.parent == tmp_path
    assert path.name == "_.._out_side_.static_wi8_ai8.converter.tflite"
    assert file_name("../..") == "_.."
    assert file_name("") == "model"


# --- .tflite files of other architectures


@pytest.mark.real
def test_a_file_of_another_architecture_is_refused_by_one_function(shared):
    """Wherever weights are needed; only where a float network is, a quantized file is told what would do."""
    wild = shared / "fixtures" / "wild"
    quantized, plain = wild / "mlcommons__vww_96_int8.tflite", wild / "mlcommons__vww_96_float.tflite"
    for path in (quantized, plain):
        for refuse in (require_weights, load_model, functools.partial(train, start=path)):
            with pytest.raises(OtherNetworkError, match="is not an EfficientNet-Lite"):
                refuse(*([] if isinstance(refuse, functools.partial) else [path]))
    for refuse in (float_file.require_weights, float_file.open_weights):
        with pytest.raises(UserError, match=r"is quantized already \(static_wi8_ai8\).* Start from the float32 file"):
            refuse(quantized)
        with pytest.raises(OtherNetworkError, match="is not an EfficientNet-Lite"):
            refuse(plain)


def test_a_file_is_parsed_once(files, monkeypatch):
    parses = []
    parse = tflite_walk.parse
    monkeypatch.setattr(tflite_walk, "parse", lambda path: parses.append(path) or parse(path))
    monkeypatch.setattr("effnet_lab.litert.graph.parse", None)
    monkeypatch.setattr("effnet_lab.litert.metadata.parse", None)
    path = files["float32 converter"]
    assert float_file.open_weights(path).name == "micro0"
    assert parses == [path]
