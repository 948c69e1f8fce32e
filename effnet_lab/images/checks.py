"""What is wrong with a data set, found before hours are spent on it: damaged files, copies, rare classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet_lab import frames
from effnet_lab.images.imageset import ImageSet
from effnet_lab.images.sources import open_images
from effnet_lab.names import UserError
from effnet_lab.progress import Progress, counted

if TYPE_CHECKING:  # pictures are looked for before anything slow is loaded
    import pandas as pd

DAMAGED, COPY, CONTRADICTION, RARE = "damaged", "copy", "two classes", "rare class"
NEAR_BITS = 4  # of 64: hashes of two pictures that differ in no more may be of the same photograph,
NEAR_GREY = 8.0  # and are if what is left at 16 x 16 pixels differs by no more grey levels on average
_THUMB_PX = 16
IMBALANCE = 10.0  # a class with this many times fewer images than the largest one is reported
_CHUNK = 256  # hashes that are compared with all others at a time
_WORKERS = 4


_LOOK = np.dtype([("read", bool), ("hash", np.uint64), ("thumb", np.uint8, (_THUMB_PX, _THUMB_PX))])


@dataclass(frozen=True, kw_only=True, eq=False)
class DataCheck:
    """What was found, and in how much."""

    table: pd.DataFrame  # DATA_CHECK, a row per finding; empty where nothing is wrong
    n_images: int
    sentence: str

    @property
    def damaged(self) -> list[str]:
        """Files that cannot be decoded."""
        return [str(file) for file in self.table.loc[self.table["problem"] == DAMAGED, "file"]]


def check_data(data: str | Path | ImageSet, *, progress: Progress | None = None) -> DataCheck:
    """Read every image once, and say what is wrong with the data set.

    Damaged files; pictures of one split that are in another one, too, perhaps resized or compressed again (a perceptual hash
    differs in at most 4 of 64 bits, and small grey copies hardly at all); pictures that are in two classes, of
    one split or of two; classes with less than a tenth of the images of the largest one.

    Parameters
    ----------
    data : name, path or ImageSet
        All splits of a source; an ImageSet is one split.
    progress : callable, optional
        Wraps what is counted, images, as `tqdm` does.
    """
    splits = [data] if isinstance(data, ImageSet) else list(_splits(data))
    total = sum(map(len, splits))
    rows: list[dict[str, Any]] = []
    hashes = [np.zeros(len(images), _LOOK) for images in splits]
    every = [(images, found, i) for images, found in zip(splits, hashes, strict=True) for i in range(len(images))]
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(lambda each: _look(each[0], each[2]), every)
        for (images, found, i), result in zip(every, counted(progress, results, total, lambda _: 1), strict=True):
            if isinstance(result, str):
                rows.append(_row(images, i, DAMAGED, detail=result))
            else:
                found[i] = (True, *result)
    rows += _copies(splits, hashes)
    rows += _contradictions(splits, hashes)
    rows += [row for images in splits for row in _rare(images)]
    return DataCheck(table=frames.build(frames.DATA_CHECK, rows), n_images=total, sentence=_sentence(rows, total))


def picture_hash(image: NDArray[Any]) -> int:
    """64 bits that stay what they are when a picture is resized or compressed: which low frequencies are strong.

    The library's ``phash``: discrete cosine transform of 32 x 32 grey levels, the lowest 8 x 8 against their median.
    """
    import imagehash

    bits = imagehash.phash(Image.fromarray(image)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _splits(data: str | Path) -> Iterator[ImageSet]:
    for split in ("train", "calibration", "evaluation"):
        try:
            yield open_images(data, split)
        except UserError:
            if split == "train":  # other splits may be empty
                raise


def _look(images: ImageSet, i: int) -> tuple[int, NDArray[Any]] | str:
    """The hash of a picture and a small grey copy, or why there is none."""
    try:
        image = images.read(i)
        thumb = Image.fromarray(image).convert("L").resize((_THUMB_PX, _THUMB_PX), Image.Resampling.BOX)
        return picture_hash(image), np.asarray(thumb)
    except UserError as error:
        return str(error)


def _row(images: ImageSet, i: int, problem: str, *, detail: str = "", twin: str = "") -> dict[str, Any]:
    return {
        "data": images.name, "problem": problem, "split": images.split, "file": images.name_of(i),
        "label": images.classes[images.labels[i]] if images.labelled else "", "twin": twin, "detail": detail,
    }  # fmt: skip


def _copies(splits: list[ImageSet], hashes: list[NDArray[Any]]) -> list[dict[str, Any]]:
    """Pictures of a later split that are in an earlier one."""
    rows = []
    for later, earlier in ((j, i) for j in range(1, len(splits)) for i in range(j)):
        for i, twin, apart in _nearest(hashes[later], hashes[earlier]):
            where = f"{splits[earlier].split}: {splits[earlier].name_of(twin)}"
            rows.append(_row(splits[later], i, COPY, twin=where, detail=f"{apart:.1f} grey levels apart"))
    return rows


def _contradictions(splits: list[ImageSet], hashes: list[NDArray[Any]]) -> list[dict[str, Any]]:
    """Pictures that are there before, in whatever split, in another class."""
    labelled = [(images, looks) for images, looks in zip(splits, hashes, strict=True) if images.labelled]
    if not labelled:
        return []
    places = [(images, i) for images, _ in labelled for i in range(len(images))]
    labels = np.concatenate([np.asarray(images.classes)[images.labels] for images, _ in labelled])
    looks = np.concatenate([found for _, found in labelled])

    def earlier_of_another_class(start: int, n: int) -> NDArray[np.bool_]:
        rows = np.arange(start, start + n)[:, np.newaxis]
        return np.asarray((np.arange(len(labels)) < rows) & (labels[rows] != labels))

    rows = []
    for i, twin, apart in _nearest(looks, looks, earlier_of_another_class):
        other, j = places[twin]
        where, detail = f"{labels[twin]}: {other.name_of(j)}", f"{apart:.1f} grey levels apart"
        rows.append(_row(*places[i], CONTRADICTION, twin=where, detail=detail))
    return rows


def _nearest(
    ours: NDArray[Any], theirs: NDArray[Any], among: Callable[[int, int], NDArray[np.bool_]] | None = None
) -> Iterator[tuple[int, int, float]]:
    """Numbers of a picture and of the one of `theirs` that shows the same, and how many grey levels they are apart.

    `among` gives, for so many pictures from one on, which of `theirs` count.
    """
    for start in range(0, len(ours), _CHUNK):
        part = ours[start : start + _CHUNK]
        near = np.bitwise_count(part["hash"][:, np.newaxis] ^ theirs["hash"][np.newaxis, :]) <= NEAR_BITS
        near &= part["read"][:, np.newaxis] & theirs["read"]
        if among is not None:
            near &= among(start, len(part))
        for i in np.flatnonzero(near.any(axis=1)):
            others = np.flatnonzero(near[i])
            grey = np.abs(theirs["thumb"][others].astype(float) - part["thumb"][i]).mean(axis=(1, 2))
            if grey.min() <= NEAR_GREY:
                yield start + int(i), int(others[grey.argmin()]), float(grey.min())


def _rare(images: ImageSet) -> list[dict[str, Any]]:
    if not images.labelled or images.split not in ("train", "all"):
        return []
    counts = np.bincount(images.labels, minlength=len(images.classes))
    return [
        {
            "data": images.name, "problem": RARE, "split": images.split, "file": "", "label": name, "twin": "",
            "detail": f"{count:,} images; {images.classes[counts.argmax()]} has {counts.max():,}",
        }
        for name, count in zip(images.classes, counts.tolist(), strict=True)
        if count * IMBALANCE < counts.max()
    ]  # fmt: skip


def _sentence(rows: list[dict[str, Any]], total: int) -> str:
    counts = {kind: sum(row["problem"] == kind for row in rows) for kind in (DAMAGED, COPY, CONTRADICTION, RARE)}
    if not any(counts.values()):
        return f"{total:,} images: all can be read, no copies across splits or classes, no class is rare."
    classes = "class" if counts[RARE] == 1 else "classes"
    return (
        f"{total:,} images: {counts[DAMAGED]:,} damaged, {counts[COPY]:,} in two splits, {counts[CONTRADICTION]:,} in two "
        f"classes, {counts[RARE]:,} {classes} with less than a tenth of the images of the largest."
    )
