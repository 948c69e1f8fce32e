"""A flatbuffer read in less than half the time: the generated reader takes many small steps to each field of each table."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flatbuffers import table

_THEIRS = table.Table
_signed, _unsigned, _short = (struct.Struct(code).unpack_from for code in ("<i", "<I", "<H"))


class _QuickTable(table.Table):  # type: ignore[misc]  # it has no types
    """The same answers; what lies outside the content is an error, as ever.

    Places are sums of numbers without a sign, so that none needs to be looked at before it is read, but for that of a table's
    list of fields.
    """

    __slots__ = ()

    def Offset(self, vtableOffset: int) -> int:  # noqa: N802, N803  as the generated reader calls them
        """Where a field stands in the table; 0 where it is left out."""
        content = self.Bytes
        start = self.Pos - _signed(content, self.Pos)[0]
        if start < 0:  # it would count from the end
            raise ValueError("a table begins before the file")
        return int(_short(content, start + vtableOffset)[0]) if vtableOffset < _short(content, start)[0] else 0

    def Indirect(self, off: int) -> int:  # noqa: N802
        """The place that another one names."""
        return off + int(_unsigned(self.Bytes, off)[0])

    def Vector(self, off: int) -> int:  # noqa: N802
        """Where the values of a vector begin."""
        off += self.Pos
        return off + int(_unsigned(self.Bytes, off)[0]) + 4

    def VectorLen(self, off: int) -> int:  # noqa: N802
        """How many values there are in a vector."""
        off += self.Pos
        return int(_unsigned(self.Bytes, off + _unsigned(self.Bytes, off)[0])[0])

    def Get(self, flags: Any, off: int) -> Any:  # noqa: N802
        """The number at a place."""
        if off < 0:
            raise ValueError("a value stands before the file")
        return flags.py_type(flags.packer_type.unpack_from(self.Bytes, off)[0])


@contextmanager
def quick_tables() -> Iterator[None]:
    """Let generated readers use these tables."""
    table.Table = _QuickTable
    try:
        yield
    finally:
        table.Table = _THEIRS
