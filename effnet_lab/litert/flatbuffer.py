"""A .tflite file to a mutable object tree and back."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.quick_tables import quick_tables
from effnet_lab.litert.soundness import check
from effnet_lab.names import UserError

Tree = schema.ModelT  # a file as a tree of objects
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite file
_AROUND_DATA = 1 << 20  # bytes, enough for everything but the buffers in most files


class FileContent(bytes):
    """Content of a file on disk, which somebody else may have written, and which is handed on alone."""

    path: str


def read_bytes(model: Path | str | bytes) -> bytes:
    """Content of a .tflite file, given as a path or as the content itself; see `read_file`."""
    return marked(*read_file(model))


def marked(content: bytes, path: str | None) -> bytes:
    """What `read_file` gives, as one; that takes a copy."""
    if path is None or isinstance(content, FileContent):
        return content
    copy = FileContent(content)
    copy.path = path
    return copy


def read_file(model: Path | str | bytes) -> tuple[bytes, str | None]:
    """Content of a .tflite file, given as a path or as the content itself, and the path of the file on disk that it is.

    Raises
    ------
    UserError
        If there is no such file, or it is not a TensorFlow Lite flatbuffer.
    """
    path = model.path if isinstance(model, FileContent) else None if isinstance(model, bytes) else str(model)
    if isinstance(model, bytes):
        content = model
    else:
        try:
            content = Path(model).read_bytes()
        except OSError as error:
            raise UserError(
                f"Cannot read the model {str(model)!r}: {error.strerror}. Give the path of a .tflite file."
            ) from None
    if content[4:8] != IDENTIFIER:
        raise UserError(
            f"{path or 'model'!r} is not a .tflite file: it does not carry the mark {IDENTIFIER.decode()}. Export one first."
        )
    return content, path


def has_mark(path: Path) -> bool:
    """Whether a file says that it is a TensorFlow Lite flatbuffer."""
    with path.open("rb") as file:
        return file.read(8)[4:] == IDENTIFIER


def is_tflite(network: object) -> TypeGuard[str | Path]:
    """Whether a network is given as the path of a .tflite file, by its name or by its mark."""
    if not isinstance(network, str | Path):
        return False
    path = Path(network)
    return path.suffix == ".tflite" or (path.is_file() and has_mark(path))


def parse(model: Path | str | bytes, name: Path | str = "") -> schema.ModelT:
    """Object tree of a file; `UserError` where the content is damaged, with `name` where content is given.

    What a tool has put behind the tree (as AI Edge Quantizer does with large buffers) is taken into it. LiteRT's own
    `flatbuffer_utils.read_model` is not used for that: it cuts off what ends outside the file without a word, and numbers
    the buffers anew.
    """
    (content, _), name = read_file(model), str(name or ("model" if isinstance(model, bytes) else model))
    try:
        with quick_tables():
            tree = schema.ModelT.InitFromPackedBuf(content, 0)
        _take_in(tree, content)
    except Exception as error:  # noqa: BLE001  the generated reader has no error of its own: struct.error, IndexError, TypeError...
        raise UserError(f"{name!r} is damaged: {str(error)[:100]}. Export or download it again.") from None
    check(tree, name)
    return tree


def _take_in(tree: schema.ModelT, content: bytes) -> None:
    """Buffers and options of custom ops that stand outside the tree, by offset and size."""
    for buffer in tree.buffers or []:
        if buffer.offset > 1:  # 0 and 1 mean: no data outside
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for op in (op for graph in tree.subgraphs or [] for op in graph.operators or []):
        if op.largeCustomOptionsOffset > 1:
            op.customOptions = np.frombuffer(content, np.uint8, op.largeCustomOptionsSize, op.largeCustomOptionsOffset)
            op.largeCustomOptionsOffset = op.largeCustomOptionsSize = 0


def pack(tree: schema.ModelT) -> bytes:
    """File content of an object tree."""
    data = sum(len(buffer.data) for buffer in tree.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(data + _AROUND_DATA)  # to grow, it copies all that it holds
    builder.Finish(tree.Pack(builder), IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])  # `Output` would copy it once more


def decode(text: bytes | str | None) -> str:
    """Names stand in the file as bytes."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else (text or "")
