"""Data sets on disk: class folders, the ImageNet validation folder, TFRecords against TensorFlow's writer, label files."""

from __future__ import annotations

import importlib.machinery
import io
import json
import shutil
import sys
import tarfile
import tracemalloc
import types

import numpy as np
import pytest
from PIL import Image

from effnet_lab.images import check_data, open_images
from effnet_lab.images.labels import imagenet_synsets, read_labels
from effnet_lab.images.protobuf import Span, example_features, fields, first_int, varint
from effnet_lab.images.tfrecords import _masked_crc32c
from effnet_lab.names import UserError
from effnet_lab.training import train

SYNSETS = list(imagenet_synsets())


def jpeg(value: int, side: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def values(images) -> list[int]:
    """Grey level of every picture."""
    return [int(images.read(i)[0, 0, 0]) for i in range(len(images))]


# --- a folder per class


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_an_empty_class_folder_is_named(tmp_path, kind):
    for name in ("cats", "dogs", "empty", ".hidden"):
        (tmp_path / "pets" / name).mkdir(parents=True)
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name / "a.jpg").write_bytes(jpeg(3))
    source = tmp_path / "pets"
    if kind == "tar":
        source = tmp_path / "pets.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(tmp_path / "pets", "pets")
    with pytest.raises(UserError, match=r"the class folder (pets/)?empty is empty"):
        open_images(source)
    (tmp_path / "pets" / "empty").rmdir()
    assert open_images(tmp_path / "pets").classes == ("cats", "dogs")


# --- the ImageNet validation folder


@pytest.fixture
def validation(tmp_path):
    """Four pictures named as in the validation set, 10, 20, 30 and 40 grey."""
    folder = tmp_path / "val"
    folder.mkdir()
    for i in range(4):
        (folder / f"ILSVRC2012_val_{i + 1:08d}.JPEG").write_bytes(jpeg(10 * (i + 1)))
    return folder


def test_the_list_of_synsets():
    assert len(SYNSETS) == 1000
    assert sorted(SYNSETS) == SYNSETS
    assert [SYNSETS[i] for i in (0, 65, 999)] == ["n01440764", "n01751748", "n15075141"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["3", "0", "999", "7"], [3, 0, 999, 7]),
        (["3", "1", "2", "1"], [2, 0, 1, 0]),
        (["3", "1000", "2", "7"], [2, 999, 1, 6]),
        ([SYNSETS[5], SYNSETS[0], SYNSETS[999], SYNSETS[65]], [5, 0, 999, 65]),
        (["0", "5", "5", "1"], [0, 5, 5, 1]),
        ([f"ILSVRC2012_val_{i:08d}.JPEG\t{4 - i}" for i in (4, 2, 1, 3)], [3, 2, 1, 0]),
        ([f"val/ILSVRC2012_val_{i:08d}.JPEG {SYNSETS[i]}" for i in (4, 2, 1, 3)], [1, 2, 3, 4]),
        (
            ["ImageId,PredictionString", *(f"ILSVRC2012_val_{i:08d},{SYNSETS[i]} 1 2 3 4" for i in (1, 2, 3, 4))],
            [1, 2, 3, 4],
        ),
    ],
)
def test_ground_truth_formats(validation, lines, expected):
    (validation / "val.txt").write_text("\n".join(lines) + "\n")
    images = open_images(validation)
    assert images.labels.tolist() == expected
    assert (images.name, images.split, images.positional) == ("val", "all", True)
    assert images.classes == tuple(SYNSETS)
    assert values(images) == pytest.approx([10, 20, 30, 40], abs=1)


def test_ground_truth_is_named_or_beside(validation):
    truth = validation.parent / "mine.txt"
    truth.write_text("0\n1\n2\n3\n")
    assert open_images(f"{validation}?labels={truth}").labels.tolist() == [0, 1, 2, 3]
    before = open_images(f"{validation}?labels={truth}").fingerprint
    with pytest.raises(UserError, match="no ground-truth file"):
        open_images(validation)
    truth.rename(validation.parent / "labels.txt")
    assert open_images(validation, limit=2).labels.tolist() == [0, 1]
    assert open_images(validation).fingerprint == before
    (validation.parent / "labels.txt").write_text("0\n1\n2\n4\n")
    assert open_images(validation).fingerprint != before


