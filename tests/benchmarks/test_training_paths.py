"""What training from weights keeps of what they know: every origin, every way of training, old head and new.

One network, an EfficientNet-Lite0 of flowers that somebody published in int8, as everybody would hand it over. Prints for each
cell the share of real photographs that it recognises before the first step, after an epoch at 1e-7, and after two epochs at the
default rate, with McNemar's p against the start. Small pictures and few of them: SIDE, TRAIN, SHOWN.
"""

from __future__ import annotations

import os
import sys
from functools import cache, partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from origins import ORIGINS, normalised_as
from test_from_weights import chance, hits

from effnet_lab.images import open_images
from effnet_lab.models import load_model
from effnet_lab.models.resize import at_size
from effnet_lab.models.weights import origins
from effnet_lab.quantize import targets, write_files
from effnet_lab.training import cluster, fine_tune, prune, train_qat
from effnet_lab.training.from_weights import with_head
from effnet_lab.training.norms import with_norms
from effnet_lab.training.recipes import hold_out
from effnet_lab.training.settings import Settings

SIDE, TRAIN, SHOWN = (int(os.environ.get(name, n)) for name, n in (("SIDE", 128), ("TRAIN", 120), ("SHOWN", 300)))
WAYS = {
    "plain": fine_tune,
    "qat": train_qat,
    "prune": partial(prune, sparsity=0.5),
    "cluster": partial(cluster, clusters=16),
}
FROM = ("float tflite", "int8 tflite", "keras", "timm", "tf1", "module")
UNSAID = {"timm": origins.timm, "tf1": origins.original}  # files that say nothing of their input: each kind has its own
MATRIX = [
    pytest.param(origin, way, head, id=f"{origin}, {way}, {head} head")
    for origin in FROM
    for way in WAYS
    for head in ("old", "new")
    if (origin, head) != ("module", "old")  # it has none
]


@pytest.fixture(scope="module")
def photographs(shared):
    """To train on, to validate, to measure on."""
    os.environ["EFFNET_LAB_CACHE"] = str(shared / "data")
    shown, held_out = hold_out(open_images("flowers160", "train", limit=TRAIN))
    return shown, held_out, open_images("flowers160", "evaluation", limit=SHOWN)


@pytest.fixture(scope="module")
def start(shared, photographs, tmp_path_factory):
    """A function from an origin and a head to the network that training starts from, and its answers."""
    file, folder = shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite", tmp_path_factory.mktemp("origins")
    shown, _, evaluation = photographs

    @cache
    def opened(origin: str):
        published = load_model(file)
        if origin == "int8 tflite":
            return at_size(published, SIDE)
        whole, _ = with_norms(published, shown, Settings(epochs=1, seed=0))  # others have norms of their own
        if origin == "float tflite":
            return at_size(load_model(write_files(whole, targets(["float32"], ["converter"]), folder)[0]), SIDE)
        if origin in UNSAID:
            whole = normalised_as(whole, UNSAID[origin](whole.family_spec))
        write, name = ORIGINS[origin]
        return at_size(load_model(write(whole, folder / name), "lite0"), SIDE)

    @cache
    def known(origin: str, head: str):
        return hits(with_head(opened(origin), shown, anew=True) if head == "new" else opened(origin), evaluation)

    return lambda origin, head: (opened(origin), known(origin, head))


@pytest.mark.parametrize(("origin", "way", "head"), MATRIX)
def test_what_is_kept(photographs, start, origin, way, head):
    shown, held_out, evaluation = photographs
    model, before = start(origin, head)
    train = partial(WAYS[way], model, shown, validation=held_out, new_head=head == "new")
    still, after = (hits(train(**how)[0], evaluation) for how in ({"epochs": 1, "learning_rate": 1e-7}, {"epochs": 2}))
    unmoved, lost = chance(before, still), chance(before, after)
    print(
        f"\n{origin:12} {way:8} {head} head  start {before.mean():.3f}  1e-7 {still.mean():.3f} (p {unmoved:.2f})  "
        f"two epochs {after.mean():.3f} (p {lost:.2f})",
        flush=True,
    )
    assert unmoved > 0.05
    assert after.mean() >= before.mean() or lost > 0.05
