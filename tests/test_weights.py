"""Weights of every origin give their origin's own numbers. Each golden says which code made it."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from safetensors.numpy import save_file

from effnet_lab.images import Preprocess, open_images
from effnet_lab.litert import Runner, float_twin, input_values, read_info
from effnet_lab.models import features
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import variables
from effnet_lab.models.weights import archive, checkpoint, load_model, origins, save_model, saved_model, tflite
from effnet_lab.models.weights import timm as timm_weights
from effnet_lab.models.weights.assemble import default_names
from effnet_lab.models.weights.mapping import fit, variable_shapes
from effnet_lab.models.weights.tflite_walk import Affine
from effnet_lab.names import UserError
from effnet_lab.scaling import LITE, MICRO, get_spec

TINY = replace(MICRO["micro0"], name="tiny", width=0.05, depth=0.1)
EMA = checkpoint.EMA
OWN_TFLITE = [f"{scheme} converter" for scheme in ("float32", "float16", "dynamic_wi8_afp32", "static_wi8_ai8")]


def closeness(found, golden) -> float:
    """Largest difference, relative to the largest magnitude."""
    return float(np.abs(np.asarray(found, np.float64) - golden).max() / np.abs(golden).max())


def softmax(logits) -> np.ndarray:
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def arrays(model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in variables(model.keras).items()}


def same_weights(one, other) -> bool:
    mine, theirs = arrays(one), arrays(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.fixture(scope="module")
def tiny():
    """Untrained three-class network in which no variable has its initial value."""
    return random_model(TINY, 3, Preprocess(size_px=32, crop=0.9), ("a", "b", "c"))


@pytest.fixture(scope="module")
def micro():
    """The same of a named variant."""
    return random_model(get_spec("micro0"), 4, origins.original(get_spec("micro0")), ("0", "1", "2", "3"))


def random_model(spec, classes, preprocess, names):
    keras = build_model(spec, classes)
    rng = np.random.default_rng(0)
    keras.set_weights([value + rng.uniform(0.1, 1, value.shape).astype(np.float32) for value in keras.get_weights()])
    return LoadedModel(name=f"my {spec.name}", spec=spec, keras=keras, preprocess=preprocess, classes=names)


# --- tensorflow/tpu


@pytest.fixture(scope="module")
def original(shared):
    """Lite0 from an archive in the official layout, and what the original code computed with it."""
    folder = shared / "fixtures" / "original"
    return load_model(folder / "efficientnet-lite0.tar.gz"), np.load(folder / "golden_efficientnet-lite0.npz")


@pytest.mark.real
def test_original_checkpoint_gives_the_originals_logits(original):
    """Golden: tensorflow/tpu's own graph, averages restored by its EvalCkptDriver."""
    model, golden = original
    assert (model.spec, len(model.classes)) == (get_spec("lite0"), 1000)
    assert (model.classes[0], default_names(1001)[:2]) == ("n01440764", ("background", "n01440764"))
    batch = model.preprocess.normalise(golden["images"])
    np.testing.assert_array_equal(batch[0], golden["input0"])
    network = features.features_model(model, ["features", "pooled_features", "head"])
    last, pooled, logits = network.predict_on_batch(batch)
    assert closeness(logits, golden["logits"]) < 1e-4
    assert closeness(pooled, golden["pooled_features"]) < 1e-4
    assert closeness(last[0], golden["features0"]) < 1e-4
    assert closeness(logits, golden["logits_raw_weights"]) > 0.5


@pytest.mark.real
def test_from_photograph_to_probabilities(original, shared):
    """Golden: the original driver on a JPEG: decode, crop, resize, normalise, averages, softmax.

    From its own crop on: it decodes only the window, which may change the chroma of the last column by 9 grey levels.
    """
    model, _ = original
    golden = np.load(shared / "fixtures/original/e2e_probs_efficientnet-lite0.npz")
    windows = np.load(shared / "fixtures/preprocess/golden_preprocess.npz")
    whole = replace(model.preprocess, crop=1.0)
    for key in golden.files:
        window = windows[key.split("_")[0] + "_efficientnet-lite0_crop_uint8"]
        logits = model.keras.predict_on_batch(whole(window)[None])[0]
        assert closeness(softmax(logits), golden[key]) < 1e-4, key