def test_a_longer_list_is_read_by_the_number_in_the_name(validation):
    (validation / "ILSVRC2012_val_00000002.JPEG").unlink()
    (validation / "val.txt").write_text("\n".join(map(str, range(50))))
    assert open_images(validation).labels.tolist() == [0, 2, 3]


def test_ambiguous_numbers_need_a_base(validation):
    (validation / "val.txt").write_text("5\n6\n7\n8\n")
    with pytest.raises(UserError, match=r"count from 0 or from 1.*&base=0"):
        open_images(validation)
    assert open_images(f"{validation}?base=0").labels.tolist() == [5, 6, 7, 8]
    assert open_images(f"{validation}?base=1").labels.tolist() == [4, 5, 6, 7]
    (validation / "val.txt").write_text("1\n6\n7\n8\n")  # a part of a list that counts from 0 may lack the 0
    with pytest.raises(UserError, match="count from 0 or from 1"):
        open_images(validation)


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        ("0\n1000\n3\n4", "", "run from 0 to 1000"),
        ("1\n1001\n3\n4", "", "run from 1 to 1001"),
        ("-1\n1\n3\n4", "", "run from -1 to 4"),
        ("0\n1\n3\n4", "?base=1", "base=1 does not allow"),
        ("0\n1\n3\n4", "?base=2", "base must be 0 or 1"),
        ("0\n1\n3\n4", "?bass=1", "Did you mean 'base'"),
        ("0\n1\n3", "", "3 labels for 4 pictures"),
        ("0\n1\ncat\n4", "", "line 3 must be a number, a synset"),
        ("n00000000\n1\n2\n3", "", "none of the 1,000 synsets"),
        ("ILSVRC2012_val_00000001.JPEG 3", "", "no line for ILSVRC2012_val_00000002.JPEG"),
        ("490\n361\n171\n822\n297", "", "development kit's"),
    ],
)
def test_impossible_ground_truth(validation, text, options, match):
    if text.count("\n") == 4:
        (validation / "ILSVRC2012_val_00000005.JPEG").write_bytes(jpeg(50))
    (validation / "val.txt").write_text(text)
    with pytest.raises(UserError, match=match) as error:
        open_images(f"{validation}{options}")
    assert "\n" not in str(error.value)


def test_the_development_kit_is_read_through_its_meta_file(validation):
    from scipy.io import savemat

    (validation / "ILSVRC2012_val_00000005.JPEG").write_bytes(jpeg(50))
    (validation / "val.txt").write_text("490\n361\n171\n822\n297\n")
    numbers = [490, 361, 171, 822, 297]
    rows = np.array(
        list(zip(numbers, [SYNSETS[i] for i in (65, 9, 8, 7, 6)], strict=True)),
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")],
    )
    savemat(validation / "meta.mat", {"synsets": rows})
    assert open_images(validation).labels.tolist() == [65, 9, 8, 7, 6]


