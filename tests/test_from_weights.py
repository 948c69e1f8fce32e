"""Training that starts from somebody's file: it keeps what the file knows, whatever is trained and however."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from origins import ORIGINS
from scipy.stats import binomtest

from effnet_lab.images import StatedInput, open_images
from effnet_lab.models import load_model, save_model
from effnet_lab.models.batch_norm import folded, with_statistics
from effnet_lab.models.fake_quant import strip_fake_quant
from effnet_lab.models.features import features_model
from effnet_lab.models.resize import at_size
from effnet_lab.models.variables import variables
from effnet_lab.models.weights.mapping import HEAD
from effnet_lab.names import UserError
from effnet_lab.training import cluster, fine_tune, prune, resume, train, train_qat, training_run
from effnet_lab.training.from_scratch import predict
from effnet_lab.training.from_weights import settings_for, with_classes
from effnet_lab.training.recipes import hold_out

EDGE = "static_wi8_ai8 ai_edge_quantizer"
WAYS = {  # pruning and clustering change a little by themselves
    "fine_tune": fine_tune,
    "train_qat": train_qat,
    "prune": partial(prune, sparsity=0.02),
    "cluster": partial(cluster, clusters=128),
}


def hits(model, images):
    return predict(model, images).argmax(axis=1) == images.labels


def chance(before, after) -> float:
    """McNemar's exact p of two answers on the same images."""
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    return binomtest(lost, lost + won).pvalue if lost + won else 1.0


@pytest.fixture(scope="module")
def scenes():
    shown, held_out = hold_out(open_images("scenes?n=200", "train"))
    return shown, held_out, open_images("scenes", limit=300)


@pytest.mark.parametrize("name", ["float32 converter", EDGE])
def test_folded_norms_get_statistics_and_the_function_stays(files, scenes, name):
    shown, _, evaluation = scenes
    model = load_model(files[name])
    norms = [layer.name for layer in model.keras.layers if layer.name.endswith("_bn")]
    assert list(folded(model)) == norms
    restored = with_statistics(model, (batch for batch, _ in shown.batches(model.preprocess)))
    assert folded(restored) == ()
    expected = predict(model, evaluation)
    np.testing.assert_allclose(predict(restored, evaluation), expected, atol=1e-4 * np.abs(expected).max())
    for layer in restored.keras.layers:
        if layer.name in norms:
            assert np.ptp(layer.moving_variance.numpy()) > 0


def test_a_network_with_statistics_of_its_own_keeps_them(scenes):
    model = load_model("micro0")
    assert folded(model) == ()
    same = with_statistics(model, ())
    np.testing.assert_array_equal(predict(same, scenes[2].take(8)), predict(model, scenes[2].take(8)))


@pytest.mark.parametrize("way", WAYS)
def test_an_epoch_of_no_learning_rate_changes_nothing(files, scenes, way):
    shown, held_out, evaluation = scenes
    start = load_model(files[EDGE])
    model, _ = WAYS[way](start, shown, validation=held_out, epochs=1, batch=16, learning_rate=1e-7)
    before, after = hits(start, evaluation), hits(model, evaluation)
    assert before.mean() > 0.6
    assert chance(before, after) > 0.05, (before.mean(), after.mean())
    assert strip_fake_quant(model).name != start.name


@pytest.mark.parametrize("suffix", [".safetensors", ".keras"])
def test_an_imported_file_that_was_saved_again_starts_alike(files, tmp_path, suffix):
    """With the weights that it was imported with, and norms that still want statistics."""
    imported = load_model(files[EDGE])
    save_model(imported, tmp_path / f"again{suffix}")
    start = load_model(tmp_path / f"again{suffix}")
    assert folded(start) == folded(imported) != ()
    assert (start.classes, start.preprocess) == (imported.classes, imported.preprocess)
    for name, variable in variables(imported.keras).items():
        np.testing.assert_array_equal(variables(start.keras)[name].numpy(), variable.numpy())