@pytest.mark.real
def test_every_endpoint_of_the_original(original, shared):
    """Golden: statistics of the original graph's endpoints (ep_) and activated depthwise outputs (ex_), image 0."""
    model, golden = original
    recorded = json.loads((shared / "fixtures/original/endpoints_efficientnet-lite0.json").read_text())[
        "endpoints_image0"
    ]
    names = {key: key[3:] if key.startswith("ep_") else f"block_{key[3:]}/expansion_output" for key in recorded}
    network = features.features_model(model, list(names.values()))
    maps = network.predict_on_batch(model.preprocess.normalise(golden["images"][:1]))
    for (key, expected), found in zip(recorded.items(), maps, strict=True):
        found, scale = np.squeeze(found, 0), max(abs(expected["min"]), abs(expected["max"]))
        assert tuple(expected["shape"]) in (found.shape, (1, 1, *found.shape)), key
        flat = found.ravel()
        for what, value in {"mean": flat.mean(), "std": flat.std(), "min": flat.min(), "max": flat.max()}.items():
            assert abs(value - expected[what]) < 1e-4 * scale, (key, what)
        assert np.abs(flat[:8] - expected["first8"]).max() < 1e-4 * scale, key
        assert np.abs(flat[-8:] - expected["last8"]).max() < 1e-4 * scale, key


@pytest.mark.real
def test_raw_weights_are_another_network(shared):
    """Golden: the original's restore_model(enable_ema=False)."""
    folder = shared / "fixtures" / "original"
    golden = np.load(folder / "golden_efficientnet-lite0.npz")
    with archive.unpacked(folder / "efficientnet-lite0.tar.gz") as unpacked:
        assert (unpacked / "checkpoint").is_file()
        raw = checkpoint.load(unpacked, ema=False)
    logits = raw.keras.predict_on_batch(raw.preprocess.normalise(golden["images"][:1]))
    assert closeness(logits, golden["logits_raw_weights"][:1]) < 1e-4


def write_checkpoint(variables: dict[str, np.ndarray], prefix) -> None:
    """A checkpoint as TF1's Saver writes it, with the op that Saver runs."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[tf.constant(value) for value in variables.values()],
    )


def random_variables(shapes, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes}


@pytest.mark.real
@pytest.mark.parametrize("name", LITE)
def test_names_and_shapes_of_the_original(shared, name):
    """Golden: every variable of the original's graph, in creation order, which is the forward order."""
    facts = json.loads((shared / f"fixtures/facts/efficientnet-{name}.json").read_text())
    stored = random_variables([(entry["name"], entry["shape"]) for entry in facts["variables"]])
    stored |= {f"{key}{EMA}": value + 1 for key, value in stored.items()}
    assert set(facts["ema_names"]) == {key for key in stored if key.endswith(EMA)}
    stored["global_step"] = np.array(7)
    stored[facts["variables"][0]["name"] + "/RMSProp"] = np.zeros((3, 3, 3, 32), np.float32)
    spec, found = fit(checkpoint.own_variables(stored, "facts"), checkpoint.tf1_names, source="facts")
    assert spec.name == name
    assert found.keys() == variable_shapes(spec, 1000).keys()
    for (_ours, value), entry in zip(found.items(), facts["variables"], strict=True):
        np.testing.assert_array_equal(value, stored[entry["name"] + EMA])


def test_arithmetic_and_keras_have_the_same_variables():
    spec = get_spec("lite4")
    keras = {key: tuple(variable.shape) for key, variable in variables(build_model(spec, 7)).items()}
    assert variable_shapes(spec, 7) == keras


def test_checkpoint_from_folder_prefix_and_index(tmp_path):
    spec = get_spec("lite3")
    shapes = variable_shapes(spec, 5)
    stored = random_variables(
        [(f"efficientnet-lite3/{theirs}", shapes[ours]) for ours, theirs in checkpoint.tf1_names(spec).items()]
    )
    write_checkpoint(stored | {"global_step": np.array(3, np.int64)}, tmp_path / "model.ckpt-3")
    model = load_model(tmp_path)
    assert (model.spec, model.preprocess.size_px, model.classes) == (spec, 280, ("0", "1", "2", "3", "4"))
    np.testing.assert_array_equal(
        model.keras.get_layer("blocks_7_project_bn").gamma.numpy(),
        stored["efficientnet-lite3/blocks_7/batch_normalization_2/gamma"],
    )
    for path in ("model.ckpt-3", "model.ckpt-3.index"):
        assert checkpoint.prefix_of(tmp_path / path) == tmp_path / "model.ckpt-3"
    with pytest.raises(
        UserError, match=r"does not fit network 'lite1'. It holds weights of 'lite3'. missing: none; unexpected: \d+ \("
    ):
        load_model(tmp_path / "model.ckpt-3", "lite1")


