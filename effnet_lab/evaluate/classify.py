"""The most probable classes of any pictures, labelled or not."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.image_stream import BATCH, StageClock, stream_batches
from effnet_lab.evaluate.predictors import Predictor
from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.names import UserError


def classify(
    predictor: Predictor,
    paths: Iterable[Path | str],
    top: int = 5,
    *,
    labels: Sequence[str] | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> pd.DataFrame:
    """Ranked classes of every picture.

    Parameters
    ----------
    predictor : Predictor
    paths : iterable of paths
        Files, folders, or patterns such as ``photos/*.jpg``.
    top : int
        Classes per picture.
    labels : sequence of str, optional
        One per output; by default the predictor's own, and the index where it has none.
    progress : callable, optional
        Wraps the batches, as `tqdm` does.

    Returns
    -------
    DataFrame
        CLASSIFICATION frame: rank from 1, score a probability in [0, 1].
    """
    if top < 1:
        raise UserError(f"top must be >= 1. Got {top}.")
    files = find_pictures(paths)
    names = tuple(labels if labels is not None else predictor.info.classes)

    rows: list[dict] = []
    batches = stream_batches(picture_reader(files), len(files), predictor.info.preprocess, StageClock())
    for batch in progress(batches, total=-(-len(files) // BATCH)) if progress else batches:
        scores = probabilities(predictor.predict(batch))
        if names and len(names) != scores.shape[1]:
            raise UserError(f"{len(names)} labels for {scores.shape[1]} outputs. Give one label per output.")
        for row in scores:
            ranked = np.argsort(-row, kind="stable")[:top]
            file = str(files[len(rows) // len(ranked)])
            rows += [
                predictor.info.key
                | {"file": file, "rank": rank, "class_index": int(index), "score": float(row[index])}
                | {"label": names[index] if names else str(index)}
                for rank, index in enumerate(ranked, start=1)
            ]
    return frames.build(frames.CLASSIFICATION, rows)


def find_pictures(paths: Iterable[Path | str]) -> list[Path]:
    """Files, the pictures of folders, and what patterns match; sorted within each, in the order given, each once."""
    found: list[Path] = []
    for path in paths:
        path = Path(path)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
        elif not path.exists() and glob.has_magic(str(path)):
            inside = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        else:
            inside = [path]
        if not inside:
            raise UserError(f"{path} matches no picture. Give files, a folder of pictures, or a pattern in quotes.")
        found += inside
    if not found:
        raise UserError("No picture given. Give files, a folder of pictures, or a pattern in quotes.")
    return list(dict.fromkeys(found))


def picture_reader(files: Sequence[Path]) -> Callable[[int], NDArray]:
    """From an index to pixels, uint8 (h, w, 3) RGB."""

    def read(i: int) -> NDArray:
        return decode(_content(files[i]), str(files[i]))

    return read


def probabilities(scores: NDArray) -> NDArray:
    """Scores (n, classes) as probabilities: what sums to about 1 is taken as such, else the softmax.

    A uint8 softmax output has steps of 1/256, so its sum may be off by several percent.
    """
    sums = scores.sum(axis=1)
    if scores.min() >= 0 and scores.max() <= 1 and np.abs(sums - 1).max() < 0.1:
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Give an existing picture.") from None