# --- TFRecords


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def write_shards(tf, folder, labels, per_shard=3, names=None, extra=True, options=None):
    """As imagenet_to_gcs.py does, with TensorFlow's own writer."""
    folder.mkdir(exist_ok=True)
    n = -(-len(labels) // per_shard)
    for shard in range(n):
        path = folder / f"validation-{shard:05d}-of-{n:05d}"
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for i in range(shard * per_shard, min((shard + 1) * per_shard, len(labels))):
                writer.write(example(tf, i, labels[i], names and names[labels[i]], extra).SerializeToString())
    return folder


def example(tf, i, label, name, extra):
    def of_bytes(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    feature = {
        "image/encoded": of_bytes(jpeg(10 * i)),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    if name:
        feature["image/class/text"] = of_bytes(name.encode())
    if extra:
        feature |= {
            "image/height": tf.train.Feature(int64_list=tf.train.Int64List(value=[8])),
            "image/colorspace": of_bytes(b"RGB"),
            "image/object/bbox/xmin": tf.train.Feature(float_list=tf.train.FloatList(value=[0.25, 0.5])),
            "image/object/bbox/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[-1, 2**40])),
        }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def test_tfrecords_of_tensorflows_own_writer(tf, tmp_path):
    labels = [1, 1000, 65, 2, 2, 9, 500]
    folder = write_shards(tf, tmp_path / "records", labels)
    images = open_images(folder)
    assert images.labels.tolist() == [label - 1 for label in labels]
    assert values(images) == pytest.approx([10 * i for i in range(7)], abs=1)
    assert (images.name, images.positional, len(images.classes)) == ("records", True, 1000)
    assert values(images)[::-1] == [int(images.read(i)[0, 0, 0]) for i in reversed(range(7))]  # any order
    pattern = open_images(f"{folder}/validation-*")
    one = open_images(folder / "validation-00001-of-00003")
    assert (pattern.fingerprint, one.labels.tolist()) == (images.fingerprint, [1, 1, 8])


def test_tfrecord_names_and_bases(tf, tmp_path):
    named = open_images(write_shards(tf, tmp_path / "a", [1, 2, 3], names={1: "daisy", 2: "rose", 3: "tulip"}))
    assert (named.classes, named.labels.tolist()) == (("daisy", "rose", "tulip"), [0, 1, 2])
    from_zero = write_shards(tf, tmp_path / "b", [0, 2, 1])
    assert open_images(from_zero).labels.tolist() == [0, 2, 1]
    with pytest.raises(UserError, match="label 0, below base=1"):
        open_images(f"{from_zero}?base=1")
    assert open_images(f"{write_shards(tf, tmp_path / 'c', [1, 2])}?base=0").labels.tolist() == [1, 2]


def test_tfrecord_splits_are_disjoint(tf, tmp_path):
    folder = write_shards(tf, tmp_path / "records", [1] * 25, per_shard=25, extra=False)
    parts = [set(values(open_images(folder, split))) for split in ("train", "calibration", "evaluation")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 25


@pytest.mark.parametrize("kept", [0, 5, 11, 12, 40, -1, -4, -10])
def test_truncated_tfrecords(tf, tmp_path, kept):
    path = write_shards(tf, tmp_path / "r", [1, 2, 3]) / "validation-00000-of-00001"
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    with pytest.raises(UserError, match=r"ends early|is empty") as error:
        open_images(path.parent)
    assert "\n" not in str(error.value)


def test_damaged_tfrecords(tf, tmp_path):
    path = write_shards(tf, tmp_path / "r", [1, 2, 3]) / "validation-00000-of-00001"
    content = bytearray(path.read_bytes())
    path.write_bytes(b"\xff" + bytes(content[1:]))
    with pytest.raises(UserError, match="not an uncompressed TFRecord file"):
        open_images(path)
    second = int.from_bytes(content[:8], "little") + 16
    content[second] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"damaged at byte {second:,}"):
        open_images(path)


def test_other_tfrecords(tf, tmp_path):
    folder = write_shards(tf, tmp_path / "gz", [1], options="GZIP")
    with pytest.raises(UserError, match="not an uncompressed TFRecord file"):
        open_images(folder)
    path = tmp_path / "x.tfrecord"
    for payload, match in (
        (tf.train.Example().SerializeToString(), "no image/encoded"),
        (b"\x0a\xff", "cannot be read as a tf.train.Example"),
        (example(tf, 1, -3, None, False).SerializeToString(), "label -3"),
    ):
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(payload)
        with pytest.raises(UserError, match=match):
            open_images(path)
    write_shards(tf, tmp_path / "two", [1])
    (tmp_path / "two" / "train-00000-of-00001").write_bytes(
        (tmp_path / "two" / "validation-00000-of-00001").read_bytes()
    )
    with pytest.raises(UserError, match="shards of train, validation"):
        open_images(tmp_path / "two")


def test_tfrecords_are_not_read_into_memory(tf, tmp_path):
    path = tmp_path / "big.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(40):
            record = example(tf, i, 1, None, False)
            record.features.feature["image/encoded"].bytes_list.value[0] += bytes(500_000)
            writer.write(record.SerializeToString())
    tracemalloc.start()
    images = open_images(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert peak < 1_000_000
    assert len(images) == 40


def test_crc32c_of_published_examples():
    """RFC 3720, B.4, masked as TFRecord does."""
    for data, crc in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
        assert _masked_crc32c(data) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_protobuf_reader(tf):
    record = example(tf, 3, 77, "x", True).SerializeToString()
    features = example_features(record, Span(0, len(record)))
    assert features.keys() == tf.train.Example.FromString(record).features.feature.keys()
    assert first_int(record, features["image/object/bbox/label"]) == -1
    assert first_int(record, features["image/colorspace"]) is None
    assert varint(b"\xac\x02", 0, 2) == (300, 2)
    for broken in (b"\x80", b"\x0a\x05ab", b"\x0b", b"\xff" * 11):
        with pytest.raises(ValueError, match=r"end of its message|wire type|ten bytes"):
            list(fields(broken, Span(0, len(broken))))


# --- labels


def test_label_files(tmp_path):
    plain, table = tmp_path / "labels.txt", tmp_path / "labels_map.txt"
    plain.write_text("tench\ngoldfish\nshark\n")
    table.write_text(json.dumps({"0": "tench", "2": "shark", "1": "goldfish"}))
    expected = ("tench", "goldfish", "shark")
    assert read_labels(plain, 3) == read_labels(table, 3) == expected
    plain.write_text("\ufeffbackground\r\ntench\r\ngoldfish\r\nshark\r\n\r\n", encoding="utf-8")
    assert read_labels(plain, 3) == expected
    assert read_labels(plain, 4) == ("background", *expected)
    table.write_text(json.dumps({str(i): name for i, name in enumerate(("background", *expected))}))
    assert read_labels(table, 3) == expected
    plain.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    assert read_labels(plain, 2) == ("tench, Tinca tinca", "goldfish")
    table.write_text(json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}))
    assert read_labels(table, 2) == ("tench", "goldfish")
    plain.write_text("0  background\n1  tench\n2  goldfish\n")
    assert read_labels(plain, 2) == ("tench", "goldfish")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"a\nb\n", "names 2 classes, the network has 3"),
        (b"a\nb\nc\nd\n", "names 4 classes, the network has 3"),
        (b"background\na\nb\n\nc", "line 4 is empty"),
        (b'{"0": "a", "2": "b", "3": "c"}', "without a gap"),
        (b'{"0": "a",', "not a JSON list of labels"),
        (b'{"a": "b"}', "not a JSON list of labels"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"", "names 0 classes"),
    ],
)
def test_label_files_that_do_not_fit(tmp_path, content, match):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=match):
        read_labels(path, 3)
    with pytest.raises(UserError, match="Cannot read the labels"):
        read_labels(tmp_path / "none.txt", 3)


