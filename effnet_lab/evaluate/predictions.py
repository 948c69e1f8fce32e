"""What networks said to every image of a data set: what accuracies and comparisons are counted from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.evaluate.class_order import class_order
from effnet_lab.evaluate.image_stream import BATCH, StageClock, stream
from effnet_lab.evaluate.kept_answers import TOP, Answer, Answers, ended_by_sigterm, read_answers, write_answers
from effnet_lab.evaluate.outputs import OutputErrors, probabilities
from effnet_lab.evaluate.predictors import (
    FilePredictor,
    Network,
    Predictor,
    fitted,
    open_predictor,
    outputs_of,
    team_of,
)
from effnet_lab.images import ArraySet, ImageSet, Stated
from effnet_lab.images.stated import tell
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError
from effnet_lab.progress import Progress, counted
from effnet_lab.workers import in_order

SAVE_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One network's ranked classes for the first n images of a data set."""

    info: ModelInfo
    images: ImageSet | ArraySet
    ranked: NDArray[
        np.int32
    ]  # (n, 5): indices of the data set's classes, best first; -1 is a class that it does not have
    confidence: NDArray[np.float32]  # (n,): probability of the first of them
    clock: StageClock  # what the images that were computed now took
    errors: OutputErrors = field(default_factory=OutputErrors)  # of its outputs against the network it was run beside

    def __len__(self) -> int:
        return len(self.ranked)

    @property
    def labels(self) -> NDArray[np.int64]:
        """True classes, int64 (n,)."""
        return self.images.labels[: len(self)]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the first class is the true one, bool (n,)."""
        return np.asarray(self.ranked[:, 0] == self.labels)

    @property
    def hits5(self) -> NDArray[np.bool_]:
        """Whether the true class is among the first five, bool (n,)."""
        return np.asarray((self.ranked == self.labels[:, None]).any(axis=1))


def collect_predictions(
    model: Network,
    images: ImageSet | ArraySet,
    *,
    threads: int = 1,
    workers: int | None = None,
    resume: Path | str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Predictions:
    """Run a network over a data set.

    Decoding and resizing run in the background while the network computes; memory does not grow with the images, but for
    what is kept of each answer.

    Parameters
    ----------
    model : path, name, LoadedModel, Keras model or Predictor
        A .tflite file, whose metadata say the preprocessing and the labels; or a network from elsewhere that brings them.
    images : ImageSet or ArraySet
    threads : int
        Threads of the interpreter of a file.
    workers : int, optional
        Interpreters of a file that share the images; by default one for each free processor. The answers are the same to the
        bit. Keras shares out the work of an image by itself.
    resume : path, optional
        An .npz file of answers: written every ten seconds and at the end, also when interrupted; continued where it
        exists. It is refused if it belongs to another network or to other images.
    preprocess : StatedInput or Preprocess, optional
        What the network takes, where its file does not say it. A guess is refused where the images are labelled.
    progress : callable, optional
        Counts the images, as `tqdm` does.
    """
    measures = "an accuracy" if images.labelled else ""
    predictor = open_predictor(model, threads, preprocess=preprocess, measures=measures)
    return collect([predictor], images, workers=workers, resume=resume, progress=progress)[0]


def collect(
    predictors: Sequence[Predictor],
    images: ImageSet | ArraySet,
    *,
    workers: int | None = None,
    resume: Path | str | None = None,
    progress: Progress | None = None,
) -> list[Predictions]:
    """The same for one or two networks at once: every image is decoded once, and two are compared output by output."""
    about = [_about(predictor, images) for predictor in predictors]
    path = None if resume is None else Path(resume)
    answers = Answers([[] for _ in predictors])
    if path is not None and path.exists():
        answers = read_answers(path, about)
    run = _Run(predictors, images, answers)
    left = len(images) - len(answers)
    batches = stream(run.prepare, range(len(answers), len(images)), run.clock, run.batch)
    team = team_of(predictors, workers, left)
    run.clock.n_workers = len(team)
    said = in_order([partial(say, each) for each in team], batches)
    saved = time.monotonic()
    with ended_by_sigterm() if path is not None else nullcontext():
        try:
            for batch in counted(progress, said, left):
                run.take(batch)
                if path is not None and time.monotonic() - saved > SAVE_EVERY_S:
                    write_answers(path, about, answers)
                    saved = time.monotonic()
        finally:
            if path is not None:
                _keep(path, about, answers, complete=len(answers) == len(images))
    return [
        Predictions(
            info=predictor.info, images=images, ranked=ranked, confidence=confidence, clock=run.clock,
            errors=answers.errors,
        )
        for predictor, (ranked, confidence) in zip(predictors, map(answers.arrays, range(len(predictors))), strict=True)
    ]  # fmt: skip


def _keep(path: Path, about: list[dict[str, Any]], answers: Answers, *, complete: bool) -> None:
    """Write the answers; where that fails after the last one, what was computed is shown all the same."""
    try:
        write_answers(path, about, answers)
    except UserError as error:
        if not complete:
            raise
        tell(str(error))


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """What every network said to some images."""

    outputs: list[list[list[NDArray[Any]]]]  # by network, image and output
    seconds: float

    def __len__(self) -> int:
        return len(self.outputs[0])


def say(predictors: Sequence[Predictor], batch: list[list[tuple[NDArray[Any], ...]]]) -> Said:
    """Run every network on these images; `batch` holds what each of them gets of each image."""
    start = time.perf_counter()
    outputs = [list(outputs_of(predictor, [given[i] for given in batch])) for i, predictor in enumerate(predictors)]
    return Said(outputs=outputs, seconds=time.perf_counter() - start)


class _Run:
    """Networks side by side on the same images."""

    def __init__(self, predictors: Sequence[Predictor], images: ImageSet | ArraySet, answers: Answers) -> None:
        self.predictors, self.images, self.answers, self.clock = predictors, images, answers, StageClock()
        self.feeds = [fitted(predictor, images) for predictor in predictors]
        self.orders: list[NDArray[Any] | None] = [None] * len(predictors)

    def prepare(self, index: int) -> tuple[list[tuple[NDArray[Any], ...]], float, float]:
        """What each network gets of one image; the same preprocessing is done once."""
        start = time.perf_counter()
        image = self.images.read(index) if isinstance(self.images, ImageSet) else None
        decoded = time.perf_counter()
        made: dict[Any, tuple[NDArray[Any], ...]] = {}
        given = []
        for predictor, feed in zip(self.predictors, self.feeds, strict=True):
            if image is None:
                given.append(feed.sample(index, None))
                continue
            preprocess = predictor.info.preprocess
            assert preprocess is not None  # `fitted` refuses pictures otherwise
            if preprocess not in made:
                made[preprocess] = (preprocess(image),)
            given.append(made[preprocess])
        return given, decoded - start, time.perf_counter() - decoded

    @property
    def batch(self) -> int:
        """Images that are answered before the next are begun: Keras gains by batches, an interpreter does not."""
        return 1 if all(isinstance(predictor, FilePredictor) for predictor in self.predictors) else BATCH

    def take(self, said: Said) -> None:
        """Count what every network said to some images."""
        self.clock.seconds["inference"] += said.seconds
        self.clock.wall_s = time.perf_counter() - self.clock.started
        ranked = [[self._rank(i, outputs[0]) for outputs in each] for i, each in enumerate(said.outputs)]
        errors = self.answers.errors
        if len(said.outputs) == 2:
            for first, second in zip(*said.outputs, strict=True):
                errors = errors.plus(first, second)
        self.answers.take(ranked, errors)

    def _rank(self, network: int, output: NDArray[Any]) -> Answer:
        """The best classes of one answer; none where the first output is no list of scores."""
        ranked, scores = np.full(TOP, -1, np.int32), output.reshape(1, -1)
        if output.size != (output.shape[-1] if output.shape else 1) or output.size < 2:
            if self.images.labelled:
                raise UserError(
                    f"{self.predictors[network].info.model} gives {output.shape}, which are not scores of classes, so it has no "
                    "accuracy. Compare two files on unlabelled inputs."
                )
            return ranked, np.float32("nan")
        if (order := self.orders[network]) is None:
            order = self.orders[network] = self._order(network, output.size)
        best = np.argsort(-scores[0], kind="stable")[:TOP]
        ranked[: len(best)] = order[best]
        return ranked, np.float32(probabilities(scores).max())

    def _order(self, network: int, outputs: int) -> NDArray[Any]:
        if not self.images.labelled:
            return np.arange(outputs)
        return class_order(self.predictors[network].info.classes, self.images, outputs)


def _about(predictor: Predictor, images: ImageSet | ArraySet) -> dict[str, Any]:
    preprocess = predictor.info.preprocess
    return predictor.info.key | {
        "content": getattr(predictor, "fingerprint", ""),
        "preprocess": json.loads(json.dumps(preprocess.as_dict())) if preprocess else None,
        "data": images.name,
        "images": images.fingerprint,
    }
