"""Read fields of a serialised protocol buffer in place, without copying what is not asked for.

The protobuf library would copy every picture out of its record; here an index is made of where each lies, so that 1.2 million
of them need neither the memory nor TensorFlow. Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

Buffer = bytes | mmap.mmap
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_WIDTH = {_FIXED64: 8, _FIXED32: 4}


class Span(NamedTuple):
    """A run of bytes in a buffer."""

    start: int
    end: int


def fields(buffer: Buffer, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Field numbers and their values: an int for a varint, a span of the buffer for everything else.

    Raises
    ------
    ValueError
        If the bytes are no protocol buffer.
    """
    position = span.start
    while position < span.end:
        tag, position = varint(buffer, position, span.end)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = varint(buffer, position, span.end)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = varint(buffer, position, span.end)
        elif kind in _WIDTH:
            size = _WIDTH[kind]
        else:
            raise ValueError(f"unknown wire type {kind}")
        if position + size > span.end:
            raise ValueError("a field runs over the end of its message")
        yield number, Span(position, position + size)
        position += size


def varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """An unsigned base-128 number and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise ValueError("a number runs over the end of its message")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")


def example_features(buffer: Buffer, span: Span) -> dict[str, tuple[int, Span]]:
    """Features of a ``tf.train.Example`` by name: kind (1 bytes, 2 float, 3 int64) and the span of their list."""
    found = {}
    for _, features in _messages(buffer, span, 1):  # Example.features
        for _, entry in _messages(buffer, features, 1):  # Features.feature, a map
            parts = dict(fields(buffer, entry))
            key, feature = parts.get(1), parts.get(2)
            if isinstance(key, Span) and isinstance(feature, Span):
                name = bytes(buffer[key.start : key.end]).decode("utf-8", "replace")
                for kind, values in fields(buffer, feature):
                    if not isinstance(values, Span):
                        raise ValueError(f"the feature {name!r} is not a list")
                    found[name] = (kind, values)
    return found


def first_bytes(buffer: Buffer, feature: tuple[int, Span] | None) -> Span | None:
    """Span of the first value of a bytes feature."""
    if feature is None or feature[0] != 1:
        return None
    return next((value for _, value in _messages(buffer, feature[1], 1)), None)


def first_int(buffer: Buffer, feature: tuple[int, Span] | None) -> int | None:
    """First value of an int64 feature, packed or not."""
    if feature is None or feature[0] != 3:
        return None
    for number, value in fields(buffer, feature[1]):
        if number == 1 and (isinstance(value, int) or value.end > value.start):
            unsigned = value if isinstance(value, int) else varint(buffer, value.start, value.end)[0]
            return int(struct.unpack("<q", struct.pack("<Q", unsigned & 0xFFFF_FFFF_FFFF_FFFF))[0])
    return None


def _messages(buffer: Buffer, span: Span, number: int) -> Iterator[tuple[int, Span]]:
    for found, value in fields(buffer, span):
        if found == number:
            if not isinstance(value, Span):
                raise ValueError(f"field {number} is not a message")
            yield found, value