# --- the same photographs in every layout


@pytest.mark.real
def test_every_layout_gives_the_same_accuracy(tf, shared, flowers_cache, tmp_path):
    from effnet_lab.evaluate import evaluate

    model = shared / "fixtures/litert/flowers_lite0_int8.tflite"
    images = open_images("flowers160", limit=40)
    flat, truth = tmp_path / "flat", []
    flat.mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "validation-00000-of-00001")) as writer:
        for i, label in enumerate(images.labels.tolist()):
            stream = io.BytesIO()
            Image.fromarray(images.read(i)).save(stream, "PNG")  # the name says JPEG, the content decides
            (flat / f"ILSVRC2012_val_{i + 1:08d}.JPEG").write_bytes(stream.getvalue())
            truth.append(str(label))
            record = example(tf, i, label + 1, images.classes[label], True)
            record.features.feature["image/encoded"].bytes_list.value[0] = stream.getvalue()
            writer.write(record.SerializeToString())
    (flat / "val.txt").write_text("\n".join(truth))
    numbers = ["n_images", "top1", "top1_lo", "top1_hi", "top5"]
    rows = [
        evaluate(model, data).table[numbers].iloc[0].tolist()
        for data in (images, open_images(flat), open_images(tmp_path / "validation-00000-of-00001"))
    ]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0][1] > 0.85


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '[["a"], {"b": 1}]', '{"0": {"0": "tench"}}', "[[], []]", '{"0": null, "1": "a"}']
)
def test_nested_labels_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a label must be text|is not a JSON list") as refused:
        read_labels(path, 2)
    assert len(str(refused.value)) <= 300 + len(str(path))


