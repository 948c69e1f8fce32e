"""Networks for little memory: their names, what fits a budget, and what they take over from a larger network."""

from dataclasses import replace

import numpy as np
import pytest
import tf_keras

from effnet_lab.images import open_images
from effnet_lab.models import build_model, load_model
from effnet_lab.models.variables import variables
from effnet_lab.names import UserError
from effnet_lab.scaling import estimate_arena, get_spec, search_lean, totals
from effnet_lab.training import train
from effnet_lab.training.fitted_head import with_fitted_head
from effnet_lab.training.inherit import imitations, inherit

KIB = 1024


def test_a_name_is_the_whole_network():
    spec = get_spec("lean104-8-6-16x2-32x3-40x6-256")
    assert (spec.resolution, spec.stem, spec.head) == (104, 8, 256)
    assert [(s.kernel, s.stride, s.expansion, s.channels, s.repeats) for s in spec.stages] == [
        (3, 1, 1, 6, 1), (3, 2, 2, 16, 2), (5, 2, 3, 32, 2), (3, 2, 6, 40, 2), (5, 1, 4, 48, 1), (5, 2, 4, 64, 1),
    ]  # fmt: skip
    assert spec.name == "lean104-8-6-16x2-32x3-40x6-256"


@pytest.mark.parametrize(
    "name", ["lean", "lean104-8-6-16x2", "lean104-8-0-16x2-32x3-40x6-256", "lean16-8-6-16x2-32x3-40x6-8"]
)
def test_a_name_that_says_too_little_is_one_line(name):
    with pytest.raises(UserError, match=r"lean|resolution"):
        get_spec(name)


def test_the_search_finds_the_most_madds_that_fit():
    found = search_lean(max_arena=56 * KIB, max_flash=128 * KIB, classes=5, limit=5)
    assert found["madds"].is_monotonic_decreasing
    for row in found.itertuples():
        spec = get_spec(row.model)
        cost = totals(spec, 5)
        assert (cost.madds, cost.params, cost.flash_bytes) == (row.madds, row.params, row.flash_bytes)
        assert estimate_arena(spec, 5).activation_bytes == row.planned_head_bytes <= 56 * KIB
        assert row.flash_bytes <= 128 * KIB
    larger = search_lean(max_arena=74 * KIB, max_flash=145 * KIB, classes=5, limit=1)
    assert larger["madds"][0] > found["madds"][0]
    fewer = search_lean(max_arena=56 * KIB, max_flash=128 * KIB, max_madds=5e6, classes=5, limit=1)
    assert fewer["madds"][0] <= 5e6


def test_a_budget_that_nothing_fits_is_one_line():
    with pytest.raises(UserError, match="No lean network fits"):
        search_lean(max_arena=1000, max_flash=1000, classes=5)
    with pytest.raises(UserError, match="max_arena must be > 0"):
        search_lean(max_arena=0, max_flash=1000, classes=5)


@pytest.fixture(scope="module")
def parent():
    return load_model("micro0")


@pytest.fixture(scope="module")
def pictures():
    return open_images("scenes", "train", limit=60)


def test_a_network_inherits_itself_whole(parent, pictures):
    """The same shapes: nothing is cut, so every stream is the parent's in another basis, and the fits are exact."""
    child = inherit(parent, parent.family_spec, pictures)
    batch = _batch(parent, pictures)
    assert _explained(_entering(child, "head_conv", batch), _entering(parent, "head_conv", batch)) > 0.98


def test_half_the_channels_keep_most_of_the_stream(parent, pictures):
    spec = parent.family_spec
    stages = tuple(replace(stage, expansion=max(1, stage.expansion // 2)) for stage in spec.stages)
    half = replace(spec, name="half", stages=stages)
    batch = _batch(parent, pictures)
    source = _entering(parent, "head_conv", batch)
    inherited = _explained(_entering(inherit(parent, half, pictures), "head_conv", batch), source)
    random = _explained(_entering(build_model(half, 10), "head_conv", batch), source)
    assert (1 - inherited) < 0.75 * (1 - random)  # of the parent's stream, what is not explained


def test_a_wider_network_takes_over_all_there_is(parent, pictures):
    spec = parent.family_spec
    wide = replace(
        spec, name="wide", stages=tuple(replace(stage, channels=2 * stage.channels) for stage in spec.stages)
    )
    child = inherit(parent, wide, pictures)
    batch = _batch(parent, pictures)
    assert _explained(_entering(child, "head_conv", batch), _entering(parent, "head_conv", batch)) > 0.98


def test_stages_that_differ_are_one_line(parent):
    with pytest.raises(UserError, match="kernels and strides"):
        imitations(get_spec("micro1_se"), parent.family_spec)
    with pytest.raises(UserError, match="cannot inherit"):
        imitations(parent.family_spec, get_spec("lean104-8-6-16x2-32x3-40x6-256"))


def test_the_last_block_of_a_stage_imitates_the_last(parent):
    found = imitations(get_spec("lean104-8-6-16x2-32x3-40x6-256"), get_spec("lite0"))
    assert [(pair.source.name, pair.imitated.name) for pair in found][-3:] == [
        ("blocks_6", "blocks_7"), ("blocks_8", "blocks_10"), ("blocks_11", "blocks_14"),
    ]  # fmt: skip


def _batch(model, pictures):
    return next(iter(pictures.batches(model.preprocess)))[0]


def _entering(model, layer, batch):
    keras = getattr(model, "keras", model)
    probe = tf_keras.Model(keras.input, keras.get_layer(layer).input)
    found = probe.predict_on_batch(batch)
    return found.reshape(-1, found.shape[-1]).astype(np.float64)


def _explained(own, source):
    columns = np.c_[own, np.ones(len(own))]
    left = source - columns @ np.linalg.lstsq(columns, source, rcond=None)[0]
    return 1 - left.var() / source.var()


def test_a_run_starts_from_what_it_inherits_and_learns_from_a_teacher(tmp_path):
    """Before any step it knows more than chance; the command says where from."""
    out = tmp_path / "small.safetensors"
    data = "scenes?n=200"
    done = train(
        "micro0", data, out, epochs=1, batch=50, learning_rate=1e-9, inherit="micro1", teacher="micro1", views=1,
        teacher_share=1.0,
    )  # fmt: skip
    assert done.card["recipe"]["inherit"] == done.card["recipe"]["teacher"] == "micro1"
    assert "--inherit micro1 --teacher micro1" in done.card["command"]
    with pytest.raises(UserError, match="--inherit and --from exclude each other"):
        train("micro0", data, out, start="micro1", inherit="micro2")


def test_a_fitted_head_knows_the_classes_at_once():
    """And nothing else of the network has moved."""
    model = load_model("micro1")
    images = open_images("scenes", "calibration", limit=200)
    fitted = with_fitted_head(model, images)
    batch = next(iter(images.batches(model.preprocess, 200)))
    found = fitted.keras(batch[0], training=False).numpy()
    assert (found.argmax(1) == batch[1]).mean() > 0.7  # chance: 0.1
    before = {name: value for name, value in variables(model.keras).items() if not name.startswith("head_dense")}
    for name, value in before.items():
        np.testing.assert_array_equal(variables(fitted.keras)[name], value)
