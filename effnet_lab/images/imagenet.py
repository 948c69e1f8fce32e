"""The ImageNet validation folder: 50,000 pictures side by side, and their classes in a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.images.folders import TREE_SPLITS, Entry
from effnet_lab.images.imageset import ImageSet, digest
from effnet_lab.images.labels import imagenet_synsets
from effnet_lab.images.splits import split_of
from effnet_lab.names import UserError, suggest

CLASSES = 1000
LABEL_FILES = (  # looked for in the folder, then beside it
    "val.txt", "labels.txt", "ground_truth.txt", "val_labels.txt", "imagenet_2012_validation_synset_labels.txt",
    "synset_labels.txt", "ILSVRC2012_validation_ground_truth.txt", "LOC_val_solution.csv",
)  # fmt: skip
_PICTURE = re.compile(r"ILSVRC2012_val_(\d{8})\.jpe?g", re.IGNORECASE)
_SYNSET = re.compile(r"n\d{8}")
_DEVKIT = [490, 361, 171, 822, 297]  # how the development kit's own file starts: its numbers are not the networks'


@dataclass(frozen=True, slots=True)
class _Truth:
    """A line of the file: a picture's name or None, and its number or synset."""

    picture: str | None
    label: str


def is_validation_folder(folder: Path) -> bool:
    """Whether pictures named as in the ImageNet validation set lie in it side by side."""
    return any(_PICTURE.fullmatch(path.name) for path in folder.iterdir())


def open_validation_folder(
    folder: Path, split: str, labels: Path | None = None, base: int | None = None, name: str | None = None
) -> ImageSet:
    """Open a flat folder of pictures with a ground-truth file.

    Parameters
    ----------
    folder : Path
    split : str
        "all", or 80/10/10 by the SHA-256 of the file's name.
    labels : Path, optional
        One line per picture, in the order of their names: a number, a synset (n01440764), or the picture's name and one of
        the two. By default a file with a usual name in the folder or beside it. Numbers count the synsets in sorted order,
        as the networks' outputs do. They count from 0 when a 0 occurs, from 1 when 1,000 or every number from 1 to the
        highest does; otherwise `base` must say it. The development kit's numbers have another order: its meta.mat must lie
        beside them.
    base : 0 or 1, optional
        Number of the first class.
    name : str, optional
    """
    if split not in TREE_SPLITS:
        raise UserError(suggest("split", split, TREE_SPLITS))
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    if not pictures:
        raise UserError(
            f"{folder} has no image in it ({', '.join(SUFFIXES)}). Give the folder of the validation pictures."
        )
    source = labels or _find(folder)
    truth = _assign(pictures, _lines(source), source)
    numbers, classes = _numbers(truth, source, base)
    kept = [
        i for i, p in enumerate(pictures) if split == "all" or split_of(PurePosixPath(p.name), None, folder) == split
    ]
    if not kept:
        raise UserError(f"{folder} has no image in its {split} split. Choose another split; 'all' takes everything.")
    entries = [Entry(pictures[i], 0, pictures[i].stat().st_size) for i in kept]

    def read(i: int) -> NDArray[Any]:
        return decode(entries[i].read(), str(entries[i].file))

    contents = (f"{entry.file.name}\t{entry.size}\n" for entry in entries)  # reading 6 GB only to name them is too much
    return ImageSet(
        name=name or folder.resolve().name,
        split=split,
        classes=classes,
        labels=numbers[kept],
        read=read,
        fingerprint=digest(b"validation 1", "".join(contents).encode(), numbers[kept].tobytes()),
        positional=True,
    )


def _find(folder: Path) -> Path:
    for place in (folder, folder.resolve().parent):
        for name in LABEL_FILES:
            if (place / name).is_file():
                return place / name
    raise UserError(
        f"{folder} has no ground-truth file ({LABEL_FILES[0]}, {LABEL_FILES[4]}, ...) in it or beside it. "
        f"Name it: {folder}?labels=FILE"
    )