def test_frozen_norms_stay(files, scenes, tmp_path):
    shown, held_out, _ = scenes
    start, out = load_model(files[EDGE]), tmp_path / "run.safetensors"

    def stop(row):
        raise KeyboardInterrupt

    how = {"validation": held_out, "epochs": 2, "batch": 64, "batch_norm": "frozen", "out": out}
    with pytest.raises(KeyboardInterrupt):
        fine_tune(start, shown, progress=stop, **how)
    model, _ = resume(out, shown, validation=held_out)
    restored = with_statistics(start, (b for b, _ in shown.take(256).batches(start.preprocess)))
    for layer in restored.keras.layers:
        if layer.name.endswith("_bn"):
            for ours, theirs in zip(model.keras.get_layer(layer.name).weights, layer.weights, strict=True):
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(UserError, match="Did you mean 'frozen'"):
        fine_tune(start, shown, validation=held_out, epochs=1, batch_norm="frosen")


def test_what_is_trained_further_bears_its_own_name(tmp_path):
    done = train(data="scenes?n=60&side_px=32", out=tmp_path / "mine.safetensors", start="micro0", epochs=1)
    assert done.model.name == "mine"
    assert set(done.table["model"]) == {done.card["name"]} == {"mine"}
    assert (load_model(done.file).name, load_model(done.file).spec.name) == ("mine", "micro0")
    assert training_run._own_name(Path("micro0.safetensors")) == "micro0_tuned"  # the other name is taken


def test_a_full_disk_costs_no_trained_epoch(tmp_path, monkeypatch):
    from effnet_lab.training import cards

    out, write = tmp_path / "mine.safetensors", cards.write_atomically

    def full(path, data):
        if path.parent == tmp_path:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(cards, "write_atomically", full)
    with pytest.raises(
        UserError, match=r"Cannot write .*mine.safetensors: No space left.*lie at (\S+mine.safetensors)\."
    ):
        train(data="scenes?n=60&side_px=32", out=out, start="micro0", epochs=1)
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_epoch(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"Cannot write .*mine\.safetensors: Not a directory\. .* choose another place"):
        train(out=tmp_path / "file" / "mine.safetensors", start="micro0")


@pytest.mark.real
@pytest.mark.usefixtures("flowers_cache")
def test_a_real_file_is_not_forgotten_on_real_photographs(shared):
    """A Lite0 from int8 that somebody published; 128 px to be quick."""
    start = at_size(load_model(shared / "fixtures" / "litert" / "flowers_lite0_int8.tflite"), 128)
    shown, held_out = hold_out(open_images("flowers160", "train", limit=96))
    evaluation = open_images("flowers160", "evaluation", limit=150)
    before = hits(start, evaluation)
    assert before.mean() > 0.8
    model, _ = fine_tune(start, shown, validation=held_out, epochs=2)
    after = hits(model, evaluation)
    assert after.mean() >= before.mean() or chance(before, after) > 0.05, (before.mean(), after.mean())


@pytest.mark.parametrize("origin", ORIGINS)
def test_weights_from_everywhere_start_alike(tmp_path, origin):
    write, name = ORIGINS[origin]
    written = load_model("micro0")
    start = load_model(write(written, tmp_path / name), "micro0")
    expected, found = variables(written.keras), variables(start.keras)
    assert expected.keys() - found.keys() == (set(HEAD) if origin == "module" else set())
    for name, variable in found.items():
        np.testing.assert_array_equal(variable.numpy(), expected[name].numpy())


@pytest.mark.parametrize("origin", ["timm", "module"])  # the others start alike, see above
def test_weights_from_everywhere_are_not_forgotten(scenes, tmp_path, origin):
    """An epoch at 1e-7 changes no answer beyond chance; under a new head, the features stay."""
    write, name = ORIGINS[origin]
    shown, held_out, evaluation = scenes
    start = load_model(write(load_model("micro0"), tmp_path / name), "micro0")
    model, _ = fine_tune(start, shown, validation=held_out, epochs=1, learning_rate=1e-7)
    assert model.classes == evaluation.classes
    if start.classes:
        before = hits(start, evaluation)
        assert before.mean() > 0.4
        assert chance(before, hits(model, evaluation)) > 0.05
    batch = next(evaluation.batches(start.preprocess, 32))[0]
    expected, found = (np.asarray(features_model(each)(batch)) for each in (start, model))
    assert np.square(found - expected).sum() < 0.01 * np.square(expected).sum()


