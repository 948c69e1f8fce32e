"""Which tensors of two files hold the same values for the same inputs, without running them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.litert.graph import Op
from effnet_lab.litert.surgery import Source

Mark = bytes  # equal for tensors that are computed by the same ops from the same constants and inputs


def value_marks(source: Source) -> dict[int, Mark]:
    """A mark for every input and computed tensor of a file, by index.

    It covers type, shape and scale of the tensor, the op with its options, and the marks of all that the op reads; names and
    the numbers of tensors do not count. Files with the same mark have the same codes there, on the same kernels.
    """
    marks = {index: _digest("input", n, _kind(source, index)) for n, index in enumerate(source.graph.inputs)}
    for op in source.graph.ops:
        read = [_read(source, int(i), marks) for i in source.stored(op).inputs]
        for n, index in enumerate(op.outputs):
            marks[index] = _digest(_op(source, op), n, _kind(source, index), *read)
    return marks


def _read(source: Source, index: int, marks: dict[int, Mark]) -> bytes:
    if index < 0:
        return b"none"
    if index not in marks:  # it is stored
        data = source.tree.buffers[source.main.tensors[index].buffer].data
        marks[index] = _digest(_kind(source, index), b"" if data is None else np.asarray(data).tobytes())
    return marks[index]


def _kind(source: Source, index: int) -> bytes:
    """Type, shape and scale of a tensor."""
    stored, tensor = source.main.tensors[index], source.graph.tensors[index]
    scales = (tensor.scale.tobytes(), tensor.zero_point.tobytes(), tensor.axis)
    return _digest(stored.type, tensor.shape, *scales)


def _op(source: Source, op: Op) -> bytes:
    stored = source.stored(op)
    code = source.tree.operatorCodes[stored.opcodeIndex]
    return _digest(
        op.kind, code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version,
        _options(stored.builtinOptions), _options(stored.builtinOptions2), _options(stored.customOptions),
    )  # fmt: skip


def _options(value: Any) -> str:
    """Options of an op as text: numbers, texts, lists of them, and objects of the schema."""
    if isinstance(value, np.ndarray | list | tuple):
        return str([_options(each) for each in value])
    if type(value).__module__ == schema.__name__:
        return str(sorted((name, _options(each)) for name, each in vars(value).items()))
    return repr(value)


def _digest(*parts: object) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()
