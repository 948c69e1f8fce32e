"""A run by its recipe: numbers instead of a name, a teacher, stages, and an end that an interruption does not change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from effnet_lab.images import Preprocess, open_images
from effnet_lab.models import load_model
from effnet_lab.models.build import build_model
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.scaling import MICRO, Grid, search, spec_by_numbers, totals
from effnet_lab.training import train, train_from_scratch
from effnet_lab.training.average import MovingAverage
from effnet_lab.training.from_scratch import predict, random_model
from effnet_lab.training.losses import make_loss
from effnet_lab.training.optimizers import make_optimizer, make_schedule
from effnet_lab.training.pipeline import training_data
from effnet_lab.training.recipes import hold_out, settings_of
from effnet_lab.training.settings import Settings
from effnet_lab.training.state import best_path, state_path
from effnet_lab.training.teacher import open_teacher

DATA = "scenes?n=60&side_px=40"
TINY = replace(MICRO["micro0"], name="tiny", depth=0.1, drop_connect=0.2)


def test_a_row_of_search_is_trained_by_its_numbers(tmp_path):
    grid = Grid(widths=(0.05, 0.1), depths=(0.3,), resolutions=(32,))
    row = search(max_params=60_000, classes=10, grid=grid).iloc[0]
    spec = spec_by_numbers(row["width"], row["depth"], int(row["resolution_px"]))
    assert totals(spec, 10).params == row["params"]
    done = train(
        data=DATA, out=tmp_path / "n.safetensors", width=row["width"], depth=row["depth"], size_px=32, epochs=1
    )
    assert (done.card["params"], done.card["size_px"]) == (row["params"], 32)
    assert f"--width {row['width']:g} --depth {row['depth']:g} --size 32" in done.card["command"]
    assert load_model(done.file).spec == spec
    with pytest.raises(UserError, match=r"needs --width, --depth and --size. Missing: --depth"):
        train(data=DATA, width=0.1, size_px=32)


RUN = {
    "data": DATA, "width": 0.05, "depth": 0.1, "size_px": 32, "recipe": "modern", "batch": 32, "epochs": 2, "qat_epochs": 2,
    "augment": "crop,flip,mixup",
}  # fmt: skip
CHILD = "import json, sys; from effnet_lab.training import train; train(**json.loads(sys.argv[1]))"


def killed(options: dict, epochs: int) -> None:
    """Start the run in a process of its own, and kill it some moments after it has ended so many epochs of a stage."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(options)], stderr=subprocess.PIPE)
    state, deadline = state_path(options["out"]), time.monotonic() + 500
    before = state.stat().st_mtime_ns if state.exists() else 0
    try:
        for _ in range(epochs):
            while not state.exists() or state.stat().st_mtime_ns == before:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            before = state.stat().st_mtime_ns
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run from its begin to its end, told to TensorBoard, too."""
    folder = tmp_path_factory.mktemp("whole")
    return train(**RUN, out=folder / "whole.safetensors", logs=folder)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(whole, tmp_path, monkeypatch):
    """Killed in the float stage, as the quantized stage begins, after an epoch of it, and while the result is measured."""
    broken = tmp_path / "broken.safetensors"
    killed({**RUN, "out": str(broken)}, 1)
    assert state_path(broken).exists()
    assert load_model(best_path(broken)).classes == whole.model.classes
    for _ in range(2):
        killed({**RUN, "out": str(broken), "resume": True}, 1)
    assert not broken.exists()

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("effnet_lab.training.recipes.make_card", stop)
        with pytest.raises(KeyboardInterrupt):
            train(**RUN, out=broken, resume=True)
    done = train(**RUN, out=broken, resume=True)
    assert done.table.drop(columns="model").equals(whole.table.drop(columns="model"))
    for name, variable in zip(whole.model.keras.weights, done.model.keras.weights, strict=True):
        np.testing.assert_array_equal(name.numpy(), variable.numpy())
    assert done.card["top1"] == whole.card["top1"]
    assert done.model.fake_quantized
    assert not state_path(broken).exists()


def test_early_stopping_gives_the_best_epoch(tmp_path):
    images, held_out = hold_out(open_images("digits", "train", limit=200))
    out = tmp_path / "x.safetensors"
    model, history = train_from_scratch(
        TINY, images, validation=held_out, epochs=30, seed=0, batch=16, learning_rate=0.05, patience=2, out=out
    )
    scores = history["validation_top1"].tolist()
    assert len(scores) < 30
    assert scores.index(max(scores)) == len(scores) - 3
    assert (predict(model, held_out).argmax(axis=1) == held_out.labels).mean() == pytest.approx(max(scores))
    assert out.with_suffix(".best.safetensors").read_bytes() == to_bytes(model)


def test_tensorboard_shows_the_history_over_all_stages(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for part, columns in {"train": ("loss", "train_top1"), "validation": (None, "validation_top1")}.items():
        events = EventAccumulator(str(whole.file.parent / part))
        events.Reload()
        for tag, column in zip(("epoch_loss", "epoch_top1"), columns, strict=True):
            found = {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)}
            assert list(found) == [0, 1, 2, 3]
            if column is not None:
                np.testing.assert_allclose(list(found.values()), whole.table[column], rtol=1e-6)


def test_stages_hold_what_they_should():
    from effnet_lab.training import fine_tune

    images, held_out = hold_out(open_images(DATA, "train"))
    start = load_model("micro0")
    model, history = fine_tune(start, images, validation=held_out, epochs=0, freeze_epochs=1, batch=16)
    for before, after in zip(start.keras.weights, model.keras.weights, strict=True):
        assert np.array_equal(before.numpy(), after.numpy()) == ("head_dense" not in before.name), before.name
    assert history["epoch"].tolist() == [1]


def test_lower_layers_learn_more_slowly():
    from effnet_lab.training import fine_tune

    images, held_out = hold_out(open_images(DATA, "train"))
    start = load_model("micro0")
    moved = {}
    for decay in (1.0, 0.1):
        model, _ = fine_tune(start, images, validation=held_out, epochs=1, batch=64, rate_decay=decay)
        moved[decay] = {
            a.name: float(np.abs(a.numpy() - b.numpy()).max())
            for a, b in zip(start.keras.trainable_weights, model.keras.trainable_weights, strict=True)
        }
    last = max(int(name.split("_")[1]) for name in moved[1.0] if name.startswith("blocks_"))
    for name, far in moved[1.0].items():
        # one step of Adam goes as far as the rate, whatever the gradient
        power = last + 2 if "stem" in name else last + 1 - int(name.split("_")[1]) if "blocks" in name else 0
        assert moved[0.1][name] == pytest.approx(far * 0.1**power, rel=0.05, abs=2e-7), name


@pytest.mark.parametrize("seed", [0, 5])
def test_dropout_draws_what_keras_own_kind_draws(seed):
    """So the weights that come with the package are what their recipes give, and their runs can be interrupted."""
    preprocess, classes = Preprocess(size_px=32), tuple("0123456789")
    masks = []
    for make in (lambda: build_model(TINY, 10), lambda: random_model(TINY, classes, preprocess, seed).keras):
        tf_keras.utils.set_random_seed(seed)
        keras = make()
        dropped = [layer.output for layer in keras.layers if isinstance(layer, tf_keras.layers.Dropout)]
        probe = tf.function(tf_keras.Model(keras.input, dropped))
        masks.append([np.asarray(x) for _ in range(2) for x in probe(tf.ones((6, 32, 32, 3)), training=True)])
    assert len(masks[0]) >= 4
    for ours, theirs in zip(*masks, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- the recipes


def test_the_original_recipe_is_the_originals():
    from effnet_lab.training.how import How

    settings = Settings(**settings_of(How(recipe="original"), MICRO["micro0"]))
    assert (settings.optimizer, settings.average, settings.label_smoothing) == ("rmsprop", 0.9999, 0.1)
    assert (settings.weight_decay, settings.batch, settings.learning_rate) == (1e-5, 256, 0.016)
    halved = Settings(**settings_of(How(recipe="original", batch=128), MICRO["micro0"]))
    assert halved.learning_rate == 0.008
    schedule = make_schedule(settings, 350 * 100, 100)
    rates = [float(schedule(step)) for step in (0, 250, 499, 500, 719, 720, 2400)]
    floors = [0.97 ** (step // 240) * 0.016 for step in (500, 719, 720, 2400)]
    np.testing.assert_allclose(rates, [0, 0.008, 0.016 * 499 / 500, *floors], rtol=1e-5)


def test_rmsprop_is_tensorflow_1s():
    """Against its own kernel, with the mean of squares that begins at 1; weight decay is the gradient of l2_loss."""
    settings = Settings(epochs=1, seed=0, optimizer="rmsprop", learning_rate=0.1, weight_decay=0.01, warmup_epochs=0)
    optimizer = make_optimizer(settings, 10, 10)
    ours, theirs = (tf.Variable([1.0, -2.0, 3.0]) for _ in range(2))
    mean_square, momentum = tf.Variable(tf.ones(3)), tf.Variable(tf.zeros(3))
    for step in range(5):
        gradient = tf.constant([0.1, 0.5, -2.0]) * (step + 1)
        with tf.GradientTape() as tape:
            decay = 0.01 * tf.nn.l2_loss(theirs)
        whole = gradient + tape.gradient(decay, theirs)
        rate = float(make_schedule(settings, 10, 10)(step))
        optimizer.apply_gradients([(gradient, ours)])
        tf.raw_ops.ResourceApplyRMSProp(
            var=theirs.handle, ms=mean_square.handle, mom=momentum.handle, lr=rate, rho=0.9, momentum=0.9, epsilon=1e-3,
            grad=whole,
        )  # fmt: skip
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


def test_the_average_is_tensorflows():
    keras = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(2,))])
    ours, steps = MovingAverage(keras, 0.9), tf.Variable(0)
    copy = tf.Variable(keras.weights[0])
    theirs = tf.train.ExponentialMovingAverage(0.9, num_updates=steps)
    theirs.apply([copy])
    for step in range(1, 6):
        value = np.full((2, 1), float(step))
        keras.weights[0].assign(value)
        copy.assign(value)
        steps.assign(step)
        ours.on_train_batch_end(0)
        theirs.apply([copy])
        np.testing.assert_allclose(ours.values[0].numpy(), theirs.average(copy).numpy(), rtol=1e-6)


def test_the_drop_connect_ramp_runs_over_the_scaled_blocks():
    deep = spec_by_numbers(0.05, 2.0, 32)
    rates = [layer.rate for layer in build_model(deep, 10).layers if layer.name.endswith("_drop")]
    assert rates == sorted(rates)
    assert rates[-1] <= deep.drop_connect
    assert spec_by_numbers(0.1, 0.5, 64, "lite4").dropout == 0.3  # dropout is the variant's


# --- a teacher


def test_the_loss_is_keras_own():
    settings = Settings(epochs=1, seed=0, temperature=3.0, teacher_share=0.7)
    logits, answers = tf.constant([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]]), tf.constant([[2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    labels = tf.one_hot([1, 2], 3)
    apart = tf_keras.losses.KLDivergence(reduction="none")(tf.nn.softmax(answers / 3), tf.nn.softmax(logits / 3))
    hard = tf_keras.losses.CategoricalCrossentropy(from_logits=True, reduction="none")(labels, logits)
    found = make_loss(settings, 3, taught=True)(tf.concat([labels, answers], axis=1), logits)
    np.testing.assert_allclose(found, 0.7 * 9 * apart + 0.3 * hard, rtol=1e-4)


def test_a_file_and_its_weights_teach_alike(files):
    """Also where the pupil's classes are in another order, and at another size."""
    images = open_images("scenes", limit=12)
    turned = images.classes[::-1]
    model = load_model("micro0")
    pictures = np.stack([replace(model.preprocess, size_px=48).resize(images.read(i)) for i in range(12)]).astype(
        np.float32
    )
    answers = [
        open_teacher(network, classes).answers(tf.constant(pictures)).numpy()
        for network, classes in (
            (model, images.classes),
            (files["float32 converter"], images.classes),
            (model, turned),
        )
    ]
    alike = [
        tf.nn.softmax(rows / 2).numpy() for rows in answers[:2]
    ]  # what is learnt; a file gives logarithms of shares
    np.testing.assert_allclose(*alike, atol=2e-3)  # of a file, shares below 1e-6 are taken for 1e-6
    np.testing.assert_array_equal(answers[0], answers[2][:, ::-1])
    with pytest.raises(UserError, match=r"The teacher micro0 tells 10 classes apart .* Train it on these images"):
        open_teacher("micro0", ("a", "b"))


def test_a_view_that_comes_again_is_asked_about_once():
    """And looks the same to the grey level, whether it is kept or made anew."""
    images = open_images("scenes?n=12", split="train")
    asked = []

    def answer(pictures):
        asked.append(len(pictures))
        return np.zeros((len(pictures), 10), np.float32)

    teacher = replace(
        open_teacher("micro0", images.classes),
        network=lambda x, training: tf.numpy_function(answer, [x], tf.float32, stateful=False),
    )
    settings = Settings(epochs=4, seed=0, batch=12, augment=("crop=0.5",), views=2)
    preprocess = Preprocess(size_px=32, mean=0.0, std=1.0)
    data, order = training_data(images, preprocess, settings, teacher)
    looks = []
    for epoch in range(4):
        order.begin(epoch)
        ((pictures, targets),) = data.as_numpy_iterator()
        assert targets.shape == (12, 20)
        np.testing.assert_array_equal(pictures, np.round(pictures))
        looks.append(np.sort(pictures.sum(axis=(1, 2, 3))))
    assert asked == [12, 12]
    np.testing.assert_array_equal(looks[0], looks[2])
    assert not np.array_equal(looks[0], looks[1])