# --- published layouts, lists of evaluation images, and what is wrong with a data set


def photograph(number: int, side: int = 64) -> Image.Image:
    """A picture that no other number gives."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def test_food_101_as_it_is_unpacked(tmp_path):
    root = tmp_path / "food-101"
    (root / "meta").mkdir(parents=True)
    listed = {"train": [], "test": []}
    for label in ("apple_pie", "waffles"):
        (root / "images" / label).mkdir(parents=True)
        for number in range(20):
            (root / "images" / label / f"{number}.jpg").write_bytes(jpeg(number))
            listed["test" if number % 4 == 0 else "train"].append(f"{label}/{number}")
    for name, lines in listed.items():
        (root / "meta" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    evaluation, train, calibration = (open_images(root, split) for split in ("evaluation", "train", "calibration"))
    assert evaluation.classes == ("apple_pie", "waffles")
    assert {evaluation.name_of(i).removesuffix(".jpg") for i in range(len(evaluation))} == set(listed["test"])
    rest = [images.name_of(i).removesuffix(".jpg") for images in (train, calibration) for i in range(len(images))]
    assert sorted(rest) == sorted(listed["train"])
    assert 0 < len(calibration) < len(train)


def test_plants_as_they_are_unpacked(tmp_path):
    root = tmp_path / "Plant_leave_diseases_dataset_without_augmentation"
    for label in ("Apple___Apple_scab", "Background_without_leaves", "Tomato___healthy"):
        (root / label).mkdir(parents=True)
        for number in range(1, 9):
            (root / label / f"image ({number}).JPG").write_bytes(jpeg(number))
    images = open_images(root)
    assert (len(images), len(images.classes)) == (24, 3)
    assert sorted(set(values(images))) == list(range(1, 9))


def test_a_list_says_which_images_are_for_evaluation(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "tree" / label).mkdir(parents=True)
        for number in range(40):
            (tmp_path / "tree" / label / f"{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "list.txt").write_text("flower_photos/a/3.jpg\nb/7.jpg\n")
    source = f"{tmp_path / 'tree'}?evaluation={tmp_path / 'list.txt'}"
    splits = [open_images(source, split) for split in ("evaluation", "calibration", "train")]
    assert [splits[0].name_of(i) for i in range(2)] == ["a/3.jpg", "b/7.jpg"]
    assert values(splits[0]) == values(open_images(source)) == [3, 7]  # an accuracy is not of those trained on
    assert len(open_images(source, "all")) == len(open_images(tmp_path / "tree")) == 80
    assert sum(map(len, splits)) == 80
    assert 0 < len(splits[1]) < 12
    (tmp_path / "list.txt").write_text("a/99.jpg\n")
    with pytest.raises(UserError, match=r"names a/99.jpg, and .*tree has no such image"):
        open_images(source)
    with pytest.raises(UserError, match="there is no file"):
        open_images(f"{tmp_path / 'tree'}?evaluation=nowhere.txt")


@pytest.mark.real
def test_the_published_test_images_of_the_flowers(shared, flowers_cache):
    source = f"flowers160?evaluation={flowers_cache / 'flowers_val734.txt'}"
    evaluation, train, calibration = (open_images(source, split) for split in ("evaluation", "train", "calibration"))
    assert len(evaluation) == 734
    assert len(train) + len(calibration) == 3670 - 734
    assert evaluation.name_of(0) in (flowers_cache / "flowers_val734.txt").read_text()


def test_what_is_wrong_with_a_data_set_is_found(tmp_path):
    """One file that is cut off, one photograph saved again for evaluation, one under another name, and one rare class."""
    counts = {"many": 40, "few": 3}
    for label, n in counts.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(n):
            photograph(number + 100 * (label == "few")).save(tmp_path / "set" / label / f"{number}.png")
    lines = [
        f"{'test' if n % 4 == 0 else 'train'}\t{label}/{n}.png" for label, most in counts.items() for n in range(most)
    ]
    photograph(1, 40).save(tmp_path / "set" / "many" / "again.jpg", quality=80)
    photograph(101).save(tmp_path / "set" / "many" / "other.jpg", quality=80)
    lines += ["test\tmany/again.jpg", "train\tmany/other.jpg"]
    (tmp_path / "set" / "split.tsv").write_text("\n".join(lines) + "\n")
    cut = tmp_path / "set" / "many" / "2.png"
    cut.write_bytes(cut.read_bytes()[:200])
    found = check_data(tmp_path / "set")
    table = found.table.set_index("problem")
    assert table.loc["damaged", "file"] == "many/2.png"
    assert (table.loc["copy", "file"], table.loc["copy", "twin"]) == ("many/again.jpg", "train: many/1.png")
    assert table.loc["rare class", "label"] == "few"
    twice = table.loc["two classes"]
    pair = {(twice["label"], twice["file"]), tuple(twice["twin"].split(": "))}
    assert pair == {("many", "many/other.jpg"), ("few", "few/1.png")}
    assert len(table) == 4
    assert found.sentence.startswith("45 images: 1 damaged, 1 in two splits, 1 in two classes, 1 class with")
    with pytest.raises(UserError, match=r"many/2.png cannot be decoded"):
        train("micro0", tmp_path / "set")
    shutil.move(tmp_path / "set" / "many" / "again.jpg", tmp_path / "set" / "few")
    (tmp_path / "set" / "split.tsv").write_text("\n".join(lines).replace("many/again", "few/again") + "\n")
    both = check_data(tmp_path / "set")
    twins = both.table[both.table["file"] == "few/again.jpg"].set_index("problem")["twin"]
    assert twins.to_dict() == {"copy": "train: many/1.png", "two classes": "many: many/1.png"}
    assert "1 in two splits, 2 in two classes" in both.sentence
    assert check_data(open_images("digits", limit=30)).sentence.startswith("30 images: all can be read")


# --- TensorFlow Datasets


class Prepared:
    """A data set as that library's builders give it: 30 pictures to train on, 6 to test on."""

    def __init__(self, name, file_format):
        if name != "tiny":
            raise ValueError(f"Dataset {name} not found.\nAvailable: many")
        assert file_format == "array_record"  # the only form that can be read by number
        label = types.SimpleNamespace(names=["cat", "dog", "owl"])
        self.info = types.SimpleNamespace(
            features={"image": object(), "label": label}, splits={"train": 30, "test": 6}, full_name="tiny/1.0.0"
        )

    def download_and_prepare(self):
        pass

    def as_data_source(self, split, decoders=None):
        every = {"train[:10%]": range(3), "train[10%:]": range(3, 30), "test": range(30, 36), "train+test": range(36)}
        shape = (5, 4, 1)
        return [{"image": None if decoders else np.full(shape, i, np.uint8), "label": i % 3} for i in every[split]]


