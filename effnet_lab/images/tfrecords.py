"""TFRecord files in the ImageNet layout, read in place: an index of where every picture lies, no TensorFlow.

Source of the layout: tensorflow/tpu, tools/datasets/imagenet_to_gcs.py; of the framing: tensorflow, core/lib/io/record_writer.h.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.decode import decode
from effnet_lab.images.folders import TREE_SPLITS, Entry
from effnet_lab.images.imageset import ImageSet, digest
from effnet_lab.images.protobuf import Span, example_features, first_bytes, first_int
from effnet_lab.images.splits import split_of
from effnet_lab.names import UserError, suggest

_SHARD = re.compile(r"(?P<group>.+)-\d{5}-of-\d{5}$|.*\.tfrec(ords?)?$")
_HEADER = struct.Struct("<QI")  # length of the record, masked CRC-32C of these eight bytes
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reversed


class Record(NamedTuple):
    """One labelled picture in a shard."""

    entry: Entry
    label: int  # as stored
    name: str
    checksum: bytes  # of the record, as stored


def is_shard(path: Path) -> bool:
    """Whether the name is that of a TFRecord file: ``validation-00000-of-00128`` or ``*.tfrecord``."""
    return _SHARD.fullmatch(path.name) is not None


def open_tfrecords(shards: list[Path], split: str, name: str, base: int | None = None) -> ImageSet:
    """Open shards of ``tf.train.Example`` with image/encoded and image/class/label.

    Labels are 1 to N, 0 being background, as ImageNet's are: label 1 is class 0. Files that count from 0 are recognised by
    a 0, which no picture of the ImageNet layout has, unless `base` says it.

    Parameters
    ----------
    shards : list of Path
    split : str
        "all", or 80/10/10 by the SHA-256 of the shard's name and the record's number.
    name : str
    base : 0 or 1, optional
        Label of the first class.

    Raises
    ------
    UserError
        If a file is truncated or no such TFRecord file; the length of every record is checked against its CRC.
    """
    if split not in TREE_SPLITS:
        raise UserError(suggest("split", split, TREE_SPLITS))
    groups = {match["group"] for path in shards if (match := _SHARD.fullmatch(path.name))} - {None}
    if len(groups) > 1:
        raise UserError(
            f"{name} holds shards of {', '.join(sorted(groups))}. Choose with a pattern: {sorted(groups)[0]}-*"
        )
    records = {f"{path.name}/{i}": record for path in sorted(shards) for i, record in enumerate(_records(path))}
    if not records:
        raise UserError(f"{name} has no record in it. Give TFRecord files with pictures in them.")
    lowest = min(record.label for record in records.values())
    base = min(1, lowest) if base is None else base
    if lowest < base:
        raise UserError(f"{name} has the label {lowest}, below base={base}. Leave base out, or correct it.")
    classes = _classes(list(records.values()), base)
    keys = [key for key in records if split == "all" or split_of(PurePosixPath(key), None, shards[0]) == split]
    if not keys:
        raise UserError(f"{name} has no image in its {split} split. Choose another split; 'all' takes everything.")
    chosen = [records[key] for key in keys]

    def read(i: int) -> NDArray[Any]:
        return decode(chosen[i].entry.read(), f"{name}: record {keys[i]}")

    return ImageSet(
        name=name,
        split=split,
        classes=classes,
        labels=np.array([record.label - base for record in chosen], dtype=np.int64),
        read=read,
        fingerprint=digest(b"tfrecords 1", *(f"{r.label} {r.entry.size} ".encode() + r.checksum for r in chosen)),
        positional=True,
        name_of=lambda i: keys[i],
    )


def _classes(records: list[Record], base: int) -> tuple[str, ...]:
    """Names by label where the records give them, numbers elsewhere."""
    names = {record.label - base: record.name for record in records if record.name}
    return tuple(names.get(i, str(i)) for i in range(max(record.label for record in records) - base + 1))


def _records(path: Path) -> Iterator[Record]:
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty. Copy it again.")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number, span in enumerate(_frames(content, path)):
            try:
                features = example_features(content, span)
                image = first_bytes(content, features.get("image/encoded"))
                label = first_int(content, features.get("image/class/label"))
                text = first_bytes(content, features.get("image/class/text") or features.get("image/class/synset"))
            except (ValueError, AttributeError, TypeError) as error:
                raise UserError(
                    f"{path}: record {number} cannot be read as a tf.train.Example: {error}. Write it again."
                ) from None
            if image is None or label is None:
                missing = "image/encoded" if image is None else "image/class/label"
                raise UserError(f"{path}: record {number} has no {missing}. The ImageNet layout needs it.")
            if label < 0:
                raise UserError(f"{path}: record {number} has the label {label}. Labels are 1 to N, 0 is background.")
            yield Record(
                entry=Entry(path, image.start, image.end - image.start),
                label=label,
                name=bytes(content[text.start : text.end]).decode("utf-8", "replace") if text else "",
                checksum=bytes(content[span.end : span.end + 4]),
            )


def _frames(content: mmap.mmap, path: Path) -> Iterator[Span]:
    """Where the records of a file lie; every length is verified before it is believed."""
    position, end = 0, len(content)
    while position < end:
        if position + _HEADER.size > end:
            raise UserError(f"{path} ends early, inside the header of a record. Copy it again.")
        header = content[position : position + _HEADER.size]
        size, checksum = _HEADER.unpack(header)
        if checksum != _masked_crc32c(header[:8]):
            what = "is not an uncompressed TFRecord file" if position == 0 else f"is damaged at byte {position:,}"
            raise UserError(f"{path} {what}: the checksum of a record's length is wrong. Copy it again.")
        position += _HEADER.size
        if position + size + 4 > end:
            raise UserError(f"{path} ends early: its last record should have {size:,} bytes. Copy it again.")
        yield Span(position, position + size)
        position += size + 4


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
