"""Preprocessing against the original TPU code's own output (fixtures/preprocess), torchvision's rounding, odd pictures."""

from __future__ import annotations

import io
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from effnet_lab.images import ORIGINAL, Preprocess
from effnet_lab.images.decode import decode
from effnet_lab.images.legacy_bicubic import resize_legacy_bicubic
from effnet_lab.images.preprocess import INTERPOLATIONS
from effnet_lab.names import UserError
from effnet_lab.scaling import LITE

PADDING = {224: 32, 240: 34, 260: 37, 280: 40, 300: 43}  # px, tensorflow/tpu's table


@pytest.fixture(scope="module")
def original(shared):
    """Facts and arrays that tensorflow/tpu's preprocess_image(is_training=False) produced."""
    folder = shared / "fixtures/preprocess"
    facts = json.loads((folder / "preprocess.json").read_text())
    return (
        folder,
        {tag: fact for tag, fact in facts.items() if "models" in fact},
        np.load(folder / "golden_preprocess.npz"),
    )


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- the original's rule


def test_every_variant_has_its_padding():
    assert {spec.resolution for spec in LITE.values()} == PADDING.keys()


@pytest.mark.parametrize("size", PADDING)
def test_original_crop(size):
    preprocess = ORIGINAL(size)
    assert (preprocess.interpolation, preprocess.mean, preprocess.std) == ("bicubic_tf1", 127.0, 128.0)
    for short in (1, 2, 32, 137, 256, 287, 333, 1000, 4001):
        top, left, side, _ = preprocess.window(short, short + 57)
        assert side == max(1, int(size / (size + PADDING[size]) * short))
        assert (top, left) == ((short - side + 1) // 2, (short + 57 - side + 1) // 2)


@pytest.mark.real
def test_crop_and_resize_are_the_originals(original):
    """From the pixels of the original's own decoder: bit for bit where its crop is stored."""
    _, facts, golden = original
    compared = 0
    for tag, image in facts.items():
        decoded = golden[f"{tag}_decoded"]
        for model, fact in image["models"].items():
            preprocess = ORIGINAL(fact["image_size"])
            window = preprocess.window(*decoded.shape[:2])
            assert window == (*fact["offset_yx"], fact["crop_size"], fact["crop_size"])
            mine = preprocess.resize(decoded)
            assert mine.dtype == np.float32
            assert mine.min() == pytest.approx(fact["out_min"], abs=1e-3)
            assert mine.max() == pytest.approx(fact["out_max"], abs=1e-3)
            assert mine.mean() == pytest.approx(fact["out_mean"], abs=1e-3)
            if f"{tag}_{model}" in golden:
                theirs, crop = golden[f"{tag}_{model}"], golden[f"{tag}_{model}_crop_uint8"]
                resized = resize_legacy_bicubic(crop, *theirs.shape[:2])
                assert np.abs(resized - theirs).max() < 1e-3
                # the original decodes only the window, which changes the chroma of its last column
                rim = 3 if fact["decode_then_crop_vs_decode_and_crop"]["max"] else 0
                inner = slice(0, theirs.shape[1] - rim)
                assert np.abs(mine - theirs)[:, inner].max() < 1e-3
                compared += 1
    assert compared == 5


@pytest.mark.real
def test_from_the_jpeg_only_the_decoder_differs(original):
    """TensorFlow's fast DCT: up to 8 grey levels in the pixels, 1.1 on average; the kernel makes 11 of 8."""
    folder, facts, golden = original
    for tag, image in facts.items():
        pixels = decode((folder / image["file"]).read_bytes(), tag)
        mine = ORIGINAL(224).resize(pixels)
        difference = np.abs(mine - golden[f"{tag}_efficientnet-lite0"])
        assert difference.max() < 12
        assert difference.mean() < 1.2


def test_legacy_kernel_by_hand():
    """A ramp of 4 to 8 px: positions 0, .5, 1, ...; half-way weights are (-.09375, .59375, .59375, -.09375)."""
    ramp = np.array([0, 10, 20, 40], np.uint8)[None, :, None]
    out = resize_legacy_bicubic(ramp, 1, 8)[0, :, 0]
    half = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
    expected = [
        0,
        half @ [0, 0, 10, 20],
        10,
        half @ [0, 10, 20, 40],
        20,
        half @ [10, 20, 40, 40],
        40,
        half @ [20, 40, 40, 40],
    ]
    assert out == pytest.approx(expected, abs=1e-4)
    assert out.max() > 40  # overshoots, and is not clipped


def test_legacy_kernel_is_tensorflows():
    tf = pytest.importorskip("tensorflow")
    for shape, size in (((37, 61), (50, 20)), ((1, 1), (8, 8)), ((97, 3), (32, 32)), ((300, 200), (299, 201))):
        image = noise(*shape)
        theirs = tf.compat.v1.image.resize_bicubic(image[None], size).numpy()[0]
        assert np.abs(resize_legacy_bicubic(image, *size) - theirs).max() < 1e-3


def test_legacy_window_is_a_part_of_the_whole():
    image = noise(40, 70)
    whole = resize_legacy_bicubic(image, 90, 33)
    assert (resize_legacy_bicubic(image, 90, 33, (10, 5, 20, 20)) == whole[10:30, 5:25]).all()


# --- timm's rule


@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (240, 0.882), (260, 0.89), (300, 0.904), (380, 0.92)])
@pytest.mark.parametrize("shape", [(333, 500), (401, 287), (120, 160), (517, 517)])
def test_resize_first_is_torchvisions(size, crop, shape):
    """Written out anew: Resize(floor(size / crop)) on the shorter side, then CenterCrop(size)."""
    image = noise(*shape)
    short = math.floor(size / crop)
    height, width = shape
    whole = (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    resized = np.asarray(Image.fromarray(image).resize(whole[::-1], Image.Resampling.BICUBIC))
    top, left = (round(Fraction(side - size, 2)) for side in whole)
    preprocess = Preprocess(size_px=size, crop=crop, order="resize_first", mean=127.5, std=127.5)
    assert (preprocess.resize(image) == resized[top : top + size, left : left + size]).all()
    expected = (resized[top : top + size, left : left + size].astype(np.float32) / 255 - 0.5) / 0.5
    assert np.abs(preprocess(image) - expected).max() < 1e-6  # pytest.approx is slow on pictures
    _, _, kept_height, kept_width = preprocess.window(*shape)
    assert kept_height == pytest.approx(crop * min(shape), abs=3)
    assert kept_width == pytest.approx(kept_height, abs=1)


def test_resize_first_of_a_thin_picture_needs_no_giant():
    stripe = np.full((2, 9000, 3), 9, np.uint8)
    for interpolation in INTERPOLATIONS:
        preprocess = Preprocess(size_px=224, crop=0.875, order="resize_first", interpolation=interpolation)
        assert np.abs(preprocess.resize(stripe) - 9.0).max() < 1e-3


def test_the_box_gives_what_the_giant_would(monkeypatch):
    image = noise(30, 400)
    preprocess = Preprocess(size_px=64, crop=0.875, order="resize_first", interpolation="bilinear")
    whole = preprocess.resize(image).astype(int)
    monkeypatch.setattr("effnet_lab.images.preprocess._LARGE_PX", 0)
    assert np.abs(preprocess.resize(image) - whole).max() <= 1


# --- what is stored


def test_older_files_still_load():
    old = {"size_px": 48, "crop": None, "interpolation": "bilinear", "mean": 127.0, "std": 128.0}
    preprocess = Preprocess.from_dict(old)
    assert preprocess.order == "crop_first"
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.as_dict()))) == preprocess


