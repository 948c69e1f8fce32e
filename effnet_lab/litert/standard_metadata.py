"""TFLite Metadata: what the standard has a field for, so that other people's tools find it.

The flatbuffer stands in the metadata entry ``TFLITE_METADATA``; the labels are a file in a zip archive behind the model.
Source: tensorflow/tflite-support, tensorflow_lite_support/metadata/metadata_schema.fbs. The numbers below are the
positions of the fields in its tables.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import flatbuffers
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from effnet_lab.images.preprocess import Grey
from effnet_lab.names import UserError

ENTRY = "TFLITE_METADATA"
_IDENTIFIER, _PARSER_VERSION = b"M001", "1.0.0"
_LONGEST_LABELS = 1 << 24  # bytes
_LABELS, _LABELS_TYPE = "labels.txt", 2  # TENSOR_AXIS_LABELS
_MODEL = {"name": 0, "description": 1, "subgraphs": 3, "parser": 7}
_SUBGRAPH = {"inputs": 2, "outputs": 3}
_TENSOR = {"name": 0, "description": 1, "content": 3, "units": 4, "stats": 5, "files": 6}
_FEATURE, _IMAGE, _NORMALISATION = 1, 2, 1  # members of the unions of contents and of process units


@dataclass(frozen=True, kw_only=True, slots=True)
class Standard:
    """The fields of the standard that an image classifier has."""

    name: str
    description: str
    size: tuple[int, int]  # height and width, px
    grey: bool  # one channel instead of three
    tone: tuple[Grey, Grey] | None  # mean and std in the values that the standard calls [0, 255]; None: not known
    labels: tuple[str, ...]


def write_standard(standard: Standard) -> bytes:
    """The flatbuffer for the entry `ENTRY`."""
    builder = flatbuffers.Builder(1024)
    size = _table(builder, 2, [(i, builder.PrependUint32Slot, side) for i, side in enumerate(reversed(standard.size))])
    colours = 2 if standard.grey else 1  # of the standard's ColorSpaceType
    image = _table(builder, 2, [(0, builder.PrependInt8Slot, colours), (1, _offset(builder), size)])
    units, limits = [], None
    if standard.tone is not None:
        mean, std = (_each(values) for values in standard.tone)
        normalisation = _table(
            builder, 2, [(i, _offset(builder), _floats(builder, v)) for i, v in ((0, mean), (1, std))]
        )
        units.append(
            _table(builder, 2, [(0, builder.PrependUint8Slot, _NORMALISATION), (1, _offset(builder), normalisation)])
        )
        lows, highs = ([(grey - m) / s for m, s in zip(*_even(mean, std), strict=True)] for grey in (0.0, 255.0))
        limits = (lows, highs)
    words = ("image", f"{'Grey' if standard.grey else 'RGB'} image to classify")
    given = _tensor(builder, words, (_IMAGE, image), units, limits, [])
    files = [_labels_file(builder)] if standard.labels else []
    words = ("probability", f"Probabilities of {len(standard.labels)} labels") if files else ("features", "Features")
    feature = _table(builder, 0, [])
    returned = _tensor(builder, words, (_FEATURE, feature), [], ([0.0], [1.0]) if files else None, files)
    subgraph = _fields(
        builder, 8, {_SUBGRAPH["inputs"]: _vector(builder, [given]), _SUBGRAPH["outputs"]: _vector(builder, [returned])}
    )
    model = _fields(
        builder,
        8,
        {
            _MODEL["name"]: builder.CreateString(standard.name),
            _MODEL["description"]: builder.CreateString(standard.description),
            _MODEL["subgraphs"]: _vector(builder, [subgraph]),
            _MODEL["parser"]: builder.CreateString(_PARSER_VERSION),
        },
    )
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def append_labels(content: bytes, labels: tuple[str, ...]) -> bytes:
    """The model followed by an archive with its labels, one per line; the same labels give the same bytes."""
    if not labels:
        return content
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:  # stored, not compressed: readers map the file into memory
        archive.writestr(zipfile.ZipInfo(_LABELS), "\n".join(labels))
    return whole.getvalue()


def read_labels(content: bytes) -> tuple[str, ...]:
    """Labels from the archive behind the model: the first .txt in it; empty where there is none."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return ()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [file for file in archive.infolist() if file.filename.endswith(".txt")]
            if not files or files[0].file_size > _LONGEST_LABELS:
                return ()
            return tuple(archive.read(files[0]).decode("utf-8").rstrip().splitlines())
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"The labels stored after the model are damaged: {str(error)[:100]}. Export the file again."
        ) from None


