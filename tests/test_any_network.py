"""Every question takes a network in every form: a name, a path, a LoadedModel, a Keras model."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import effnet_lab as el
from effnet_lab.litert import Runner
from effnet_lab.names import UserError
from effnet_lab.quantize.float_file import float_file

FORMS = ("name", "path", "loaded", "keras")


@pytest.fixture(scope="module")
def forms(files):
    loaded = el.load_model("micro0")
    return {"name": "micro0", "path": str(files["float32 converter"]), "loaded": loaded, "keras": loaded.keras}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "one.png"
    Image.fromarray(el.open_images("scenes").read(0)).save(path)
    return path


def test_every_question_about_a_network_names_the_forms():
    """The first parameter of each is typed as a network, and nothing has to be opened before."""
    for name in ("layer_error", "verdicts", "lint", "explain", "bench", "profile", "footprint", "ethosu", "export",
                 "calibrate", "repair", "evaluate", "compare", "audit_preprocess", "tradeoffs", "choose"):  # fmt: skip
        function = inspect.unwrap(getattr(el, name)) if name not in ("bench",) else getattr(el, name)
        assert next(iter(inspect.signature(function).parameters)) != "predictor", name


@pytest.mark.parametrize("form", FORMS)
def test_questions_about_a_file_take_every_form(forms, form):
    network = forms[form]
    assert el.footprint(network).table["scheme"].tolist() == ["float32"]
    assert el.lint(network).table["severity"].ne("error").all()
    assert el.profile(network, 2).p50_ms > 0


def test_a_layer_of_a_keras_model_may_have_a_loop():
    import tensorflow as tf
    import tf_keras

    class Thrice(tf_keras.layers.Layer):
        def call(self, x):
            for _ in tf.range(3):
                x = x + 1.0
            return x

    image = tf_keras.Input((4, 4, 3))
    (found,) = Runner(float_file(tf_keras.Model(image, Thrice()(image))).content).run(np.zeros((4, 4, 3), np.float32))
    assert (found == 3).all()


def test_several_forms_are_timed_together(forms):
    table = el.bench([forms["path"], forms["keras"]], n_runs=3)
    assert table["scheme"].tolist() == ["float32"] * 2
    assert table["model"].nunique() == 2 or table["backend"].nunique() == 2


def test_a_name_is_quantized_where_a_question_needs_two_files(forms, tmp_path):
    images = el.open_images("scenes", limit=2)
    by_name, by_weights = (el.layer_error(forms[form], images).table for form in ("name", "loaded"))
    pd.testing.assert_frame_equal(by_name, by_weights)
    (int8,) = el.export(forms["name"], tmp_path, format="int8", calibration="scenes").files
    own = el.layer_error(int8, images, float_model=forms["name"]).table
    pd.testing.assert_frame_equal(by_name, own)
    assert el.explain(forms["name"], images)["n_different"].dropna().eq(0).all()


@pytest.mark.parametrize("form", FORMS)
def test_pictures_are_classified_by_every_form(forms, form, picture):
    stated = forms["loaded"].preprocess if form == "keras" else None
    expected = el.classify(picture, forms["name"], 1)["class_index"].tolist()
    assert el.classify(picture, forms[form], 1, preprocess=stated)["class_index"].tolist() == expected
    assert el.classify(el.open_images("scenes", limit=1), forms[form], 1, preprocess=stated)["rank"].tolist() == [1]


@pytest.mark.parametrize("form", ["name", "loaded", "keras"])
def test_features_by_every_form(forms, form, picture):
    stated = forms["loaded"].preprocess if form == "keras" else None
    whole = forms["name"]
    expected = el.features(picture, whole).values  # noqa: PD011  of the features, no frame
    np.testing.assert_allclose(el.features(picture, forms[form], preprocess=stated).values, expected, atol=1e-4)


def test_weights_are_loaded_and_saved_from_every_form(forms, tmp_path):
    assert el.load_model(forms["loaded"]) is forms["loaded"]
    assert el.load_model(forms["keras"]).keras is forms["keras"]
    el.save_model("micro0", tmp_path / "same.safetensors")
    np.testing.assert_array_equal(
        el.load_model(tmp_path / "same.safetensors").keras.get_weights()[0], forms["keras"].get_weights()[0]
    )
    assert el.build_model("micro0", 10).count_params() == forms["keras"].count_params()
    with pytest.raises(UserError, match=r"A network is a name, a path, a LoadedModel or a Keras model\. Got int"):
        el.load_model(3)
