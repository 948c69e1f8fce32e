"""What a network said to every image of a data set: what accuracies and comparisons are counted from."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet_lab.evaluate.class_order import class_order
from effnet_lab.evaluate.classify import probabilities
from effnet_lab.evaluate.image_stream import BATCH, StageClock, stream_batches
from effnet_lab.evaluate.predictors import Predictor, open_predictor
from effnet_lab.images import ImageSet
from effnet_lab.images.imageset import digest
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically

TOP = 5  # classes kept per image
SAVE_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One network's ranked classes for the first n images of a data set."""

    info: ModelInfo
    images: ImageSet
    ranked: NDArray  # int32 (n, 5): indices of the data set's classes, best first; -1 is a class that it does not have
    confidence: NDArray  # float32 (n,): probability of the first of them
    clock: StageClock  # what the images that were computed now took

    def __len__(self) -> int:
        return len(self.ranked)

    @property
    def labels(self) -> NDArray:
        """True classes, int64 (n,)."""
        return self.images.labels[: len(self)]

    @property
    def hits(self) -> NDArray:
        """Whether the first class is the true one, bool (n,)."""
        return self.ranked[:, 0] == self.labels

    @property
    def hits5(self) -> NDArray:
        """Whether the true class is among the first five, bool (n,)."""
        return (self.ranked == self.labels[:, None]).any(axis=1)


def collect_predictions(
    model: Path | str | Predictor,
    images: ImageSet,
    *,
    threads: int = 1,
    resume: Path | str | None = None,
    progress: Callable[..., Iterable] | None = None,
) -> Predictions:
    """Run a network over a data set.

    Decoding and resizing run in the background while the network computes; memory does not grow with the images, but for
    24 bytes of answer each.

    Parameters
    ----------
    model : path or Predictor
        A .tflite file, whose metadata say the preprocessing and the labels; or a network from elsewhere that brings them.
    images : ImageSet
    threads : int
        Of the interpreter of a file.
    resume : path, optional
        An .npz file of answers: written every ten seconds and at the end, also when interrupted; continued where it
        exists. It is refused if it belongs to another network or to other images.
    progress : callable, optional
        Wraps the batches, as `tqdm` does.
    """
    predictor, clock = open_predictor(model, threads), StageClock()
    about = _about(model, predictor, images)
    ranked, confidence = _read(Path(resume), about) if resume and Path(resume).exists() else _nothing()
    rest = images.pick(np.arange(len(ranked), len(images)))
    parts, saved = [(ranked, confidence)], time.monotonic()
    try:
        for part in _answer(predictor, images, rest, clock, progress):
            parts.append(part)
            if resume and time.monotonic() - saved > SAVE_EVERY_S:
                parts, saved = [_write(Path(resume), about, parts)], time.monotonic()
    finally:
        ranked, confidence = _write(Path(resume), about, parts) if resume else _join(parts)
    return Predictions(info=predictor.info, images=images, ranked=ranked, confidence=confidence, clock=clock)


def _answer(
    predictor: Predictor, images: ImageSet, rest: ImageSet, clock: StageClock, progress: Callable[..., Iterable] | None
) -> Iterator[tuple[NDArray, NDArray]]:
    order = None
    batches = stream_batches(rest.read, len(rest), predictor.info.preprocess, clock)
    for batch in progress(batches, total=-(-len(rest) // BATCH)) if progress else batches:
        start = time.perf_counter()
        scores = predictor.predict(batch)
        clock.seconds["inference"] += time.perf_counter() - start
        if order is None:
            order = class_order(predictor.info.classes, images, scores.shape[1])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        ranked = np.full((len(best), TOP), -1, np.int32)
        ranked[:, : best.shape[1]] = order[best]
        yield ranked, probabilities(scores).max(axis=1).astype(np.float32)


def _about(model: Path | str | Predictor, predictor: Predictor, images: ImageSet) -> dict:
    content = Path(model).read_bytes() if isinstance(model, str | Path) and Path(model).is_file() else b""
    return predictor.info.key | {
        "content": digest(content),
        "preprocess": predictor.info.preprocess.as_dict(),
        "data": images.name,
        "images": images.fingerprint,
    }


def _nothing() -> tuple[NDArray, NDArray]:
    return np.empty((0, TOP), np.int32), np.empty(0, np.float32)


def _join(parts: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _write(path: Path, about: dict, parts: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    ranked, confidence = _join(parts)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, ranked=ranked, confidence=confidence, about=np.array(json.dumps(about)))
    write_atomically(path, buffer.getvalue())
    return ranked, confidence


def _read(path: Path, about: dict) -> tuple[NDArray, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            found, ranked, confidence = json.loads(str(stored["about"])), stored["ranked"], stored["confidence"]
    except Exception as error:  # noqa: BLE001  zipfile, numpy and json each have errors of their own
        raise UserError(f"{path} holds no answers: {error}. Remove it, or name another file.") from None
    for key, value in about.items():
        if found.get(key) != value:
            raise UserError(
                f"{path} holds answers of another run: {key} was {found.get(key)!r}, is {value!r}. Name another file."
            )
    return ranked, confidence
