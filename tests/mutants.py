"""Damaged .tflite files from valid ones: half byte damage, half valid flatbuffers with one absurd statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from effnet_lab.litert.flatbuffer import pack, parse

_ABSURD = (-(2**31), -129, -2, -1, 0, 1, 7, 255, 1000, 65536, 2**20, 2**31 - 1)
_FIELDS = {  # where an absurd number goes: a graph's list, or a field of one of its tensors or operators
    "graph": ("inputs", "outputs"),
    "tensor": ("shape", "buffer", "type", "scale", "zeroPoint", "quantizedDimension", "data"),
    "operator": ("inputs", "outputs", "opcodeIndex", "options", "kind"),
}


def mutants(content: bytes, n: int, rng: np.random.Generator) -> Iterator[bytes]:
    """So many damaged files."""
    for i in range(n):
        yield byte_damage(content, rng) if i % 2 else field_damage(content, rng)


def byte_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, overwritten, cut off or moved."""
    raw = np.frombuffer(content, np.uint8).copy()
    what = rng.integers(4)
    place = int(rng.integers(min(8, len(raw) - 1), len(raw)))
    if what == 0:  # single bytes, most of them near the start or the end, where the tables are
        places = (
            (len(raw) * rng.beta(0.3, 0.3, int(rng.integers(1, 30))))
            .astype(int)
            .clip(min(8, len(raw) - 1), len(raw) - 1)
        )
        raw[places] = rng.integers(0, 256, len(places))
    elif what == 1:
        raw[place : place + int(rng.integers(1, 64))] = rng.choice([0, 255])
    elif what == 2:
        return raw[:place].tobytes()
    else:
        raw[place:] = np.roll(raw[place:], int(rng.integers(1, 9)))
    return raw.tobytes()


def field_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A valid flatbuffer with one absurd statement."""
    tree = parse(content)
    graph, number = tree.subgraphs[0], int(rng.choice(_ABSURD))
    owner = str(rng.choice(list(_FIELDS)))
    field = str(rng.choice(_FIELDS[owner]))
    table = {"graph": [graph], "tensor": graph.tensors, "operator": graph.operators}[owner]
    item = table[int(rng.integers(len(table)))]
    if owner == "operator" and field == "options":
        _absurd_option(item, number, rng)
    elif owner == "operator" and field == "kind":
        code = tree.operatorCodes[item.opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(0, 127))
    elif owner == "tensor" and field in ("scale", "zeroPoint", "quantizedDimension"):
        _absurd_quantization(item, field, number, rng)
    elif owner == "tensor" and field == "data":
        buffer = tree.buffers[item.buffer]
        buffer.data = (
            None if buffer.data is None or rng.random() < 0.3 else buffer.data[: abs(number) % len(buffer.data)]
        )
    elif field in ("buffer", "opcodeIndex"):
        setattr(item, field, abs(number) % 2**31)
    elif field == "type":
        item.type = int(rng.integers(0, 20))
    else:
        values = [] if getattr(item, field) is None else [int(i) for i in getattr(item, field)]
        if not values or rng.random() < 0.2:
            values.append(number)
        elif rng.random() < 0.2:
            values.pop()
        else:
            values[int(rng.integers(len(values)))] = number
        setattr(item, field, values)
    return pack(tree)


def _absurd_option(operator, number: int, rng: np.random.Generator) -> None:
    options = operator.builtinOptions
    names = [name for name, value in vars(options).items() if type(value) is int] if options is not None else []
    if not names or rng.random() < 0.2:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
    else:
        setattr(options, str(rng.choice(names)), abs(number) % 128)


def _absurd_quantization(tensor, field: str, number: int, rng: np.random.Generator) -> None:
    stated = tensor.quantization
    if stated is None or getattr(stated, field) is None:
        return
    if field == "quantizedDimension":
        stated.quantizedDimension = number
        return
    values = np.array(getattr(stated, field))
    if rng.random() < 0.5:
        values[int(rng.integers(len(values)))] = rng.choice([np.nan, np.inf, -1.0, 0.0]) if field == "scale" else number
    else:
        values = np.resize(values, abs(number) % 70)
    setattr(stated, field, values)


def sources(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The files that damage is done to."""
    return {name: (folder / f"{name}.tflite").read_bytes() for name in names}
