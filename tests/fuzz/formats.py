"""Damaged files of every format that the commands read: half in bytes, half valid but for one absurd statement."""

from __future__ import annotations

import copy
import io
import json
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mutants import byte_damage, field_damage

Damage = Callable[[bytes, np.random.Generator], bytes]
ABSURD: tuple[Any, ...] = (
    None, -1, 0, 1.5, 100_000, 2**40, 10**400, float("nan"), float("inf"), True, "", "x" * 5000, "1" * 5000, "../../outside",
    "/outside", "\x1b[31m\x00\u202e", "<!--<script>", [], {}, [[[[]]]], {"a": {"b": []}}, "\ud800",
)  # fmt: skip
JUNK = (
    "", "n: int = ", "n = 1", "def f(): pass", "n: int = 10**99", "n: int = __import__('os').getcwd()  # x", "\x00", "(" * 300,
    "n: str = '\ud800'", "%%bash\nls", "n: list = [", "1/0", "n: int = 1; m: int = 2", "\tn: int = 1", "if True:\n  n: int = 1",
)  # fmt: skip
SCALARS = ("nan", "inf", "-inf", "1e999", "text", "", "-1", "1,5", "0x10", "=1+1", "\x00", "9" * 400, '"')


def picked(rng: np.random.Generator, of: Any) -> Any:
    """One of a sequence, as it is (numpy would convert it)."""
    return of[int(rng.integers(len(of)))]


def json_damage(text: str | bytes, rng: np.random.Generator) -> str:
    """One value of a JSON text replaced by an absurd one, removed, or repeated."""
    tree = json.loads(text)
    places = list(_places(tree))
    owner, key = picked(rng, places)
    what = rng.random()
    if what < 0.7:
        owner[key] = copy.deepcopy(picked(rng, ABSURD))
    elif what < 0.85:
        del owner[key]
    elif isinstance(owner, list):
        owner.append(owner[key])
    else:
        owner[f"{key}_"] = owner.pop(key)
    deep = "[" * 3000 + "]" * 3000
    return deep if rng.random() < 0.02 else json.dumps(tree)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = range(len(tree)) if isinstance(tree, list) else list(tree)
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def safetensors_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """The header of names, shapes and offsets, or the metadata in it, which is JSON in JSON."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    own = header.get("__metadata__", {})
    if own and rng.random() < 0.6:
        name = picked(rng, list(own))
        try:
            own[name] = json_damage(own[name], rng)
        except ValueError:
            own[name] = str(picked(rng, SCALARS))
        text = json.dumps(header)
    else:
        text = json_damage(json.dumps(header), rng)
    raw = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw + content[8 + length :]


def npz_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """One array of another type, shape or value; one left out; or what is said about it."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    name = picked(rng, list(arrays))
    arrays[name] = array_damage(arrays[name], rng)
    if arrays[name] is None:
        del arrays[name]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    raw = buffer.getvalue()
    if rng.random() < 0.2:  # a header that claims a size that no machine holds
        return raw.replace(b"'shape': (", b"'shape': (9" + b"9" * int(rng.integers(1, 14)), 1)
    return raw


