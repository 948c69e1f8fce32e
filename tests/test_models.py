"""Models: layer by layer as the arithmetic says, top variants, and the project's own file of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from effnet_lab.cli.saying import refuse
from effnet_lab.images import Preprocess
from effnet_lab.models.build import build_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import embedded_models, load_model, native, save_model
from effnet_lab.names import UserError
from effnet_lab.scaling import MICRO, VARIANTS, get_spec, layer_counts

TINY = replace(MICRO["micro0"], name="tiny", width=0.05, depth=0.1)


@pytest.fixture(scope="module")
def tiny():
    """Untrained three-class network in which no variable has its initial value."""
    keras = build_model(TINY, 3)
    rng = np.random.default_rng(0)
    keras.set_weights([value + rng.uniform(0.1, 1, value.shape).astype(np.float32) for value in keras.get_weights()])
    return LoadedModel(
        name="my tiny", spec=TINY, keras=keras, preprocess=Preprocess(size_px=32, crop=0.9), classes=("a", "b", "c")
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_models_are_the_arithmetic(name):
    spec = get_spec(name)
    model = build_model(spec)
    built = {layer.name: layer for layer in model.layers}
    counted = layer_counts(spec)
    for row in counted.itertuples():
        layer, norm = built[row.layer], built.get(f"{row.layer}_bn")
        shape = layer.output_shape
        assert shape[-1] == row.out_channels, row.layer
        assert len(shape) == 2 or shape[1] == shape[2] == row.out_side_px, row.layer
        params = _trainable(layer) + (_trainable(norm) if norm else 0)
        assert params == row.params, row.layer
        kernel = next((w for w in layer.weights if "kernel" in w.name), None)
        madds = 0 if kernel is None else kernel.shape.num_elements() * row.out_side_px**2
        assert madds == row.madds, row.layer
    assert sum(map(_trainable, model.layers)) == counted["params"].sum()
    of_the_count = {layer.removesuffix("_bn").removesuffix("_act") for layer in built}
    extra = {layer for layer in of_the_count - set(counted["layer"]) if not layer.endswith("_drop")}
    assert extra == {"input", "head_dropout"}


def test_original_names_and_constants():
    model = build_model(get_spec("micro3"), 10)
    norm = model.get_layer("blocks_3_dwconv_bn")
    assert (norm.epsilon, norm.momentum) == (1e-3, 0.99)
    assert model.get_layer("blocks_3_expand_act").max_value == 6.0
    assert model.input_shape == (None, 96, 96, 3)
    assert model.name == "micro3"


def test_drop_connect_runs_over_the_scaled_blocks():
    model = build_model(get_spec("lite4"), 2)
    drops = {layer.name: layer.rate for layer in model.layers if layer.name.endswith("_drop")}
    last_add = max(int(name.split("_")[1]) for name in drops)
    blocks = 30
    assert drops[f"blocks_{last_add}_drop"] == pytest.approx(0.2 * last_add / blocks)
    assert model.get_layer(f"blocks_{last_add}_drop").noise_shape == (None, 1, 1, 1)


def test_initial_weights_have_the_originals_spread():
    model = build_model(get_spec("lite0"), 1000)
    head = model.get_layer("head_conv").get_weights()[0]
    assert head.std() == pytest.approx(np.sqrt(2 / 1280), rel=0.02)
    fives = [layer for layer in model.layers if layer.name.endswith("_dwconv") and layer.kernel_size == (5, 5)]
    depthwise = np.concatenate([layer.get_weights()[0].ravel() for layer in fives])
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 25), rel=0.02)
    dense = model.get_layer("head_dense").get_weights()[0]
    assert np.abs(dense).max() == pytest.approx(1 / np.sqrt(1000), rel=0.01)


def test_tops_share_the_network():
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    logits, softmax, features = (build_model(TINY, 3, top) for top in ("logits", "softmax", "features"))
    softmax.set_weights(logits.get_weights())
    features.set_weights(logits.get_weights()[:-2])
    exponents = np.exp(logits.predict_on_batch(images))
    np.testing.assert_allclose(softmax.predict_on_batch(images), exponents / exponents.sum(1, keepdims=True), rtol=1e-5)
    kernel, bias = logits.get_weights()[-2:]
    np.testing.assert_allclose(
        features.predict_on_batch(images) @ kernel + bias, np.log(exponents), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(UserError, match="top must be one of"):
        build_model(TINY, 3, "pool")
    with pytest.raises(UserError, match="classes must be >= 1"):
        build_model(TINY, 0)


# --- the project's own file


def test_native_round_trip(tiny, tmp_path):
    path = tmp_path / "folder" / "tiny.safetensors"
    save_model(tiny, path)
    again = load_model(path, variant="tiny")
    assert (again.name, again.spec, again.preprocess, again.classes) == (tiny.name, TINY, tiny.preprocess, tiny.classes)
    for mine, saved in zip(tiny.keras.get_weights(), again.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, saved)
    assert native.to_bytes(again) == path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]


def test_weights_that_do_not_fit_are_listed(tiny):
    tensors = {name: variable.numpy() for name, variable in variables(tiny.keras).items()}
    before = tiny.keras.get_weights()
    tensors["extra/kernel"] = tensors.pop("head_dense/bias") * 0
    tensors["stem_conv/kernel"] = tensors["stem_conv/kernel"][:2]
    with pytest.raises(UserError) as error:
        assign(tiny.keras, tensors, "here.safetensors")
    for part in (
        "missing: head_dense/bias",
        "unexpected: extra/kernel",
        "stem_conv/kernel (2, 3, 3, 8) instead of (3, 3, 3, 8)",
    ):
        assert part in str(error.value)
    assert all((old == new).all() for old, new in zip(before, tiny.keras.get_weights(), strict=True))


def test_other_files_are_refused(tiny, tmp_path):
    foreign, broken, mine = (tmp_path / f"{name}.safetensors" for name in ("foreign", "broken", "mine"))
    save_file({"conv_stem.weight": np.zeros(3, np.float32)}, foreign)
    broken.write_bytes(b"no such thing")
    save_model(tiny, mine)
    with pytest.raises(UserError, match=r"foreign.safetensors was not written by effnet-lab"):
        load_model(foreign)
    with pytest.raises(UserError, match=r"Cannot read .*broken.safetensors"):
        load_model(broken)
    with pytest.raises(UserError, match=r"holds weights of 'tiny'. Got variant 'lite0'"):
        load_model(mine, variant="lite0")
    with pytest.raises(UserError, match=r"Unknown model 'micro9'"):
        load_model("micro9")


@pytest.mark.parametrize(
    "name", ["micro9", "flowers128", "micro1_swish_se_2", "photos/mine.tflite", "a_folder/of_mine/" * 6]
)
def test_an_unknown_model_is_refused_in_a_sentence_that_is_printed_whole(name, capsys):
    """With every name that comes with the package, and what else can be given."""
    with pytest.raises(UserError) as raised:
        load_model(name)
    refuse(str(raised.value), 2)
    said = capsys.readouterr().err
    assert "…" not in said
    assert all(known in said for known in (*embedded_models(), "imagenet"))


@pytest.mark.parametrize("end", ["Give the whole of it.", "/a_path/" * 20])
def test_a_sentence_that_is_too_long_ends_with_whole_words(end, capsys):
    refuse("This is what is wrong with it. " * 12 + end, 2)
    said = capsys.readouterr().err.rstrip("\n")
    assert 280 < len(said) <= 300
    assert said.endswith(end[-60:])
    assert said.rpartition(" … ")[2].split()[0] in {"wrong", "with", "it.", "This", "is", "what"} | {end[-100:]}


def test_interrupted_writes_leave_nothing(tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    path = tmp_path / "tiny.safetensors"
    path.write_bytes(b"before")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny, path)
    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", MICRO)
def test_embedded_models(name):
    model = load_model(name)
    assert model.spec == get_spec(name)
    assert model.preprocess.size_px == model.spec.resolution
    assert embedded_models()[name].stat().st_size <= 2_500_000


def _trainable(layer) -> int:
    return sum(weight.shape.num_elements() for weight in layer.trainable_weights)
