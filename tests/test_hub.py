"""SavedModel folders, read and trained by others' code: TensorFlow's own loader, and tensorflow_hub's KerasLayer."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from packaging.version import parse

from effnet_lab.images import open_images
from effnet_lab.models import load_model
from effnet_lab.models.features import features_model
from effnet_lab.models.resize import at_size
from effnet_lab.names import UserError
from effnet_lab.quantize.saved_models import export_saved_model

STEP = 0.05  # learning rate


@pytest.fixture(scope="module")
def hub():
    """The library; release 0.16.1 asks pkg_resources for one function, and setuptools 82 has no such module any more.

    https://github.com/tensorflow/hub/issues/934
    """
    with pytest.MonkeyPatch.context() as patch:
        stand_in = ModuleType("pkg_resources")
        stand_in.parse_version = parse
        patch.setitem(sys.modules, "pkg_resources", stand_in)
        return pytest.importorskip("tensorflow_hub", reason="tensorflow_hub is not installed")


@pytest.fixture(scope="module")
def model():
    return load_model("micro0")


@pytest.fixture(scope="module")
def module(model, tmp_path_factory):
    return export_saved_model(model, tmp_path_factory.mktemp("hub") / "module", "hub-feature-vector")


@pytest.fixture(scope="module")
def scenes(model):
    """24 scenes as TF Hub wants them, float32 in [0, 1], as the network wants them, and their labels."""
    images = open_images("scenes", split="train", limit=24)
    grey = np.stack([model.preprocess.resize(images.read(i)) for i in range(len(images))])
    return grey.astype(np.float32) / 255, model.preprocess.normalise(grey), images.labels


@pytest.fixture
def classifier(hub, module, model):
    """trainable -> a fresh tf_keras model: the module under a new head."""

    def build(trainable: bool) -> tf_keras.Model:
        tf_keras.utils.set_random_seed(0)
        side = model.preprocess.size_px
        layer = hub.KerasLayer(str(module), trainable=trainable)
        network = tf_keras.Sequential([tf_keras.Input((side, side, 3)), layer, tf_keras.layers.Dense(10)])
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(tf_keras.optimizers.SGD(STEP), loss)
        return network

    return build


def test_hub_features_are_ours_for_any_batch(hub, module, model, scenes):
    unit, normalised, _labels = scenes
    layer = hub.KerasLayer(str(module))
    ours = features_model(model)(normalised).numpy()
    assert ours.shape == (24, model.keras.get_layer("head_dense").kernel.shape[0])
    for n in (1, 3, 24):
        np.testing.assert_allclose(layer(unit[:n]).numpy(), ours[:n], rtol=0, atol=1e-5)


def test_hub_signature_is_the_common_one(module, model, scenes):
    unit, normalised, _labels = scenes
    signature = tf.saved_model.load(str(module)).signatures["serving_default"]
    ((_args, given),) = (signature.structured_input_signature,)
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in given.items()} == {
        "inputs": ([None, None, None, 3], tf.float32)  # any size, as the original modules take
    }
    found = signature(inputs=tf.constant(unit[:2]))
    assert found.keys() == {"default"}
    np.testing.assert_allclose(found["default"], features_model(model)(normalised[:2]), rtol=0, atol=1e-5)


def test_hub_module_is_fine_tuned(classifier, scenes):
    unit, _normalised, labels = scenes
    network = classifier(trainable=True)
    layer = network.layers[0]
    assert len(layer.trainable_weights) < len(layer.weights)  # the statistics of batch norm are not trained
    before = [variable.numpy() for variable in layer.weights]
    losses = [network.train_on_batch(unit, labels) for _step in range(4)]
    assert losses[-1] < losses[0]
    still = {
        variable.name
        for old, variable in zip(before, layer.weights, strict=True)
        if np.array_equal(old, variable.numpy())
    }
    # weights by the loss, moving statistics by batch norm in training mode, which takes out a shift that comes before it
    assert all(name.endswith("_project_bn/beta:0") for name in still)


def test_hub_module_stays_as_it_is_unless_trainable(classifier, scenes):
    unit, _normalised, labels = scenes
    network = classifier(trainable=False)
    layer, head = network.layers
    before, kernel = [variable.numpy() for variable in layer.weights], head.kernel.numpy()
    network.train_on_batch(unit, labels)
    assert not layer.trainable_weights
    assert all(np.array_equal(old, variable.numpy()) for old, variable in zip(before, layer.weights, strict=True))
    assert not np.array_equal(kernel, head.kernel.numpy())


def test_hub_module_opens_here_again(module, model, scenes):
    again = load_model(module)
    assert (again.name, again.spec, again.preprocess, again.classes) == (model.name, model.spec, model.preprocess, ())
    normalised = scenes[1]
    np.testing.assert_array_equal(again.keras(normalised), features_model(model)(normalised))


def test_saved_model_gives_logits_and_opens_here_again(model, scenes, tmp_path):
    normalised = scenes[1]
    folder = export_saved_model(model, tmp_path / "new" / "whole")
    loaded = tf.saved_model.load(str(folder))
    expected = model.keras(normalised).numpy()
    np.testing.assert_allclose(loaded(tf.constant(normalised)), expected, atol=1e-5)
    found = loaded.signatures["serving_default"](images=tf.constant(normalised[:1]))
    np.testing.assert_allclose(found["logits"], expected[:1], atol=1e-5)
    again = load_model(folder)
    assert (again.name, again.classes, again.preprocess) == (model.name, model.classes, model.preprocess)
    np.testing.assert_array_equal(again.keras(normalised), expected)


def test_what_is_there_is_not_overwritten(model, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    for taken in (tmp_path, tmp_path / "kept.txt"):
        with pytest.raises(UserError, match=r"exists, and is not an empty folder\. Give a new name"):
            export_saved_model(model, taken)
    with pytest.raises(UserError, match="Did you mean 'saved-model'"):
        export_saved_model(model, tmp_path / "new", "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_nothing_is_left_when_writing_fails(model, tmp_path, monkeypatch):
    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("effnet_lab.quantize.saved_models.write_about", full)
    with pytest.raises(UserError, match=r"Cannot write .*new: No space left"):
        export_saved_model(model, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_module_takes_any_size_as_its_original_does(module, model, scenes):
    module = tf.saved_model.load(str(module))
    features = features_model(at_size(model, 80))
    images = tf.image.resize(scenes[0][:4], (80, 80)).numpy()
    expected = features.predict_on_batch(model.preprocess.normalise(images * 255))
    np.testing.assert_allclose(module(images).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert module(np.zeros((1, 64, 96, 3), np.float32)).shape == expected[:1].shape
