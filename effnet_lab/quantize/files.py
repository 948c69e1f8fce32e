"""Files that an export writes: what is asked for, where each one goes, and which tools had a part in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import Scheme
from effnet_lab.versions import version_of

_UNSAFE = re.compile(r"[^\w.+-]")  # in a name of a file
Target = tuple[Scheme | Recipe, str]  # what to write, and the back end that writes it
_TOOLS = {
    "effnet_lab": "effnet-lab",
    "tensorflow": "tensorflow",
    "litert": "ai-edge-litert",
    "quantizer": "ai-edge-quantizer",
}


def tool_versions() -> dict[str, str]:
    """Of this project and of the tools that can have had a part in the file; "" for what is not installed."""
    return {name: version_of(distribution) or "" for name, distribution in _TOOLS.items()}


def file_name(name: str) -> str:
    """A model's name as the beginning of a file name: it may come from a file, and must not lead out of the folder."""
    return _UNSAFE.sub("_", name)[:100].lstrip(".") or "model"


def paths_of(name: str, wanted: Sequence[Target], out: Path) -> list[Path]:
    """Where each target goes."""
    if out.suffix != ".tflite":
        return [out / f"{file_name(name)}.{scheme.name}.{backend}.tflite" for scheme, backend in wanted]
    if len(wanted) != 1:
        raise UserError(f"{str(out)!r} is one file, and {len(wanted)} were asked for. Give a folder.")
    return [out]


def store(path: Path, content: bytes) -> None:
    """Write a file, or say in one line why it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(
            f"Cannot write {path} ({len(content):,} bytes): {error.strerror}. Free some space, or choose another place."
        ) from None
