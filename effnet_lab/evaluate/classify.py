"""The most probable classes of any pictures, labelled or not."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.image_stream import StageClock, stream_batches
from effnet_lab.images import ImageSet, Stated, read_labels
from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.names import UserError
from effnet_lab.progress import Progress, counted

if TYPE_CHECKING:  # the pictures are looked for before anything slow is loaded
    import pandas as pd

    from effnet_lab.evaluate.predictors import Network
    from effnet_lab.litert import ModelInfo


def classify(
    images: Sequence[Path | str] | Path | str | ImageSet,
    weights: Network,
    top: int = 5,
    *,
    variant: str | None = None,
    labels: Sequence[str] | Path | str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Ranked classes of every picture.

    Parameters
    ----------
    images : paths, or ImageSet
        Files, folders (with the class folders in them), or patterns such as ``photos/*.jpg``.
    weights : name, path, LoadedModel or Keras model
    top : int
        Classes per picture.
    variant : str, optional
        For weights that do not say it themselves.
    labels : sequence of str, or path, optional
        One per output, or a file of them; by default the network's own, and the index where it has none.
    preprocess : StatedInput or Preprocess, optional
        What the network takes, where it is not known.
    progress : callable, optional
        Counts the pictures, as `tqdm` does.

    Returns
    -------
    DataFrame
        CLASSIFICATION frame: rank from 1, score a probability in [0, 1].
    """
    if top < 1:
        raise UserError(f"top must be >= 1. Got {top}.")
    read, files = open_pictures(images)
    if isinstance(labels, str | Path) and not Path(labels).is_file():
        raise UserError(f"There is no file of labels {str(labels)!r}.")
    from effnet_lab.evaluate.outputs import probabilities
    from effnet_lab.evaluate.predictors import open_predictor, require_ranking
    from effnet_lab.litert import say_defaults

    predictor = open_predictor(weights, variant=variant, preprocess=preprocess)
    require_ranking(predictor)
    shown = predictor.info.preprocess
    assert shown is not None
    say_defaults(predictor.info)
    names = tuple(predictor.info.classes)
    if labels is not None:
        names = read_labels(labels, predictor.outputs) if isinstance(labels, str | Path) else tuple(labels)

    rows: list[dict[str, Any]] = []
    batches = stream_batches(read, len(files), shown, StageClock())
    for batch in counted(progress, batches, len(files)):
        scores = probabilities(predictor.predict(batch))
        if names and len(names) != scores.shape[1]:
            raise UserError(f"{len(names)} labels for {scores.shape[1]} outputs. Give one label per output.")
        for row in scores:
            file = files[len(rows) // min(top, len(row))]
            rows += ranked_rows(predictor.info, file, row, names, top)
    return frames.build(frames.CLASSIFICATION, rows)


def ranked_rows(
    info: ModelInfo, file: str, scores: NDArray[Any], names: Sequence[str], top: int
) -> list[dict[str, Any]]:
    """Rows of a CLASSIFICATION frame: the `top` best classes of one picture, from its probabilities (classes,)."""
    ranked = np.argsort(-scores, kind="stable")[:top]
    return [
        info.key
        | {"file": file, "rank": rank, "class_index": int(index), "score": float(scores[index])}
        | {"label": names[index] if names else str(index)}
        for rank, index in enumerate(ranked, start=1)
    ]


def open_pictures(
    images: Sequence[Path | str] | Path | str | ImageSet,
) -> tuple[Callable[[int], NDArray[Any]], list[str]]:
    """How to read each picture, uint8 (h, w, 3) RGB, and what to call it."""
    if isinstance(images, ImageSet):
        return images.read, [f"{images.name} {i}" for i in range(len(images))]
    files = find_pictures([images] if isinstance(images, str | Path) else images)

    def read(i: int) -> NDArray[Any]:
        return decode(_content(files[i]), str(files[i]))

    return read, [str(file) for file in files]


def find_pictures(paths: Iterable[Path | str]) -> list[Path]:
    """Files, the pictures of folders and of the folders in them, and what patterns match; sorted, each once.

    Raises
    ------
    UserError
        If a file does not exist, or nothing is found.
    """
    found: list[Path] = []
    for path in paths:
        path = Path(path)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not _hidden(p, path))
        elif not path.exists() and glob.has_magic(str(path)):
            inside = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        elif not path.exists():
            raise UserError(f"Cannot read {path}: No such file or directory. Give an existing picture.")
        else:
            inside = [path]
        if not inside:
            raise UserError(f"{path} matches no picture. Give files, a folder of pictures, or a pattern in quotes.")
        found += inside
    if not found:
        raise UserError("No picture given. Give files, a folder of pictures, or a pattern in quotes.")
    return list(dict.fromkeys(found))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Give an existing picture.") from None
