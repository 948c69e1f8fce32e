"""Augmentation: Pillow's results, a pure function of picture and seed, and a pipeline that reads each picture once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from effnet_lab.images import ImageSet, Preprocess, open_images
from effnet_lab.names import UserError
from effnet_lab.training import randaugment as operations
from effnet_lab.training.augment import AUGMENTATIONS, mix, parse_augment, seed_of, stored, strengths, view
from effnet_lab.training.pipeline import Shelf, training_data
from effnet_lab.training.settings import Settings

SIDE = 48
PIL = {  # ours, Pillow's, grey levels that may lie between them
    "posterize": (lambda x: operations.posterize(x, tf.constant(5.0)), lambda p: ImageOps.posterize(p, 5), 0),
    "solarize": (lambda x: operations.solarize(x, tf.constant(100.0)), lambda p: ImageOps.solarize(p, 100), 0),
    "autocontrast": (operations.autocontrast, ImageOps.autocontrast, 1),
    "equalize": (operations.equalize, ImageOps.equalize, 0),
    "colour": (lambda x: operations.colour(x, 1.7), lambda p: ImageEnhance.Color(p).enhance(1.7), 2),
    "contrast": (lambda x: operations.contrast(x, 0.4), lambda p: ImageEnhance.Contrast(p).enhance(0.4), 1),
    "brightness": (lambda x: operations.brightness(x, 1.6), lambda p: ImageEnhance.Brightness(p).enhance(1.6), 1),
    "sharpness": (lambda x: operations.sharpness(x, 1.9), lambda p: ImageEnhance.Sharpness(p).enhance(1.9), 2),
}


@pytest.fixture(scope="module")
def photograph():
    """A part of a photograph, float32, that does not use all grey levels."""
    image = open_images("scenes?side_px=48", limit=1).read(0)
    return (image.astype(np.float32) * 0.8 + 10).round()


@pytest.mark.parametrize("name", PIL)
def test_randaugment_computes_what_pillow_does(photograph, name):
    ours, theirs, apart = PIL[name]
    expected = np.asarray(theirs(Image.fromarray(photograph.astype(np.uint8))), np.float32)
    found = np.asarray(ours(tf.constant(photograph)))
    assert np.abs(found - expected).max() <= apart + 0.5
    assert np.abs(expected - photograph).max() > 5  # it does something


def test_rotation_and_shift_go_where_pillows_go(photograph):
    picture = Image.fromarray(photograph.astype(np.uint8))
    turned = np.asarray(operations.rotate(tf.constant(photograph), 90.0))
    np.testing.assert_array_equal(turned, np.rot90(photograph, 1))
    ours = np.asarray(operations.rotate(tf.constant(photograph), 20.0))
    theirs = np.asarray(picture.rotate(20, Image.Resampling.NEAREST, fillcolor=(128, 128, 128)), np.float32)
    assert np.mean(np.abs(ours - theirs)[4:-4, 4:-4] < 1) > 0.9  # the nearest pixel may be another at a boundary
    sheared = np.asarray(operations.OPERATIONS["shear_x"](tf.constant(photograph), tf.constant(0.5)))
    theirs = picture.transform(picture.size, Image.Transform.AFFINE, (1, 0.15, 0, 0, 1, 0), fillcolor=(128,) * 3)
    assert np.mean(np.abs(sheared - np.asarray(theirs, np.float32)) < 1) > 0.9
    shifted = np.asarray(operations.OPERATIONS["translate_x"](tf.constant(photograph), tf.constant(0.5)))
    np.testing.assert_array_equal(shifted[:, :-7], photograph[:, 7:])
    assert (shifted[:, -7:] == operations.FILL).all()


def views_of(photograph, augment, seeds, side=SIDE):
    chosen = strengths(parse_augment(augment))
    make = tf.function(
        lambda i: view(
            tf.constant(photograph),
            tf.constant(1.0),
            seed_of(tf.constant(7), tf.constant(0), i),
            (side, side),
            chosen,
            127.0,
        )
    )
    return np.stack([make(tf.constant(i)) for i in seeds])


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "mixup"])
def test_a_view_follows_from_its_seed(photograph, name):
    side = 38 if name == "crop" else SIDE
    first, again = (views_of(photograph, name, range(8), side) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({one.tobytes() for one in first}) > 1
    assert (first >= 0).all()
    assert (first <= 255).all()


def test_a_flip_is_a_flip_and_a_hole_a_square(photograph):
    flipped = [np.array_equal(one, photograph[:, ::-1]) for one in views_of(photograph, "flip", range(40))]
    kept = [np.array_equal(one, photograph) for one in views_of(photograph, "flip", range(40))]
    assert np.logical_xor(flipped, kept).all()
    assert 8 < sum(flipped) < 32
    for one in views_of(photograph, "cutout=0.5", range(10)):
        hole = (one != photograph).any(axis=2)
        assert hole.sum() <= (SIDE / 2) ** 2
        assert (one[hole] == 127).all()


def test_a_part_has_the_area_and_the_aspect_that_are_asked_for():
    """Of a picture whose grey levels are its coordinates, the extremes say which part was cut out."""
    rows, columns = np.mgrid[0:200, 0:200].astype(np.float32)
    ramp = np.stack([rows, columns, rows], axis=2)
    shares, aspects = [], []
    for one in views_of(ramp, "crop=0.4", range(60), side=40):
        tall, wide = (np.ptp(one[..., i]) * 40 / 39 / 200 for i in (0, 1))
        shares.append(tall * wide)
        aspects.append(wide / tall)
    assert 0.3 < min(shares) < 0.55
    assert max(shares) < 1.05
    assert 0.7 < min(aspects) < 0.85
    assert 1.15 < max(aspects) < 1.4
    whole = views_of(ramp, "crop=1", [1], side=100)[0]
    expected = np.asarray(Image.fromarray(ramp.astype(np.uint8)).resize((100, 100), Image.Resampling.BILINEAR))
    assert np.abs(whole - expected).mean() < 40  # the aspect may still be another


def test_mixing_is_a_weighted_sum_of_neighbours():
    pictures, targets = tf.random.stateless_uniform((6, 4, 4, 3), [1, 2]), tf.one_hot([0, 1, 2, 3, 4, 5], 6)
    mixed, shares = mix([pictures, targets], tf.constant([3, 4], tf.int64), 0.4)
    own = np.diag(np.asarray(shares))
    np.testing.assert_allclose(np.sum(shares, axis=1), 1, rtol=1e-6)
    expected = own[:, None, None, None] * pictures + (1 - own[:, None, None, None]) * np.roll(pictures, -1, axis=0)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    assert len(set(own.tolist())) == 6


def test_names_and_strengths():
    assert parse_augment("mixup,flip") == ("flip=0.5", "mixup=0.2")
    assert parse_augment("none") == parse_augment(None) == ()
    with pytest.raises(UserError, match="Did you mean 'crop'"):
        parse_augment("crops")
    for wrong in ("crop=2", "flip=x", "cutout=0"):
        with pytest.raises(UserError, match="strength"):
            parse_augment(wrong)


# --- the pipeline


def counted(images: ImageSet) -> tuple[ImageSet, list[int]]:
    reads: list[int] = []
    return replace(images, read=lambda i: reads.append(i) or images.read(i)), reads


def batches(images, epochs, **settings):
    chosen = Settings(epochs=epochs, seed=3, batch=8, **settings)
    preprocess = Preprocess(size_px=32, crop=None, interpolation="bilinear")
    data, order = training_data(images, preprocess, chosen)
    out = []
    for epoch in range(epochs):
        order.begin(epoch)
        out.append([(x.numpy(), y.numpy()) for x, y in data])
    return out


def test_every_picture_is_read_once_and_shown_once_an_epoch():
    images, reads = counted(open_images("digits", "train", limit=30))
    epochs = batches(images, 3)
    assert sorted(reads) == [*range(30), 0][:1] + list(range(30))  # the first one also says how large they are
    expected = sorted(
        Preprocess(size_px=32, crop=None, interpolation="bilinear")(images.read(i)).tobytes() for i in range(30)
    )
    orders = []
    for epoch in epochs:
        shown = [x.tobytes() for batch, _ in epoch for x in batch]
        assert sorted(shown) == expected
        orders.append(shown)
    assert orders[0] != orders[1] != orders[2]


def test_an_epoch_can_be_entered_anywhere():
    """The position in the data is the number of the epoch: its order and its views do not depend on those before it."""
    images = open_images("digits", "train", limit=20)
    how = {"augment": ("crop=0.5", "flip=0.5", "mixup=0.2")}
    whole = batches(images, 3, **how)
    preprocess = Preprocess(size_px=32, crop=None, interpolation="bilinear")
    data, order = training_data(images, preprocess, Settings(epochs=3, seed=3, batch=8, **how))
    order.begin(2)
    for (x, y), (expected_x, expected_y) in zip(data, whole[2], strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)


def test_views_come_again():
    images = open_images("digits", "train", limit=20)

    def looks(views):
        return [
            {x.tobytes() for batch, _ in epoch for x in batch}
            for epoch in batches(images, 4, augment=("crop=0.5",), views=views)
        ]

    first, second, third, fourth = looks(2)
    assert (first, second) == (third, fourth)
    assert first != second
    assert len(set.union(*looks(0))) == 80


def test_what_does_not_fit_into_memory_lies_in_a_file():
    images = open_images("digits", "train", limit=20)
    preprocess = Preprocess(size_px=32)
    small, large = Shelf(images, preprocess, most_bytes=1000), Shelf(images, preprocess)
    assert isinstance(small._pictures, np.memmap)
    assert not isinstance(large._pictures, np.memmap)
    for shelf in (small, large):
        pictures, aspects = shelf.take(np.array([3, 0, 19]))
        np.testing.assert_array_equal(pictures, [preprocess.resize(images.read(i)) for i in (3, 0, 19)])
        assert aspects.tolist() == [1, 1, 1]
    assert stored(preprocess, ()) == preprocess
    assert stored(preprocess, ("crop=0.5",)).size == (40, 40)
