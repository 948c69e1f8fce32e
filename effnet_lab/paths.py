"""Where things lie, found in one place, and the one way a file is written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Models, baselines and published tables: inside an installed wheel, or beside the package in a checkout."""
    return _shipped("data")


def notebooks_dir() -> Path:
    """The notebooks: inside an installed wheel, or beside the package in a checkout."""
    return _shipped("notebooks")


def cache_dir() -> Path:
    """Where downloads are kept: ``$EFFNET_LAB_CACHE``, or the system's place (Linux: ``~/.cache/effnet-lab``)."""
    chosen = os.environ.get("EFFNET_LAB_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("effnet-lab", appauthor=False)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: a temporary neighbour takes the name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _shipped(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def _umask() -> int:
    """Permission bits that the user's new files lack; can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
