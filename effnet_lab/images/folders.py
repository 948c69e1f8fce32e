"""Folders of images, one folder per class, on disk or inside a .tar that is read in place."""

from __future__ import annotations

import hashlib
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.images.imageset import SPLITS, ImageSet, digest
from effnet_lab.images.splits import SPLIT_FILE, SplitTable, split_of, table_by_list, table_in_tree
from effnet_lab.names import UserError, suggest

TREE_SPLITS = ("all", *SPLITS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A run of bytes: a whole file, or a member of an archive."""

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """All of it; opens the file anew, so that threads do not share a position."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def open_tree(source: Path, split: str = "all", name: str | None = None, evaluation: Path | None = None) -> ImageSet:
    """Open a folder, or an uncompressed .tar of one; the class of an image is the name of the folder it lies in.

    Parameters
    ----------
    source : Path
        Folder or .tar archive. Hidden files and files that are neither JPEG nor PNG by their name are ignored.
    split : str
        "all", or one of `SPLITS`: by the tree's `split.tsv` if it has one (val is calibration, test is evaluation),
        or by the lists in meta/ that food-101 has; otherwise 80/10/10 by the SHA-256 of the path relative to the folder that
        holds the class folders. Images without class folders are one unlabelled set without splits: "all" and "calibration"
        take all of them.
    name : str, optional
        By default the folder's name, or the archive's without .tar.
    evaluation : Path, optional
        A text file that names the images for evaluation, class/file; one in twenty of the others is for calibration.
    """
    if split not in TREE_SPLITS:
        raise UserError(suggest("split", split, TREE_SPLITS))
    source = Path(source)
    name = name or (source.resolve().name if source.is_dir() else source.stem)
    files, folders = _list_folder(source) if source.is_dir() else _list_tar(source)
    if evaluation is None and (loose := _unlabelled(files)):
        return _open_loose(loose, split, source, name)
    images, table = _images(files, folders, source)
    if evaluation is not None:
        table = table_by_list(evaluation, images, source)
    classes = tuple(sorted({path.parent.name for path in images}))
    paths = [path for path in images if split == "all" or split_of(path, table, source) == split]
    if not paths:
        raise UserError(f"{source} has no image in its {split} split. Choose another split; 'all' takes everything.")
    entries = [images[path] for path in paths]
    labels = np.array([classes.index(path.parent.name) for path in paths], dtype=np.int64)

    def read(i: int) -> NDArray[Any]:
        return decode(entries[i].read(), f"{source}: {paths[i]}")

    return ImageSet(
        name=name, split=split, classes=classes, labels=labels, read=read,
        fingerprint=_fingerprint(paths, entries, classes), mixed=split == "all" and table is not None,
        name_of=lambda i: str(paths[i]),
    )  # fmt: skip


def _unlabelled(files: dict[PurePosixPath, Entry]) -> dict[PurePosixPath, Entry]:
    """The pictures, if all lie directly in what was opened and no file says which split each belongs to; else none."""
    pictures = {path: files[path] for path in sorted(files) if path.suffix.lower() in SUFFIXES}
    flat = all(len(path.parts) == 1 for path in pictures) and PurePosixPath(SPLIT_FILE) not in files
    return pictures if flat else {}


def _open_loose(pictures: dict[PurePosixPath, Entry], split: str, source: Path, name: str) -> ImageSet:
    """Pictures side by side: what they show is not known."""
    if split not in ("all", "calibration"):
        raise UserError(
            f"{source} holds pictures without class folders, so it has no {split} split. Give a folder per class; "
            "without one, the only split is 'all'."
        )
    paths, entries = list(pictures), list(pictures.values())
    return ImageSet(
        name=name, split="all", classes=(), labels=np.zeros(len(paths), np.int64),
        read=lambda i: decode(entries[i].read(), f"{source}: {paths[i]}"), fingerprint=_fingerprint(paths, entries, ()),
        name_of=lambda i: str(paths[i]),
    )  # fmt: skip


def _fingerprint(paths: list[PurePosixPath], entries: list[Entry], classes: tuple[str, ...]) -> str:
    contents = (
        f"{path}\t{hashlib.sha256(entry.read()).hexdigest()}\n" for path, entry in zip(paths, entries, strict=True)
    )
    return digest(b"tree 1", "\n".join(classes).encode(), "".join(contents).encode())


def _images(
    files: dict[PurePosixPath, Entry], folders: list[PurePosixPath], source: Path
) -> tuple[dict[PurePosixPath, Entry], SplitTable | None]:
    """Images by their path from the folder that holds the class folders, sorted, and the split file's table."""
    pictures = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise UserError(
            f"{source} has no image in it ({', '.join(SUFFIXES)}). Give a folder with one folder of images per class."
        )
    if loose := [path for path in pictures if len(path.parts) < 2]:
        raise UserError(
            f"{source}: {loose[0]} lies in no class folder. Put every image into a folder named after its class."
        )
    root = PurePosixPath(os.path.commonpath([path.parent.parent for path in pictures]) or ".")
    full = {parent for path in pictures for parent in path.parents}
    if empty := sorted(folder for folder in folders if folder.parent == root and folder not in full):
        raise UserError(f"{source}: the class folder {empty[0]} is empty. Put images into it, or remove it.")
    images = {path.relative_to(root): files[path] for path in pictures}
    return images, table_in_tree(files, root, images, source)


def _list_folder(folder: Path) -> tuple[dict[PurePosixPath, Entry], list[PurePosixPath]]:
    """Files and folders by their relative paths."""
    found, inner = {}, []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner += [PurePosixPath(Path(parent, name).relative_to(folder).as_posix()) for name in folders]
        for file in (Path(parent, name) for name in names if not name.startswith(".")):
            if file.is_file():
                found[PurePosixPath(file.relative_to(folder).as_posix())] = Entry(file, 0, file.stat().st_size)
    return found, inner


def _list_tar(archive: Path) -> tuple[dict[PurePosixPath, Entry], list[PurePosixPath]]:
    """Files and folders by their paths in the archive."""
    try:
        with tarfile.open(archive, "r:") as tar:
            members = [member for member in tar if member.isreg() or member.isdir()]
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"Cannot read {archive} as a .tar archive: {error}. Give an uncompressed .tar or a folder of images."
        ) from error
    shown = [member for member in members if not any(part.startswith(".") for part in PurePosixPath(member.name).parts)]
    files = {PurePosixPath(m.name): Entry(archive, m.offset_data, m.size) for m in shown if m.isreg()}
    return files, [PurePosixPath(member.name) for member in shown if member.isdir()]