def array_damage(array: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Something else in the place of an array."""
    if (array.dtype.kind in "US" and array.ndim == 0) or (
        array.dtype == np.uint8 and array.ndim == 1 and array[:1] == b"{"[0]
    ):
        text = array.tobytes() if array.dtype == np.uint8 else str(array)
        try:
            damaged = json_damage(text, rng)
        except (ValueError, UnicodeDecodeError):
            damaged = "nonsense"
        raw = damaged.encode("utf-8", "surrogatepass")
        return np.frombuffer(raw, np.uint8) if array.dtype == np.uint8 else np.array(raw.decode("utf-8", "replace"))
    what = int(rng.integers(7))
    if what == 0:
        return array.astype(picked(rng, ("f8", "i1", "u8", "?", "c8", "U5", "M8[s]")), casting="unsafe")
    if what == 1:
        return array.reshape(-1)
    if what == 2:
        return array[:0]
    if what == 3:
        return array[..., None]
    if what == 4 and array.dtype.kind == "f" and array.size:
        damaged = array.copy()
        damaged.flat[int(rng.integers(array.size))] = picked(rng, (np.nan, np.inf, -np.inf, 1e38))
        return damaged
    return None if what == 5 else np.array(picked(rng, (0, -1, 2.5, "text")))


def notebook_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Another source in a cell, or any value of the JSON."""
    if rng.random() < 0.5:
        return json_damage(content, rng).encode("utf-8", "surrogatepass")
    tree = json.loads(content)
    cell = picked(rng, tree["cells"])
    cell["source"] = picked(rng, JUNK)
    return json.dumps(tree).encode()


def csv_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A cell, a column, a row or the encoding."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
    what = int(rng.integers(6))
    if what <= 1:
        rows[row][min(column, len(rows[row]) - 1)] = picked(rng, SCALARS)
    elif what == 2:
        rows.insert(row, list(rows[row]))
    elif what == 3:
        rows = [line[:column] + line[column + 1 :] for line in rows]
    elif what == 4:
        rows[row] = rows[row][:column]
    text = "\n".join(map(",".join, rows)) + "\n"
    return (text + "\xe9\xff\n").encode("latin-1", "replace") if what == 5 else text.encode("utf-8", "surrogatepass")


def labels_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """JSON of another form, or lines that are none."""
    if content[:1] in b"{[":
        return json_damage(content, rng).encode("utf-8", "surrogatepass")
    lines = content.decode().splitlines()
    lines[int(rng.integers(len(lines)))] = picked(rng, SCALARS)
    return "\n".join(lines[: None if rng.random() < 0.7 else int(rng.integers(len(lines)))]).encode(
        "utf-16" if rng.random() < 0.1 else "utf-8"
    )


def tar_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A member with another name, kind or size."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as given, tarfile.open(fileobj=out, mode="w") as made:
        members = given.getmembers()
        chosen = int(rng.integers(len(members)))
        for i, member in enumerate(members):
            file = given.extractfile(member) if member.isreg() else None
            data = file.read() if file else b""
            if i == chosen:
                what = int(rng.integers(5))
                if what == 0:
                    member.name = picked(
                        rng, ("../outside", "/outside", "a/../../outside", "", "x" * 300, "split.txt", "\udcff")
                    )
                elif what == 1:
                    member.type, member.linkname = picked(rng, (tarfile.SYMTYPE, tarfile.LNKTYPE)), "/etc/passwd"
                elif what == 2:
                    member.type = picked(rng, (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE))
                elif what == 3:
                    data, member.size = data[: len(data) // 2], len(data) // 2
                else:
                    continue
            made.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return out.getvalue()


def png_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A width, height, depth or kind that the data do not have, with a checksum that is right."""
    raw = bytearray(content)
    field = int(rng.integers(4))
    place, form, values = ((16, ">I", (0, 1, 65_535, 2**31 - 1)), (20, ">I", (0, 1, 65_535, 2**31 - 1)),
                           (24, ">B", (0, 1, 3, 16, 255)), (25, ">B", (0, 3, 4, 6, 7)))[field]  # fmt: skip
    struct.pack_into(form, raw, place, picked(rng, values))
    struct.pack_into(">I", raw, 29, zlib.crc32(bytes(raw[12:29])))
    return bytes(raw)


def tfrecord_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A length that the file does not have, or bytes of the message."""
    raw = bytearray(content)
    if rng.random() < 0.5:
        struct.pack_into("<Q", raw, 0, picked(rng, (0, 1, 2**31, 2**63, len(raw))))
    else:
        raw[12 + int(rng.integers(60))] = int(rng.integers(256))
    return bytes(raw)


def keras_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A member of the archive: left out, or with an absurd value."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(out, "w") as made:
        chosen = picked(rng, given.namelist())
        for name in given.namelist():
            data = given.read(name)
            if name == chosen:
                if name.endswith(".json"):
                    data = json_damage(data, rng).encode("utf-8", "surrogatepass")
                elif name.endswith(".h5"):
                    data = h5_damage(data, rng)
                else:
                    continue
            made.writestr(name, data)
    return out.getvalue()


def h5_damage(content: bytes, rng: np.random.Generator) -> bytes:
    """A data set of another kind, a link out of the file, or another configuration."""
    import h5py

    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        places: list[str] = []
        file.visititems(lambda place, item: places.append(place) if isinstance(item, h5py.Dataset) else None)
        place, what = picked(rng, places), int(rng.integers(7))
        values = file[place][()]
        if what <= 1 and "model_config" in file.attrs:
            file.attrs["model_config"] = json_damage(file.attrs["model_config"], rng).encode("utf-8", "surrogatepass")
            return _closed(file, buffer)
        del file[place]
        if what == 2:
            file[place] = h5py.ExternalLink("/etc/passwd", "/")
        elif what == 3:
            file[place] = h5py.SoftLink("/nowhere")
        elif what == 4:
            file.create_dataset(place, shape=(2**20, 2**20), dtype="f4", chunks=(64, 64))  # 4 TB that nobody wrote
        elif what == 5:
            damaged = array_damage(values, rng)
            if damaged is not None and damaged.dtype.kind in "fiub":
                file[place] = damaged
        elif what == 6:
            file.create_dataset(place, shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])
        return _closed(file, buffer)


def _closed(file: Any, buffer: io.BytesIO) -> bytes:
    file.flush()
    return buffer.getvalue()


DAMAGE: dict[str, Damage] = {
    "tflite": field_damage, "safetensors": safetensors_damage, "statistics": npz_damage, "answers": npz_damage,
    "arrays": npz_damage, "notebook": notebook_damage, "baseline": csv_damage, "results": csv_damage, "labels": labels_damage,
    "labels.json": labels_damage,
    "tar": tar_damage, "checkpoint.tar": tar_damage, "png": png_damage, "jpg": byte_damage, "tfrecord": tfrecord_damage,
    "keras": keras_damage, "h5": h5_damage,
}  # fmt: skip


def damaged(form: str, content: bytes, number: int, rng: np.random.Generator) -> bytes:
    """The mutant of this number: every second one has damaged bytes."""
    if number % 2:
        return byte_damage(content, rng)
    for _ in range(3):
        if (made := DAMAGE[form](content, rng)) != content:
            return made
    return byte_damage(content, rng)


def picture(kind: str, side: int = 40) -> bytes:
    """A small photograph of nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG" if kind == "png" else "JPEG")
    return out.getvalue()


def photo_tar() -> bytes:
    """Two classes of three pictures."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in (f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(3)):
            data = picture("png")
            member = tarfile.TarInfo(f"photos/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()