def test_names_of_tensorflow_datasets(monkeypatch):
    library = types.ModuleType("tensorflow_datasets")
    library.__spec__ = importlib.machinery.ModuleSpec("tensorflow_datasets", None)
    library.builder = Prepared
    library.decode = types.SimpleNamespace(SkipDecoding=object)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", library)
    seen = {}
    for split in ("train", "calibration", "evaluation", "all"):
        images = open_images("tfds:tiny", split)
        assert images.classes == ("cat", "dog", "owl")
        seen[split] = [int(images.read(i)[0, 0, 0]) for i in range(len(images))]
        assert images.labels.tolist() == [i % 3 for i in seen[split]]
        assert images.read(0).shape == (5, 4, 3)
    assert sorted(seen["train"] + seen["calibration"] + seen["evaluation"]) == seen["all"]
    with pytest.raises(UserError, match="cannot open 'tiny2': Dataset tiny2 not found"):
        open_images("tfds:tiny2")
    with pytest.raises(UserError, match="must not be evaluation images"):
        open_images("tfds:tiny").require_calibration()


def test_tensorflow_datasets_may_be_missing(monkeypatch):
    monkeypatch.setattr("effnet_lab.images.tfds.find_spec", lambda _name: None)
    with pytest.raises(UserError, match="pip install tensorflow-datasets"):
        open_images("tfds:beans")