def test_unknown_order():
    with pytest.raises(UserError, match="Did you mean 'resize_first'"):
        Preprocess(size_px=32, order="resize")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 3), (224, 224)])
@pytest.mark.parametrize("order", ["crop_first", "resize_first"])
def test_any_size_goes_in(interpolation, shape, order):
    out = Preprocess(size_px=32, interpolation=interpolation, order=order)(noise(*shape))
    assert (out.shape, out.dtype) == ((32, 32, 3), np.float32)
    assert np.isfinite(out).all()


# --- odd pictures


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_cmyk_grey_palette_alpha_and_deep_pictures_become_rgb():
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    cmyk = decode(encoded(red.convert("CMYK"), "JPEG", quality=95), "cmyk.jpg")
    assert np.abs(cmyk.astype(int) - (200, 30, 40)).max() < 8
    grey = decode(encoded(Image.new("L", (5, 4), 77), "JPEG"), "grey.jpg")
    assert grey.shape == (4, 5, 3)
    assert np.abs(grey.astype(int) - 77).max() <= 1
    assert decode(encoded(red.quantize(4)), "palette.png")[0, 0] == pytest.approx([200, 30, 40], abs=2)
    assert decode(encoded(Image.new("RGBA", (3, 3), (1, 2, 3, 0))), "alpha.png")[0, 0].tolist() == [1, 2, 3]
    assert decode(encoded(Image.new("LA", (3, 3), (9, 0))), "grey-alpha.png")[0, 0].tolist() == [9, 9, 9]
    deep = Image.fromarray(np.full((3, 3), 0xABCD, np.uint16))
    assert decode(encoded(deep), "deep.png")[0, 0].tolist() == [0xAB] * 3
    assert decode(encoded(Image.new("1", (3, 3), 1)), "bits.png")[0, 0].tolist() == [255] * 3
    assert decode(encoded(Image.new("RGB", (1, 1), (4, 5, 6))), "one.png").tolist() == [[[4, 5, 6]]]


def test_sixteen_bit_colour():
    """Pillow cannot write RGB16, so the file is written by hand: width, height, depth 16, colour type 2."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\x00" + struct.pack(">3H", 0x1234, 0x8000, 0xFFFF) * 2
    head = chunk(b"IHDR", struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert decode(data, "deep.png").tolist() == [[[0x12, 0x80, 0xFF]] * 2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 0.95])
def test_a_picture_that_ends_early_is_named(kind, kept):
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(UserError, match=r"Cannot decode holiday\.jpg: .*Replace the file") as error:
        decode(data[: int(kept * len(data))], "holiday.jpg")
    assert "\n" not in str(error.value)


def test_what_is_no_picture():
    with pytest.raises(UserError, match="the file is empty"):
        decode(b"", "x.jpg")
    with pytest.raises(UserError, match="neither JPEG nor PNG"):
        decode(b"GIF89a" + bytes(100), "x.jpg")