def _lines(source: Path) -> list[_Truth]:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the labels {source}: {getattr(error, 'strerror', None) or 'no text'}.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        words = re.split(r"[\s,;]+", line.strip())
        if words == [""] or words[0].lower() in ("imageid", "filename", "image"):  # a blank line, a table's heading
            continue
        picture, label = (None, words[0]) if _is_label(words[0]) else (words[0], words[1] if len(words) > 1 else "")
        if not _is_label(label):
            raise UserError(
                f"{source}: line {number} must be a number, a synset, or a file name and one of them. Got {line!r}."
            )
        found.append(_Truth(picture, label))
    return found


def _is_label(word: str) -> bool:
    return word.lstrip("+-").isdecimal() or _SYNSET.fullmatch(word) is not None


def _assign(pictures: list[Path], lines: list[_Truth], source: Path) -> list[str]:
    """Label of every picture: by its name, by the number in its name, or by its place among the pictures."""
    if any(line.picture for line in lines):
        table = {Path(line.picture).stem: line.label for line in lines if line.picture}
        missing = [path.name for path in pictures if path.stem not in table]
        if missing:
            raise UserError(
                f"{source} has no line for {missing[0]} ({len(missing)} such pictures). Add them, or remove them."
            )
        return [table[path.stem] for path in pictures]
    if len(lines) == len(pictures):
        return [line.label for line in lines]
    matches = [match for path in pictures if (match := _PICTURE.fullmatch(path.name))]
    if len(matches) < len(pictures) or max(int(match[1]) for match in matches) > len(lines):
        raise UserError(f"{source} has {len(lines):,} labels for {len(pictures):,} pictures. Give one line for each.")
    return [lines[int(match[1]) - 1].label for match in matches]


def _numbers(truth: list[str], source: Path, base: int | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Class indices from 0 on, int64, and the classes' names."""
    synsets = list(imagenet_synsets())
    if any(_SYNSET.fullmatch(label) for label in truth):
        place = {synset: i for i, synset in enumerate(synsets)}
        if strange := sorted(set(truth) - set(place)):
            raise UserError(
                f"{source}: {strange[0]!r} is none of the {CLASSES:,} synsets of ImageNet. Correct the line."
            )
        return np.array([place[label] for label in truth], np.int64), tuple(synsets)
    numbers = np.array([int(label) for label in truth], np.int64)
    if numbers[: len(_DEVKIT)].tolist() == _DEVKIT:
        return _from_devkit(numbers, source, synsets), tuple(synsets)
    return numbers - _base(numbers, source, base), tuple(synsets)


def _base(numbers: NDArray[Any], source: Path, base: int | None) -> int:
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high > CLASSES or (low == 0 and high == CLASSES):
        raise UserError(f"{source}: labels run from {low} to {high}; they must be 0 to 999 or 1 to 1000. Correct it.")
    complete = low == 1 and len(np.unique(numbers)) == high
    known = 0 if low == 0 else 1 if high == CLASSES or complete else None
    if base is not None:
        if base not in (0, 1) or (known is not None and base != known):
            raise UserError(
                f"{source}: labels run from {low} to {high}, which base={base} does not allow. Correct base."
            )
        return base
    if known is None:
        raise UserError(
            f"{source}: labels run from {low} to {high}: they may count from 0 or from 1. Say it: FOLDER?labels=FILE&base=0"
        )
    return known


def _from_devkit(numbers: NDArray[Any], source: Path, synsets: list[str]) -> NDArray[Any]:
    """The development kit's numbers (ILSVRC2012_ID) to the sorted order of the synsets, by its meta.mat."""
    meta = source.parent / "meta.mat"
    if not meta.is_file():
        raise UserError(
            f"{source} is the development kit's: its numbers are not the outputs of the networks. Put the kit's meta.mat "
            "beside it, or give a file of synsets."
        )
    from scipy.io import loadmat

    try:
        rows = loadmat(meta, squeeze_me=True)["synsets"]
        place = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        return np.array([synsets.index(place[number]) for number in numbers.tolist()], np.int64)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise UserError(f"{meta} does not explain the numbers of {source}: {error}. Give a file of synsets.") from None