STAGES = {  # besides the whole network, all at no learning rate
    "new head, qat": {"new_head": True, "qat": True}, "prune": {"prune": 0.02}, "cluster": {"cluster": 128},
    "new head": {"new_head": True}, "frozen": {"batch_norm": "frozen"}, "new head, cluster": {"new_head": True, "cluster": 128},
}  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "stage"),
    [
        ("module", "new head, qat"), ("module", "new head, cluster"), ("timm", "new head"), ("tf1", "prune"), ("keras", "frozen"),
    ],
)  # fmt: skip
def test_every_stage_keeps_what_weights_from_everywhere_know(tmp_path, origin, stage):
    """By the call of the command: the written file computes the features that came in."""
    write, name = ORIGINS[origin]
    path = write(load_model("micro0"), tmp_path / name)
    out = tmp_path / "mine.safetensors"
    done = train(
        "micro0", "scenes?n=60&side_px=32", out, start=path, epochs=1, batch=16, learning_rate=1e-7, **STAGES[stage]
    )
    start, found = load_model(path, "micro0"), strip_fake_quant(load_model(out))
    assert (found.name, found.classes) == ("mine", open_images("scenes").classes)
    assert str(path) in done.card["command"]
    batch = next(open_images("scenes", limit=16).batches(start.preprocess, 16))[0]
    before, after = (np.asarray(features_model(each)(batch)) for each in (start, found))
    assert np.square(after - before).sum() < 0.01 * np.square(before).sum()
    assert "new_head" not in STAGES[stage] or done.card["top1"] > 0.3  # fitted, not random


@pytest.mark.parametrize("way", [{"qat": True}, {"prune": 0.5}, {"cluster": 16}], ids=lambda way: next(iter(way)))
def test_what_a_way_of_training_would_leave_undone_is_refused(way):
    undone = {"qat_epochs": 1}
    if "qat" not in way:
        undone |= {"freeze_epochs": 1, "teacher": "micro1", "patience": 2, "average": 0.9}
        undone |= {"precision": "bfloat16", "logs": "logs", "strategy": "mirrored"}
    for name, value in undone.items():
        with pytest.raises(UserError, match=f"does not go with --{name.replace('_', '-')}"):
            train(start="micro0", **way, **{name: value})


def test_only_a_random_head_is_taught_fast(scenes):
    """At ten times the rate, two epochs took a network under a fitted head from .875 to .815 of 200 photographs."""
    shown, known = scenes[0], load_model("micro0")
    others = replace(known, classes=tuple("abcdefghij"))
    rates = [
        settings_for(start, shown, fitted, epochs=1, seed=0).learning_rate
        for start, fitted in ((known, 0), (others, 1), (others, 0))
    ]
    assert rates == [1e-4, 1e-4, 1e-3]
    assert settings_for(others, shown, True, epochs=1, seed=0, learning_rate=0.5).learning_rate == 0.5


def test_a_head_without_names_or_in_another_order_is_kept(scenes, caplog):
    shown, held_out, evaluation = scenes
    known = load_model("micro0")
    before = hits(known, evaluation)
    unnamed = replace(known, classes=tuple(str(i) for i in range(len(known.classes))))
    turned = replace(with_classes(known, known.classes[::-1]), name="turned")
    assert turned.classes == known.classes[::-1]
    for start in (unnamed, turned):  # both are trained from there
        np.testing.assert_array_equal(hits(with_classes(start, evaluation.classes), evaluation), before)
    model, _ = fine_tune(turned, shown, validation=held_out, epochs=1, learning_rate=1e-7)
    assert model.classes == evaluation.classes
    assert chance(before, hits(model, evaluation)) > 0.05
    other = with_classes(replace(known, classes=tuple("abcdefghij")), evaluation.classes)
    assert hits(other, evaluation).mean() < 0.5  # a new head


def test_training_on_a_guess_is_refused_and_what_is_stated_counts(tmp_path):
    known = load_model("micro0")
    guessed = replace(known, preprocess=replace(known.preprocess, origin="guessed"))
    with pytest.raises(UserError, match=r"training at .* would be a guess"):
        train(data="scenes?n=60&side_px=32", start=guessed, epochs=1)
    stated = StatedInput(input_range="0..255", size=40)
    done = train(data="scenes?n=60&side_px=32", start=guessed, epochs=1, preprocess=stated)
    assert (done.model.preprocess.size, done.model.preprocess.std) == ((40, 40), 1.0)
