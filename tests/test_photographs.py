"""The networks for photographs that come with the package: their cards, what they take of a board, what they recognise."""

from __future__ import annotations

import hashlib

import pytest

import effnet_lab as el
from effnet_lab.models.weights import embedded_models
from effnet_lab.scaling import MICRO, STYLES, get_spec, totals
from effnet_lab.training import read_card

KIB = 1024
# KiB of activations and of weights that each must fit; of the 734 photographs, those that its int8 file recognises
BUDGETS = {"flowers129": (129, 505, 657), "flowers74": (74, 145, 656), "flowers56": (56, 128, 637)}


def test_each_has_a_budget():
    assert embedded_models().keys() == MICRO.keys() | STYLES.keys() | BUDGETS.keys()


@pytest.mark.parametrize("name", BUDGETS)
def test_cards_describe_their_weights(name):
    path = embedded_models()[name]
    card = read_card(path)
    assert path.stat().st_size <= 2_500_000
    assert card["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["params"] == totals(get_spec(card["variant"]), 5).params
    assert get_spec(card["variant"]).se_ratio == 0
    assert card["top1_lo"] < card["top1"] < card["top1_hi"]
    assert (card["name"], card["evaluation"]["split"], card["n_images"]) == (name, "evaluation", 734)


@pytest.mark.real
@pytest.mark.parametrize("name", BUDGETS)
def test_the_int8_file_fits_and_recognises_what_is_said_of_it(name, flowers_cache, tmp_path):
    """Half a point of its float weights at most; a few images may turn on another processor."""
    images = f"flowers160?evaluation={flowers_cache / 'flowers_val734.txt'}"
    path = tmp_path / "int8.tflite"
    el.export(name, path, format="int8", calibration=images)
    arena, weights, right = BUDGETS[name]
    taken = el.footprint(path).table.iloc[0]
    assert taken["arena_head_bytes"] <= arena * KIB
    assert taken["weight_bytes"] <= weights * KIB
    found = el.evaluate(path, images).table.iloc[0]
    assert found["n_images"] == 734
    assert found["top1"] * 734 == pytest.approx(right, abs=3)
    assert found["top1"] == pytest.approx(read_card(embedded_models()[name])["top1"], abs=0.005 + 3 / 734)
