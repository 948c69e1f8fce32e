"""Which split each image of a tree belongs to: by a file in the tree, by a list of the user's, or by its path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from effnet_lab.images.imageset import SPLITS
from effnet_lab.names import UserError

SPLIT_FILE = "split.tsv"  # lines "train|val|test <tab> class/file"
_NAMES = {"val": "calibration", "validation": "calibration", "test": "evaluation"} | {s: s for s in SPLITS}
# food-101 says it in two lists beside its pictures, paths without endings. Source: vision.ee.ethz.ch, datasets_extra/food-101
_LISTS = {"meta/train.txt": "train", "meta/test.txt": "evaluation"}
SplitTable = dict[PurePosixPath, str]


class Readable(Protocol):
    """A file, or a part of one."""

    def read(self) -> bytes:
        """All of it."""
        ...


def table_in_tree(
    files: Mapping[PurePosixPath, Readable], root: PurePosixPath, images: Iterable[PurePosixPath], source: Path
) -> SplitTable | None:
    """What the tree itself says, None if nothing: its split.tsv, or the two lists of food-101's layout.

    Parameters
    ----------
    files : mapping
        Everything in the tree, by path.
    root : PurePosixPath
        Folder that holds the class folders.
    images : iterable of PurePosixPath
        Relative to it.
    source : Path
        What errors call the tree.
    """
    if (own := files.get(root / SPLIT_FILE)) is not None:
        return _split_table(own, source)
    lists = {name: files.get(root.parent / name) for name in _LISTS}
    if any(entry is None for entry in lists.values()):
        return None
    by_stem = {path.with_suffix(""): path for path in images}
    table: SplitTable = {}
    for name, entry in lists.items():
        assert entry is not None
        for line in filter(None, entry.read().decode().splitlines()):
            if (path := by_stem.get(PurePosixPath(line.strip()))) is not None:
                table[path] = _LISTS[name]
    return {path: _calibrating(path, split, 10) if split == "train" else split for path, split in table.items()}


def table_by_list(evaluation: Path, images: Iterable[PurePosixPath], source: Path) -> SplitTable:
    """The images that a text file names are for evaluation; of the others, one in twenty is for calibration.

    Parameters
    ----------
    evaluation : Path
        A line for each image: class/file, perhaps with folders before.
    images : iterable of PurePosixPath
        Relative to the folder that holds the class folders.
    source : Path
    """
    try:
        lines = evaluation.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"Cannot read {evaluation}, the list of evaluation images: {error}. Correct evaluation=."
        ) from None
    listed = {PurePosixPath(*PurePosixPath(line.strip()).parts[-2:]) for line in lines if line.strip()}
    images = list(images)
    known = {PurePosixPath(*path.parts[-2:]) for path in images}
    if not listed or listed - known:
        first = sorted(map(str, listed - known))[:1] or ["nothing"]
        raise UserError(
            f"{evaluation} names {first[0]}, and {source} has no such image. Give a line class/file for each."
        )
    return {
        path: "evaluation" if PurePosixPath(*path.parts[-2:]) in listed else _calibrating(path, "train", 20)
        for path in images
    }


def split_of(path: PurePosixPath, table: SplitTable | None, source: Path) -> str:
    """Split of one image: the table's, or 80/10/10 by the SHA-256 of its path."""
    if table is not None:
        if path not in table:
            raise UserError(f"{source}: {path} is not in {SPLIT_FILE}. Add a line for it, or remove {SPLIT_FILE}.")
        return table[path]
    tenth = _number(path) % 10
    return "train" if tenth < 8 else "calibration" if tenth == 8 else "evaluation"


def _calibrating(path: PurePosixPath, split: str, every: int) -> str:
    return "calibration" if _number(path) % every == 0 else split


def _number(path: PurePosixPath) -> int:
    return int.from_bytes(hashlib.sha256(str(path).encode()).digest()[:8], "big")


def _split_table(entry: Readable, source: Path) -> SplitTable:
    table = {}
    for number, line in enumerate(entry.read().decode().splitlines(), start=1):
        split, tab, path = line.partition("\t")
        if not tab or split not in _NAMES:
            raise UserError(
                f"{source}: line {number} of {SPLIT_FILE} must be train, val or test, a tab, a path. Got {line!r}."
            )
        table[PurePosixPath(path)] = _NAMES[split]
    return table
