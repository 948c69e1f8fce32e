"""A folder of the user's own with copies of the notebooks: what is saved there is never overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from effnet_lab.names import UserError
from effnet_lab.paths import notebooks_dir, write_atomically

NOTES = Path(".effnet-lab/copies.json")  # file name -> SHA-256 of the version that was last put there


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkFolder:
    """What `prepare_work_folder` did."""

    path: Path
    added: tuple[str, ...]  # copied for the first time, or again after they were removed
    updated: tuple[str, ...]  # never saved by the user, so the newer version took their place
    beside: tuple[tuple[str, str], ...]  # (saved by the user, newer version under another name)

    @property
    def sentences(self) -> list[str]:
        """What a user wants to know of it, one line each."""
        told = [f"{len(self.added)} notebooks copied to {self.path}."] if self.added else []
        told += [f"{name}: replaced by its newer version." for name in self.updated]
        return told + [f"{mine}: yours is kept; the newer version is {newer}." for mine, newer in self.beside]


def prepare_work_folder(folder: str | Path, shipped: Iterable[Path] | None = None) -> WorkFolder:
    """Copy the notebooks into `folder`, and newer versions of those that lie there already.

    A copy as it was put there is replaced. One that the user has saved stays, and the newer version goes beside it, once,
    as ``NAME.new.ipynb``.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    shipped : iterable of Path or None
        Notebooks to copy; None: those of the workbench.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    folder = Path(folder).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _prepare(folder, sorted(notebooks_dir().glob("*.ipynb") if shipped is None else shipped))
    except OSError as error:
        raise UserError(
            f"Cannot write to the work folder {folder}: {error.strerror or error}. Name another with --folder."
        ) from None


def _prepare(folder: Path, shipped: list[Path]) -> WorkFolder:
    handed_out = _read_notes(folder)
    added, updated, beside = [], [], []
    for source in shipped:
        name, content = source.name, source.read_bytes()
        newest, found = _hash(content), _hash_of(folder / name)
        if found is None:
            added.append(name)
        elif newest in (handed_out.get(name), found):  # nothing new, whether the user saved it or not
            continue
        elif found == handed_out.get(name):
            updated.append(name)
        else:
            beside.append((name, _free_name(folder, source.stem, handed_out)))
        target = beside[-1][1] if beside and beside[-1][0] == name else name
        write_atomically(folder / target, content)
        handed_out |= {name: newest, target: newest}
    write_atomically(folder / NOTES, json.dumps(handed_out, indent=1, sort_keys=True).encode())
    return WorkFolder(path=folder, added=tuple(added), updated=tuple(updated), beside=tuple(beside))


def _free_name(folder: Path, stem: str, handed_out: dict[str, str]) -> str:
    """NAME.new.ipynb, or with a number behind if the user has saved that one, too."""
    number = 1
    while True:
        name = f"{stem}.new{number if number > 1 else ''}.ipynb"
        if _hash_of(folder / name) in (None, handed_out.get(name)):
            return name
        number += 1


def _read_notes(folder: Path) -> dict[str, str]:
    """What was handed out before. Damaged notes are no notes: then every copy counts as the user's."""
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_of(path: Path) -> str | None:
    return _hash(path.read_bytes()) if path.is_file() else None