# --- timm


@pytest.fixture(scope="module")
def timm_file(shared):
    return shared / "fixtures/timm/tf_efficientnet_lite0_random.safetensors"


@pytest.mark.real
def test_timm_weights_give_timms_numbers(shared, timm_file):
    """Golden: timm 1.0.31 itself, with the same file."""
    model, golden = load_model(timm_file), np.load(shared / "fixtures/timm/golden_timm_lite0.npz")
    batch = model.preprocess.normalise(golden["images"])
    assert np.abs(batch[0] - golden["input0"].transpose(1, 2, 0)).max() < 1e-6
    logits, pooled, last = features.features_model(model, ["head", "pooled_features", "head_1x1"]).predict_on_batch(
        batch
    )
    assert closeness(logits, golden["logits_float64"]) < 1e-4
    assert closeness(pooled, golden["pooled_features"]) < 1e-4
    assert closeness(last[0], golden["forward_features"][0].transpose(1, 2, 0)) < 1e-4
    pyramid = features.features_model(model, features_only=True).predict_on_batch(batch[:1])
    assert [224 // level.shape[1] for level in pyramid] == [2, 4, 8, 16, 32]
    for i in (2, 3, 4):
        assert closeness(pyramid[i][0], golden[f"features_only_{i}_image0"].transpose(1, 2, 0)) < 1e-4, i
    other = model.keras.predict_on_batch((golden["images"] - np.float32(127)) / np.float32(128))
    assert closeness(other, golden["logits_with_original_127_128_normalisation"]) < 1e-4


@pytest.mark.real
@pytest.mark.parametrize("name", LITE)
def test_keys_and_preprocessing_of_timm(shared, tmp_path, name):
    """Golden: every key of timm's state dict, and its default configuration."""
    facts = json.loads((shared / "fixtures/timm/timm_facts.json").read_text())["models"][f"tf_efficientnet_{name}"]
    state = random_variables([(key, shape) for key, shape, _dtype in facts["state_dict"]])
    save_file(state, tmp_path / "model.safetensors")
    if name in ("lite1", "lite4"):  # once all the way; the rest by names, which is quicker
        model = load_model(tmp_path / "model.safetensors")
        spec, rule, size = model.spec, model.preprocess, model.keras.input_shape[1]
        assert model.spec.name == name
    else:
        ours = {key: timm_weights._keras_layout(key, value) for key, value in state.items() if "num_batches" not in key}
        spec, found = fit(ours, timm_weights.timm_names, source="facts")
        rule, size = origins.timm(spec), facts["input_size"][1]
        np.testing.assert_array_equal(
            found["blocks_2_project/kernel"][0, 0], state["blocks.1.1.conv_pwl.weight"][..., 0, 0].T
        )
    assert (spec.name, size, rule.size_px) == (name, facts["input_size"][1], facts["input_size"][1])
    assert (rule.crop, rule.interpolation) == (facts["crop_pct"], facts["interpolation"])
    assert rule.order == "resize_first"
    assert (rule.mean / 255, rule.std / 255) == (facts["mean"][0], facts["std"][0])


# --- this project's files


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5", ".weights.h5"])
def test_own_files_round_trip(tiny, tmp_path, suffix):
    path = tmp_path / "folder" / f"model{suffix}"
    save_model(tiny, path)
    again = load_model(path)
    assert same_weights(tiny, again)
    assert (again.name, again.spec, again.preprocess, again.classes) == (tiny.name, TINY, tiny.preprocess, tiny.classes)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with pytest.raises(UserError, match="lite0"):
        load_model(path, "lite0")


def test_keras_reads_these_files_like_its_own(tiny, tmp_path):
    for suffix in (".keras", ".h5", ".weights.h5"):
        save_model(tiny, tmp_path / f"model{suffix}")
    fresh = build_model(TINY, 3)
    fresh.load_weights(tmp_path / "model.weights.h5")
    for keras in (fresh, *(tf_keras.models.load_model(tmp_path / f"model{suffix}") for suffix in (".keras", ".h5"))):
        assert all(np.array_equal(a, b) for a, b in zip(keras.get_weights(), tiny.keras.get_weights(), strict=True))


def test_files_that_keras_wrote_are_recognised(micro, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        micro.keras.save(tmp_path / "a.keras")
        micro.keras.save(tmp_path / "b.h5")
        micro.keras.save_weights(tmp_path / "c.h5")
        micro.keras.save_weights(tmp_path / "d.weights.h5")
    for name in ("a.keras", "b.h5", "c.h5", "d.weights.h5"):
        again = load_model(tmp_path / name)
        assert again.spec.name == "micro0", name
        assert same_weights(micro, again), name
        assert again.preprocess == micro.preprocess, name


def test_b0_has_gates_and_round_trips(tmp_path):
    spec = replace(get_spec("b0"), resolution=32)
    model = random_model(spec, 3, Preprocess(size_px=32), ("a", "b", "c"))
    assert variable_shapes(spec, 3) == {key: value.shape for key, value in arrays(model).items()}
    save_model(model, tmp_path / "b0.weights.h5")
    assert same_weights(model, load_model(tmp_path / "b0.weights.h5"))


# --- SavedModel, TF Hub


@pytest.mark.parametrize("how", ["export", "save"])
def test_saved_models_of_this_project(micro, tmp_path, how):
    from effnet_lab.quiet import quiet

    folder = tmp_path / "model"
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        micro.keras.export(folder) if how == "export" else micro.keras.save(folder, save_format="tf")
    again = load_model(folder)
    assert (again.spec.name, again.preprocess) == ("micro0", micro.preprocess)
    assert same_weights(micro, again)
    saved_model.write_about(replace(micro, name="mine", classes=("a", "b", "c", "d")), folder)
    again = load_model(folder)
    assert (again.name, again.classes) == ("mine", ("a", "b", "c", "d"))


def hub_module(folder, spec, side_px: int, classes: int) -> dict[str, np.ndarray]:
    """A module in the TF1 Hub format, as far as its variables and signature go."""
    from tensorflow.core.protobuf import saved_model_pb2

    shapes = variable_shapes(spec, classes)
    names = {
        ours: f"module/efficientnet-{spec.name}/{theirs}"
        for ours, theirs in checkpoint.tf1_names(spec).items()
        if ours in shapes
    }
    names = {ours: name.replace("batch_norm", "tpu_batch_norm") for ours, name in names.items()}
    stored = random_variables([(names[ours], shape) for ours, shape in shapes.items()])
    (folder / "variables").mkdir(parents=True)
    write_checkpoint(stored, folder / "variables" / "variables")
    graph = saved_model_pb2.SavedModel().meta_graphs.add()
    for size in (-1, side_px, side_px, 3):
        graph.signature_def["default"].inputs["images"].tensor_shape.dim.add().size = size
    content = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[graph])
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return {ours: stored[name] for ours, name in names.items()}


def test_hub_module_with_and_without_classifier(tmp_path):
    stored = hub_module(tmp_path / "classifier", get_spec("lite1"), 240, 6)
    model = load_model(tmp_path / "classifier")
    assert (model.spec.name, len(model.classes)) == ("lite1", 6)
    assert all(np.array_equal(arrays(model)[name], value) for name, value in stored.items())
    # the module takes x in [0, 1] and computes (255 x - 127) / 128 of the whole image
    image = np.random.default_rng(0).integers(0, 256, (240, 240, 3), np.uint8)
    np.testing.assert_allclose(model.preprocess(image), (image / 255.0 * 255.0 - 127.0) / 128.0, atol=1e-6)
    hub_module(tmp_path / "vector", get_spec("lite3"), 300, 0)
    headless = load_model(tmp_path / "vector")
    assert (headless.spec.resolution, headless.classes) == (300, ())
    assert headless.keras.output_shape == (None, 1280)
    assert load_model(tmp_path / "vector", classes=2).keras.output_shape == (None, 2)


# --- .tflite


@pytest.fixture(scope="module")
def flowers_file(shared):
    return shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"


@pytest.mark.real
def test_imported_flowers_model_agrees_with_the_interpreter(flowers_file, flowers_cache):
    """Golden: LiteRT's own output of a file that TensorFlow Lite Model Maker wrote."""
    model, runner = load_model(flowers_file), Runner(flowers_file)
    assert (model.spec.name, model.classes) == ("lite0", read_info(flowers_file).classes)
    assert (model.preprocess.mean, model.preprocess.std) == (127.0, 1.0)  # its 255 and -127 are folded in
    images, theirs = open_images("flowers160", limit=200), read_info(flowers_file).preprocess
    mine, labels, interpreter = [], [], []
    for (batch, label), (other, _) in zip(images.batches(model.preprocess), images.batches(theirs), strict=True):
        mine.append(model.keras.predict_on_batch(batch).argmax(1))
        interpreter.append(runner.predict(other).argmax(1))
        labels.append(label)
    mine, interpreter, labels = map(np.concatenate, (mine, interpreter, labels))
    assert (mine == interpreter).mean() >= 0.98
    assert abs((mine == labels).mean() - (interpreter == labels).mean()) <= 0.0101  # 0.5 points on all 3,670


@pytest.mark.parametrize("scheme", OWN_TFLITE)
def test_own_tflite_files_come_back(files, scheme):
    """Golden: LiteRT on the file; for integer weights, on its float twin, which rounds no activations."""
    path, info = files[scheme], read_info(files[scheme])
    model, runner = load_model(path), Runner(path if scheme.startswith("float") else float_twin(path))
    assert (model.spec.name, model.preprocess, model.classes) == ("micro0", info.preprocess, info.classes)
    batch = np.concatenate([batch for batch, _ in open_images("scenes", limit=20).batches(info.preprocess)])
    assert closeness(softmax(model.keras.predict_on_batch(batch)), runner.predict(batch)) < 1e-4


@pytest.mark.parametrize(
    ("before", "mean", "std"),
    [
        (Affine(255.0, -127.0), 127.0, 1.0),  # TF Hub: images in [0, 1]
        (Affine(2.0, -1.0), 127.5, 127.5),
        (Affine(1 / 128, -127 / 128), 127.0, 128.0),  # grey levels
        (Affine(1.0, -127.0), 127.0, 1.0),
    ],
)
def test_what_a_float_file_does_to_its_image_is_preprocessing(before, mean, std):
    given = input_values._before(np.array([before.factor]), np.array([before.shift]))
    rule = tflite._fold(Preprocess(size_px=224, mean=given[0], std=given[1]), before, "x.tflite")
    assert (rule.mean, rule.std) == pytest.approx((mean, std))


def test_a_file_that_does_nothing_to_its_image_leaves_the_preprocessing_alone():
    rule = tflite._fold(Preprocess(size_px=224), Affine(), "x.tflite")
    assert (rule.mean, rule.std) == (127.0, 128.0)


# --- a new head, features


def test_new_head_keeps_the_backbone(tiny, tmp_path):
    save_model(tiny, tmp_path / "tiny.safetensors")
    one, same = (load_model(tmp_path / "tiny.safetensors", classes=5) for _ in range(2))
    assert same_weights(one, same)
    assert (one.classes, one.keras.output_shape) == (("0", "1", "2", "3", "4"), (None, 5))
    before, after = arrays(tiny), arrays(one)
    assert all(np.array_equal(before[name], after[name]) for name in before if not name.startswith("head_dense"))
    assert 0.3 < np.abs(after["head_dense/kernel"]).max() <= 1 / np.sqrt(5)
    assert load_model(tmp_path / "tiny.safetensors", classes=("cat", "dog")).classes == ("cat", "dog")
    with pytest.raises(UserError, match="classes must be"):
        load_model(tmp_path / "tiny.safetensors", classes=0)


def test_features_share_the_weights(tiny):
    batch = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    pooled = features.features_model(tiny).predict_on_batch(batch)
    kernel, bias = tiny.keras.get_weights()[-2:]
    np.testing.assert_allclose(pooled @ kernel + bias, tiny.keras.predict_on_batch(batch), rtol=1e-4)
    alone = build_model(TINY, top="features")
    alone.set_weights(features.features_model(tiny).get_weights())
    np.testing.assert_allclose(alone.predict_on_batch(batch), pooled, rtol=1e-5)
    assert len(features.features_model(tiny, features_only=True).outputs) == 5
    assert features.features_model(tiny, "blocks_0_dwconv_act").output_shape == (None, 16, 16, 8)
    with pytest.raises(UserError, match="Did you mean 'reduction_5'"):
        features.features_model(tiny, "reduction_6")
