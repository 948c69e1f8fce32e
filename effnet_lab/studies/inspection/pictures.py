"""Which images the inspector shows: those whose answer changes, then those that quantization hurts most."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet_lab.analysis.twins import Twins
from effnet_lab.decibels import decibels
from effnet_lab.evaluate.outputs import probabilities
from effnet_lab.images import ImageSet
from effnet_lab.litert import ModelInfo
from effnet_lab.studies.inspection.payload import Picture

THUMB_PX = 128
TOP = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class BothAnswers:
    """What both networks said of one sample."""

    float_scores: NDArray[np.float32]
    quantized_scores: NDArray[np.float32]

    @property
    def changed(self) -> bool:
        """Whether the first answer is another."""
        return bool(self.float_scores.argmax() != self.quantized_scores.argmax())

    @property
    def sqnr_db(self) -> float:
        """Of the output."""
        error = self.float_scores.astype(np.float64) - self.quantized_scores
        return decibels(float(np.square(self.float_scores, dtype=np.float64).sum()), float(np.square(error).sum()))


class AnswerWatcher:
    """Keeps what both networks said of every sample. See `error_sums.Watcher`."""

    def __init__(self) -> None:
        self.kept: tuple[BothAnswers, ...] = ()

    def see(self, twins: Twins) -> BothAnswers:
        """What the two networks hold."""
        reference, quantized = (values.reshape(-1).copy() for values in twins.outputs()[0])
        return BothAnswers(float_scores=reference, quantized_scores=quantized)

    def after(self, seen: Sequence[BothAnswers]) -> tuple[BothAnswers, ...]:
        """What is kept with these samples."""
        return (*self.kept, *seen)


def most_telling(watched: Sequence[AnswerWatcher], n: int) -> NDArray[np.int64]:
    """Indices of the samples to show: those whose answer any file changes first, then the lowest SQNR of an output."""
    answers = [*zip(*(watcher.kept for watcher in watched), strict=True)]
    order = sorted(
        range(len(answers)),
        key=lambda i: (not any(one.changed for one in answers[i]), min(one.sqnr_db for one in answers[i])),
    )
    return np.array(order[:n], np.int64)


def picture(images: ImageSet, index: int, answer: BothAnswers, info: ModelInfo) -> Picture:
    """One picture, as the network sees it, with both answers."""
    pixels = images.read(index)
    label = images.classes[int(images.labels[index])] if images.labelled else ""
    return {
        "name": f"{images.name} {index}" + (f", {label}" if label else ""),
        "thumb": thumbnail(info.preprocess.resize(pixels) if info.preprocess else pixels),
        "changed": answer.changed,
        "sqnr_db": answer.sqnr_db,
        "float_top": _top(answer.float_scores, info.classes),
        "quantized_top": _top(answer.quantized_scores, info.classes),
    }


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """A small JPEG as a data: address."""
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((THUMB_PX, THUMB_PX))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _top(scores: NDArray[np.float32], classes: tuple[str, ...]) -> list[tuple[str, float]]:
    shares = probabilities(scores[np.newaxis])[0]
    best = np.argsort(-shares, kind="stable")[:TOP]
    named = len(classes) == len(shares)
    return [(classes[i] if named else f"class {i}", float(shares[i])) for i in best]
