"""Images: preprocessing, splits, determinism, trees and archives, and the errors that name what is wrong."""

from __future__ import annotations

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from effnet_lab.images import ORIGINAL, SPLITS, ImageSet, Preprocess, digits, open_images, scenes
from effnet_lab.images.imageset import spread
from effnet_lab.names import UserError
from effnet_lab.scaling import LITE

FINGERPRINTS = {  # what determines the pixels of the embedded data; a change here retrains the embedded models
    ("digits", "train"): "e0ad4f4748bdea0f",
    ("digits", "calibration"): "8f31a615a4423e61",
    ("digits", "evaluation"): "f4bd50dd1275374b",
    ("scenes", "train"): "8168c49109e426b0",
    ("scenes", "calibration"): "3ac39ef86c1b61d4",
    ("scenes", "evaluation"): "5e1389b4f1fd4ad4",
}


@pytest.fixture
def tree(tmp_path):
    """Folder with two classes, eight pictures each, all different, one as grey PNG."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / f"{i}.png")
    Image.fromarray(np.full((10, 12), 77, np.uint8)).save(tmp_path / "pets" / "cats" / "grey.png")
    (tmp_path / "pets" / "README.txt").write_text("no image")
    (tmp_path / "pets" / ".hidden.png").write_text("no image")
    return tmp_path / "pets"


@pytest.fixture
def archive(tree):
    path = tree.parent / "archive.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(tree, "pets")
    return path


# --- preprocessing


def test_preprocess_normalises():
    image = np.full((40, 60, 3), 255, np.uint8)
    out = ORIGINAL(32)(image)
    assert out.shape == (32, 32, 3)
    assert out.dtype == np.float32
    assert np.all(out == 1.0)


def test_preprocess_crops_the_centre_or_squashes():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :50] = 255  # a quarter at the left, outside the centred square
    assert Preprocess(size_px=20, crop=1.0).resize(image).max() == 0
    assert (Preprocess(size_px=20, crop=None, interpolation="nearest").resize(image) == 255).mean() == 0.25


def test_preprocess_antialiases():
    checks = np.indices((96, 96)).sum(axis=0) % 2 * 255
    image = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    small = Preprocess(size_px=32, crop=None, interpolation="bilinear").resize(image)
    assert np.abs(small.astype(int) - 127).max() < 40


def test_preprocess_round_trip():
    preprocess = Preprocess(size_px=48, crop=None, interpolation="nearest", mean=0.0, std=255.0)
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.as_dict()))) == preprocess


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"interpolation": "bicubik"}, "Did you mean 'bicubic'"),
        ({"size_px": 0}, "size_px must be >= 1. Got 0"),
        ({"crop": 1.5}, "crop must be in"),
        ({"std": 0.0}, "std must be > 0"),
        ({"size_px": 2**40}, "at most 65,535 px"),
        ({"mean": 10**400}, "mean must lie within"),
        ({"std": [1, 1, 10**400]}, "std must lie within"),
        ({"std": float("nan")}, "std must lie within"),
    ],
)
def test_preprocess_refuses(values, match):
    with pytest.raises(UserError, match=match):
        Preprocess(**({"size_px": 32} | values))


def test_preprocess_names_unknown_fields():
    with pytest.raises(UserError, match="Did you mean 'mean'"):
        Preprocess.from_dict({"size_px": 32, "meen": 1.0})


@pytest.mark.real
def test_crop_windows_are_the_originals(shared):
    facts = json.loads((shared / "fixtures/preprocess/preprocess.json").read_text())
    golden = np.load(shared / "fixtures/preprocess/golden_preprocess.npz")
    compared = 0
    for tag, image in facts.items():
        for model, fact in image["models"].items():
            window = ORIGINAL(fact["image_size"]).window(image["h"], image["w"])
            assert window == (*fact["offset_yx"], fact["crop_size"], fact["crop_size"]), (tag, model)
            key = f"{tag}_{model}_crop_uint8"
            if key in golden:
                top, left, height, width = window
                mine = golden[f"{tag}_decoded"][top : top + height, left : left + width]
                assert np.abs(mine.astype(int) - golden[key]).mean() < 0.1  # decode-and-crop differs at the rim
                compared += 1
    assert compared == 5


@pytest.mark.real
def test_resize_is_near_the_originals(shared):
    golden = np.load(shared / "fixtures/preprocess/golden_preprocess.npz")
    for spec in (LITE["lite0"], LITE["lite2"], LITE["lite4"]):
        mine = ORIGINAL(spec.resolution).resize(golden["landscape_decoded"]).astype(float)
        assert np.abs(mine - golden[f"landscape_efficientnet-{spec.name}"]).mean() < 3.0  # the legacy kernel: 2.4


# --- embedded data


def test_every_embedded_split_has_a_golden():
    assert FINGERPRINTS.keys() == {(name, split) for name in ("digits", "scenes") for split in SPLITS}


@pytest.mark.parametrize(("name", "split"), FINGERPRINTS)
def test_fingerprints(name, split):
    assert open_images(name, split).fingerprint == FINGERPRINTS[name, split]


def test_digit_splits_are_disjoint_complete_and_stratified():
    parts = {split: digits.members(split) for split in SPLITS}
    everything = np.concatenate(list(parts.values()))
    assert len(everything) == len(set(everything)) == 1797
    shares = {split: np.bincount(digits.load()[1][part]) / len(part) for split, part in parts.items()}
    assert all(np.abs(share - 0.1).max() < 0.02 for share in shares.values())


def test_no_digit_is_twice_in_scikit_learn():
    pixels, _ = digits.load()
    assert len(np.unique(pixels.reshape(1797, 64), axis=0)) == 1797


def test_scene_splits_share_neither_digits_nor_columns():
    shown = {split: set(scenes.digit_indices(split, 3000, 0)) for split in SPLITS}
    assert all(shown[split] == set(digits.members(split)) for split in SPLITS)
    columns = [set(range(*scenes.COLUMNS[split])) for split in SPLITS]
    assert sum(map(len, columns)) == len(set.union(*columns))
    assert all(strip.width >= scenes.LOOK.crop_px[1] for split in SPLITS for strip in scenes._strips(split))


def test_scenes_do_not_depend_on_how_many_are_asked_for():
    few, many = open_images("scenes?n=5"), open_images("scenes")
    assert (few.labels == many.labels[:5]).all()
    assert all((few.read(i) == many.read(i)).all() for i in range(5))
    assert (few.read(0) != few.read(1)).any()
    assert few.fingerprint != many.fingerprint


def test_seeds_and_splits_differ():
    images = [open_images("scenes", split).read(0) for split in SPLITS] + [open_images("scenes?seed=1").read(0)]
    assert len({image.tobytes() for image in images}) == 4


def test_a_scene_is_the_same_at_every_side():
    small, large = open_images("scenes?side_px=48"), open_images("scenes?side_px=144")
    assert (small.labels == large.labels).all()
    shrink = Preprocess(size_px=48, crop=None, interpolation="bilinear")
    for i in range(20):
        pair = [shrink.resize(large.read(i)).astype(float).ravel(), small.read(i).astype(float).ravel()]
        assert np.corrcoef(pair)[0, 1] > 0.97, i
        assert np.abs(pair[0] - pair[1]).mean() < 8, i


def test_scenes_show_their_digit():
    pixels, _ = digits.load()
    flat = scenes.Look(contrast=(90.0, 90.0), rotation=0.0, stretch=0.0, scale=(1.0, 1.0), opacity=(1.0, 1.0), tint=0.0)
    image = scenes.render(0, pixels[0], "train", 0, 80, flat).astype(float)
    empty = scenes.render(0, np.zeros((8, 8), np.uint8), "train", 0, 80, flat).astype(float)
    ink = np.abs(image - empty).mean(axis=2)
    expected = np.asarray(Image.fromarray(pixels[0]).resize((80, 80), Image.Resampling.BICUBIC), dtype=float)
    assert np.corrcoef(ink.ravel(), expected.ravel())[0, 1] > 0.9


def test_names_reopen_the_same_images():
    for source in ("digits", "digits?side_px=64", "scenes", "scenes?side_px=128&n=7&seed=3"):
        images = open_images(source)
        assert images.name == source
        assert open_images(images.name).fingerprint == images.fingerprint


def test_digits():
    images = open_images("digits?side_px=20")
    assert images.read(0).shape == (20, 20, 3)
    assert images.classes == tuple("0123456789")


# --- image sets


def test_take_is_spread_over_classes_and_repeatable():
    images = open_images("scenes")
    few = images.take(25)
    assert np.bincount(few.labels, minlength=10).tolist() == [3] * 5 + [2] * 5
    assert np.bincount(few.labels[:10], minlength=10).tolist() == [1] * 10
    assert few.fingerprint == images.take(25).fingerprint != images.fingerprint
    assert (few.read(3) == images.read(int(spread(images.labels, 25)[3]))).all()
    assert images.take(None) is images
    assert len(images.take(10**6)) == len(images)
    with pytest.raises(UserError, match="limit must be >= 1"):
        images.take(0)


def test_take_fills_up_from_large_classes():
    labels = np.array([0] * 2 + [1] * 50)
    assert np.bincount(labels[spread(labels, 20)]).tolist() == [2, 18]


def test_batches_stream_in_order():
    read = []
    images = ImageSet(
        name="x", split="all", classes=("a",), labels=np.zeros(5, np.int64), fingerprint="0",
        read=lambda i: (read.append(i), np.full((8, 8, 3), i, np.uint8))[1],
    )  # fmt: skip
    batches = images.batches(Preprocess(size_px=8, crop=None, mean=0.0, std=1.0), size=2)
    first, of_first = next(batches)
    assert read == [0, 1]
    assert first.shape == (2, 8, 8, 3)
    assert of_first.dtype == np.int64
    assert [len(x) for x, _ in batches] == [2, 1]


# --- trees


def test_tree_and_archive_agree(tree, archive):
    folder, tar = open_images(tree), open_images(archive)
    assert (folder.name, tar.name, folder.split) == ("pets", "archive", "all")
    assert folder.classes == tar.classes == ("cats", "dogs")
    assert folder.fingerprint == tar.fingerprint
    assert folder.labels.tolist() == [0] * 9 + [1] * 8
    assert all((folder.read(i) == tar.read(i)).all() for i in range(17))
    assert folder.read(8).shape == (10, 12, 3)


def test_archive_is_read_from_several_threads(archive):
    images = open_images(archive)
    one = [images.read(i % 17).tobytes() for i in range(170)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: images.read(i % 17).tobytes(), range(170))) == one


def test_tree_fingerprint_follows_the_pixels(tree):
    before = open_images(tree).fingerprint
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tree / "dogs" / "0.png")
    assert open_images(tree).fingerprint != before


def test_tree_splits_are_disjoint_and_complete(tree):
    for i in range(60):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tree / "dogs" / f"more{i}.png")
    parts = [_pixels(open_images(tree, split)) for split in SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 77
    assert len(parts[0]) > 50


def test_split_table(tree):
    names = sorted(f"{path.parent.name}/{path.name}" for path in tree.glob("*/*.png"))
    lines = [f"{split}\t{name}" for split, name in zip(["train", "val", "test"] * 6, names, strict=False)]
    (tree / "split.tsv").write_text("\n".join(lines) + "\n")
    assert [len(open_images(tree, split)) for split in SPLITS] == [6, 6, 5]
    (tree / "split.tsv").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(UserError, match=r"cats/0.png is not in split.tsv"):
        open_images(tree, "train")
    (tree / "split.tsv").write_text("cats/0.png\n")
    with pytest.raises(UserError, match=r"line 1 of split.tsv"):
        open_images(tree)


@pytest.mark.parametrize("packed", [False, True])
def test_evaluation_images_do_not_calibrate(tree, packed):
    names = sorted(f"{path.parent.name}/{path.name}" for path in tree.glob("*/*.png"))
    (tree / "split.tsv").write_text("".join(f"{'test' if i % 2 else 'val'}\t{name}\n" for i, name in enumerate(names)))
    source = tree
    if packed:
        source = tree.parent / "archive.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(tree, "pets")
    open_images(source, "calibration").require_calibration()
    for split in ("evaluation", "all"):
        with pytest.raises(UserError, match="must not be evaluation images"):
            open_images(source, split, limit=3).require_calibration()
    (tree / "split.tsv").unlink()
    open_images(tree, "all").require_calibration()


def test_broken_files_are_named(tree):
    (tree / "cats" / "0.png").write_bytes((tree / "cats" / "1.png").read_bytes()[:300])
    (tree / "cats" / "2.png").write_text("not a picture")
    images = open_images(tree)
    for index, name in ((0, "cats/0.png"), (2, "cats/2.png")):
        with pytest.raises(UserError, match=name):
            images.read(index)


def test_odd_pictures_become_rgb(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(folder / "deep.png")
    palette = Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).quantize(4)
    palette.save(folder / "palette.png", transparency=b"\x00\x80")
    Image.fromarray(np.full((4, 4, 4), 50, np.uint8), "RGBA").save(folder / "rgba.png")
    images = open_images(tmp_path / "a")
    assert [images.read(i)[0, 0].tolist() for i in range(3)] == [[156] * 3, [9] * 3, [50] * 3]


def test_calibration_images_need_no_class_folders(tmp_path):
    for i in range(12):
        Image.new("RGB", (4, 4), (i, i, i)).save(tmp_path / f"{i:02}.png")
    images = open_images(tmp_path, "calibration", limit=8)
    assert len(images) == 8
    assert images.split == "all"
    assert [int(images.read(i)[0, 0, 0]) for i in range(8)] == [0, 1, 3, 4, 6, 7, 9, 10]  # spread over the folder
    everything = open_images(tmp_path)
    assert (len(everything), everything.labelled, everything.classes) == (12, False, ())
    with pytest.raises(UserError, match="has no evaluation split"):
        open_images(tmp_path, "evaluation")
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "cats" / "x.png")
    with pytest.raises(UserError, match="lies in no class folder"):
        open_images(tmp_path)


@pytest.mark.parametrize("kind", ["empty", "no images", "compressed"])
def test_trees_that_are_none(tmp_path, kind):
    path = tmp_path / "t"
    path.mkdir()
    if kind == "no images":
        (path / "notes.txt").write_text("x")
    if kind == "compressed":
        path = tmp_path / "t.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(tmp_path / "t")
    with pytest.raises(UserError, match=r"has no image in it|uncompressed .tar"):
        open_images(path)


@pytest.mark.parametrize(
    ("source", "split", "match"),
    [
        ("scene", None, "Did you mean 'scenes'"),
        ("scenes", "test", "Unknown split 'test'"),
        ("scenes?sidepx=3", None, "Did you mean 'side_px'"),
        ("scenes?n=many", None, "must be a whole number. Got 'many'"),
        ("scenes?n=0", None, "n must be >= 1. Got 0"),
        ("digits?side_px=4", None, "side_px must be >= 8"),
    ],
)
def test_mistakes(source, split, match):
    with pytest.raises(UserError, match=match):
        open_images(source, split)


# --- the cache


def test_a_missing_data_set_says_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"Put it at .*flowers160\.tar") as error:
        open_images("flowers160")
    assert "\n" not in str(error.value)


def test_an_unpacked_data_set_wins(tmp_path, monkeypatch, tree):
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(tmp_path))
    tree.rename(tmp_path / "flowers160")
    assert open_images("flowers160").classes == ("cats", "dogs")


@pytest.mark.real
def test_flowers(shared, monkeypatch):
    monkeypatch.setenv("EFFNET_LAB_CACHE", str(shared / "data"))
    images = open_images("flowers160")
    assert (len(images), images.name) == (3670, "flowers160")
    assert images.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert np.bincount(images.labels).tolist() == [633, 898, 641, 699, 799]
    assert min(images.read(0).shape[:2]) == 160
    parts = [open_images("flowers160", split) for split in SPLITS]
    assert sum(map(len, parts)) == 3670
    assert [round(len(part) / 3670, 1) for part in parts] == [0.8, 0.1, 0.1]


def _pixels(images: ImageSet) -> set[bytes]:
    return {images.read(i).tobytes() for i in range(len(images))}


# --- sizes are bounded where they enter


@pytest.mark.parametrize("source", ["scenes?side_px=100000", "scenes?n=100000000000", "digits?side_px=10000000"])
def test_what_does_not_fit_the_memory_is_refused(source):
    with pytest.raises(UserError, match=r"would take about [\d,.]+ GB, and [\d,.]+ GB of memory are free"):
        open_images(source)


def test_the_bound_is_the_memory_that_is_free(monkeypatch):
    class Little:
        available = 3e6

    monkeypatch.setattr("effnet_lab.images.bounds.psutil.virtual_memory", Little)
    assert len(open_images("scenes?side_px=96&n=10")) == 10
    with pytest.raises(UserError, match="side_px=128"):
        open_images("scenes?side_px=128&n=10")