def read_normalisation(data: bytes) -> tuple[Grey, Grey] | None:
    """(mean, standard deviation) of the first input as the standard states them, per channel where it does; None if not."""
    if data[4:8] != _IDENTIFIER:
        return None
    try:
        return _normalisation(Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0)))
    except (struct.error, IndexError, TypeError, ValueError, OverflowError):  # a damaged table states nothing
        return None


def _normalisation(table: Table) -> tuple[Grey, Grey] | None:
    for slot in (_MODEL["subgraphs"], _SUBGRAPH["inputs"]):
        found = _tables(table, slot)
        if not found:
            return None
        table = found[0]
    for unit in _tables(table, _TENSOR["units"]):
        kind = unit.Offset(4)
        if not kind or unit.Get(number_types.Uint8Flags, kind + unit.Pos) != _NORMALISATION:
            continue
        options = Table(table.Bytes, 0)
        unit.Union(options, unit.Offset(6))
        mean, std = (_one_or_three(_numbers(options, slot)) for slot in (0, 1))
        return None if mean is None or std is None else (mean, std)
    return None


def _one_or_three(numbers: list[float]) -> Grey | None:
    if not all(math.isfinite(number) for number in numbers) or len(numbers) not in (1, 3):
        return None
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)


def _labels_file(builder: flatbuffers.Builder) -> int:
    name, words = (
        builder.CreateString(_LABELS),
        builder.CreateString("Labels, one per line, in the order of the output"),
    )
    return _table(
        builder,
        5,
        [(0, _offset(builder), name), (1, _offset(builder), words), (2, builder.PrependInt8Slot, _LABELS_TYPE)],
    )


def _tensor(
    builder: flatbuffers.Builder,
    words: tuple[str, str],
    properties: tuple[int, int],
    units: list[int],
    limits: tuple[list[float], list[float]] | None,
    files: list[int],
) -> int:
    kind, table = properties
    content = _table(builder, 2, [(0, builder.PrependUint8Slot, kind), (1, _offset(builder), table)])
    fields = {_TENSOR["content"]: content}
    fields |= {
        _TENSOR[key]: builder.CreateString(text) for key, text in zip(("name", "description"), words, strict=True)
    }
    fields |= {_TENSOR[key]: _vector(builder, made) for key, made in (("units", units), ("files", files)) if made}
    if limits:  # first the highest, then the lowest value
        fields[_TENSOR["stats"]] = _fields(builder, 2, {i: _floats(builder, v) for i, v in enumerate(reversed(limits))})
    return _fields(builder, 7, fields)


def _offset(builder: flatbuffers.Builder) -> Callable[[int, int, int], None]:
    prepend: Callable[[int, int, int], None] = builder.PrependUOffsetTRelativeSlot
    return prepend


def _fields(builder: flatbuffers.Builder, count: int, offsets: dict[int, int]) -> int:
    return _table(builder, count, [(slot, _offset(builder), offset) for slot, offset in offsets.items()])


def _table(
    builder: flatbuffers.Builder, count: int, values: list[tuple[int, Callable[[int, int, int], None], int]]
) -> int:
    builder.StartObject(count)
    for slot, prepend, value in values:
        prepend(slot, value, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _each(values: Grey) -> list[float]:
    """One value, which the standard spreads over all channels, or one for each."""
    return list(values) if isinstance(values, tuple) else [values]


def _even(mean: list[float], std: list[float]) -> tuple[list[float], list[float]]:
    """Both with as many values as the longer has."""
    n = max(len(mean), len(std))
    return mean * (n // len(mean)), std * (n // len(std))


def _floats(builder: flatbuffers.Builder, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def _tables(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(_length(table, offset))]


def _numbers(table: Table, slot: int) -> list[float]:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [table.Get(number_types.Float32Flags, start + 4 * i) for i in range(_length(table, offset))]


def _length(table: Table, offset: int) -> int:
    """Elements of a vector, of 4 bytes each."""
    length = int(table.VectorLen(offset))
    if 4 * length > len(table.Bytes):
        raise ValueError(f"a list of {length} entries")
    return length
