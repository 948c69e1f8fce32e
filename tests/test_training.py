"""Training: repeatable, learns, and the committed cards say what the committed weights do."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from effnet_lab import frames
from effnet_lab.images import open_images
from effnet_lab.models.weights import embedded_models, load_model
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.scaling import MICRO, STYLES, get_spec, totals
from effnet_lab.training import RECIPES, read_card, save_with_card, train_from_scratch, train_variant
from effnet_lab.training.cards import make_card
from effnet_lab.training.from_scratch import predict
from effnet_lab.training.recipes import hold_out

TINY = replace(MICRO["micro0"], name="tiny", width=0.05, depth=0.1)


@pytest.fixture(scope="module")
def tiny_run():
    """Three epochs on 400 digits, and the progress that was reported after and within them."""
    seen, steps = [], []
    shown, held_out = hold_out(open_images("digits", "train", limit=400))
    model, history = train_from_scratch(
        TINY, shown, validation=held_out, epochs=3, seed=5, batch=16, learning_rate=1e-2, progress=seen.append,
        steps=steps.append,
    )  # fmt: skip
    return model, history, seen, steps


def test_training_reduces_the_loss(tiny_run):
    _, history, seen, _ = tiny_run
    frames.require(history, frames.HISTORY, caller="test")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.1
    assert history[["train_top1", "validation_top1"]].stack().between(0, 1).all()
    assert [(row["epoch"], row["epochs"]) for row in seen] == [(1, 3), (2, 3), (3, 3)]


def test_steps_count_the_images_of_an_epoch(tiny_run):
    """The last batch is short; the loss is the mean over what is done, at the end that of the history."""
    _, history, _, steps = tiny_run
    assert [step.epoch for step in steps] == [epoch for epoch in (1, 2, 3) for _ in range(1 + 24 + 2)]
    for number, loss in zip(history["epoch"], history["loss"], strict=True):
        trained = [step for step in steps if (step.epoch, step.part) == (number, "training")]
        assert [(step.n_done, step.n_images) for step in trained] == [(n, 380) for n in (*range(0, 380, 16), 380)]
        assert np.isnan(trained[0].loss)
        assert trained[-1].loss == loss
        checked = [step for step in steps if (step.epoch, step.part) == (number, "validation")]
        assert [(step.n_done, step.n_images) for step in checked] == [(0, 20), (20, 20)]
    assert {step.epochs for step in steps} == {3}


def test_training_twice_gives_the_same_bits(tiny_run):
    shown, held_out = hold_out(open_images("digits", "train", limit=400))
    again, history = train_from_scratch(
        TINY, shown, validation=held_out, epochs=3, seed=5, batch=16, learning_rate=1e-2
    )
    assert to_bytes(again) == to_bytes(tiny_run[0])
    assert history.equals(tiny_run[1])


def test_the_seed_matters(tiny_run):
    shown, held_out = hold_out(open_images("digits", "train", limit=400))
    other, _ = train_from_scratch(TINY, shown, validation=held_out, epochs=1, seed=6, batch=16)
    assert to_bytes(other) != to_bytes(tiny_run[0])


def test_train_variant_writes_its_own_card(tmp_path):
    model, history, card = train_variant("micro0", data="scenes?n=60&side_px=32", seed=3, epochs=1)
    save_with_card(model, card, tmp_path / "x.safetensors")
    assert len(history) == 1
    assert read_card(tmp_path / "x.safetensors") == card
    assert "--variant micro0 --data 'scenes?n=60&side_px=32' --seed 3 --epochs 1 --out" in card["command"]
    assert card["weights_sha256"] == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    assert (card["n_images"], card["evaluation"]["split"]) == (60, "evaluation")


def test_held_out_images_are_not_trained_on():
    images = open_images("scenes?n=100", "train")
    shown, held_out = hold_out(images)
    assert (len(shown), len(held_out)) == (95, 5)
    assert not {shown.read(i).tobytes() for i in range(95)} & {held_out.read(i).tobytes() for i in range(5)}
    with pytest.raises(UserError, match="at least 20 images"):
        hold_out(images.take(10))


def test_mistakes():
    images = open_images("digits", "train", limit=40)
    with pytest.raises(UserError, match="epochs >= 1"):
        train_from_scratch(TINY, images, validation=images, epochs=0, seed=0)
    with pytest.raises(UserError, match="Did you mean 'micro0'"):
        train_variant("micr0")


# --- the embedded models


def test_every_micro_variant_has_recipe_weights_and_card():
    assert MICRO.keys() | STYLES.keys() == RECIPES.keys() < embedded_models().keys()


@pytest.mark.parametrize("name", MICRO | STYLES)
def test_cards_describe_their_weights(name):
    path = embedded_models()[name]
    card = read_card(path)
    assert card["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["params"] == totals(get_spec(name), 10).params
    assert card["command"] == f"effnet-lab train --variant {name} --data scenes --out data/models/{name}.safetensors"
    assert card["fingerprint"] == open_images(card["data"], "train").fingerprint
    assert card["evaluation"]["fingerprint"] == open_images("scenes").fingerprint
    assert card["top1_lo"] < card["top1"] < card["top1_hi"]
    assert (card["n_images"], card["seed"]) == (2000, RECIPES[name].seed)


def test_the_family_spreads():
    top1 = [read_card(embedded_models()[name])["top1"] for name in MICRO]
    assert top1 == sorted(top1)
    assert top1[0] <= top1[-1] - 0.08
    assert top1[-1] >= 0.95


def test_the_smallest_scores_what_its_card_says():
    model, card, images = load_model("micro0"), read_card(embedded_models()["micro0"]), open_images("scenes")
    right = predict(model, images).argmax(axis=1) == images.labels
    assert right.mean() == pytest.approx(card["top1"], abs=1e-3)  # float noise may turn one image or two


def test_a_card_is_recomputed_from_the_weights():
    model = load_model("micro0")
    images = open_images("scenes", limit=100)
    card = make_card(
        model, images, train={"name": "x", "fingerprint": "0", "n_images": 1}, seed=0, command="c", recipe={}
    )
    assert card["weights_sha256"] == read_card(embedded_models()["micro0"])["weights_sha256"]
    assert card["top1"] == np.mean(predict(model, images).argmax(axis=1) == images.labels)
