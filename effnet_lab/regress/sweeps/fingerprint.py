"""What makes a point the point it is: notebook, package, parameters, and the content of the files they name."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import effnet_lab
from effnet_lab.names import UserError
from effnet_lab.paths import data_dir
from effnet_lab.regress.nested import texts_in
from effnet_lab.regress.recording import versions

KEY_LENGTH = 20  # hexadecimal digits of a point's key: 80 bits


@functools.cache
def surroundings() -> dict[str, str]:
    """Versions, and hashes of the package's code and of the models and data that it brings."""
    package = Path(effnet_lab.__file__).parent
    code = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".j2", ".js", ".css"))
    brought = sorted(path for name in ("models", "published", "studies") for path in (data_dir() / name).glob("*.*"))
    return versions() | {
        "hash of the code": _of_files(code, package),
        "hash of its models and data": _of_files(brought, data_dir()),
    }


def notebook_hash(source: bytes) -> str:
    """Of what a notebook does: its code cells and their tags. Its texts and outputs may change."""
    cells = [cell for cell in json.loads(source)["cells"] if cell["cell_type"] == "code"]
    said = [["".join(cell["source"]), sorted(cell["metadata"].get("tags", []))] for cell in cells]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


class Keys:
    """Keys of the points of one notebook; every file that a parameter names is read once."""

    def __init__(self, source: bytes, profile: str) -> None:
        self._shared = {"notebook": notebook_hash(source), "profile": profile, "surroundings": surroundings()}
        self._files: dict[str, str] = {}

    def key(self, values: Mapping[str, object]) -> str:
        """Of one point; equal for equal content, whatever the folder is called that it was started from."""
        files = {text: self._file(text) for text in sorted(set(texts_in(values)))}
        content = self._shared | {"values": values, "files": {text: found for text, found in files.items() if found}}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    def _file(self, text: str) -> str:
        if text not in self._files:
            self._files[text] = _of_path(Path(text)) if is_path(text) else ""
        return self._files[text]


def is_path(text: str) -> bool:
    """Whether a text names a file or folder that is there. A bare word stays a name, whatever lies in this folder."""
    if not text or len(text) > 4000 or "\0" in text or not ({"/", "\\", "."} & set(text)):
        return False
    try:
        return Path(text).exists()
    except OSError:
        return False


def with_absolute_paths(value: Any) -> Any:
    """The value, or all parameters of a point, with paths as they hold from wherever a kernel stands."""
    if isinstance(value, str):
        return str(Path(value).resolve()) if is_path(value) else value
    if isinstance(value, Mapping):
        return {name: with_absolute_paths(inner) for name, inner in value.items()}
    return [with_absolute_paths(item) for item in value] if isinstance(value, list) else value


def _of_path(path: Path) -> str:
    try:
        if path.is_dir():
            return _of_files(sorted(inner for inner in path.rglob("*") if inner.is_file()), path)
        return _of_files([path], path.parent) if path.is_file() else ""
    except OSError as error:
        raise UserError(
            f"Cannot read {path}, which a parameter names: {error.strerror}. Give a file that can."
        ) from None


def _of_files(paths: list[Path], root: Path) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            one = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()}\0{one}\n".encode())
    return whole.hexdigest()
