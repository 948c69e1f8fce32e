"""Which preprocessing was a network trained with? Every plausible one is tried on labelled images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.audit_words import sentence, ties
from effnet_lab.evaluate.class_order import class_order
from effnet_lab.evaluate.compare import SIGNIFICANT
from effnet_lab.evaluate.pipelines import OFFSETS, Pipeline, tones, views
from effnet_lab.evaluate.predictors import Network, Predictor, open_predictor
from effnet_lab.images import ImageSet, Source, Stated, StatedInput, open_samples
from effnet_lab.images.imageset import spread
from effnet_lab.intervals import mcnemar, share_row
from effnet_lab.names import UserError
from effnet_lab.progress import Progress, counted

SCREEN = 0.3  # share of the images on which candidates are screened
_FEWEST = 40  # images of the screening, when there are so many
_CHUNK = 16
_NOBODY = -(10**6)  # index of the winner when a score is NaN
_SURVIVORS = 8  # candidates that see every image


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """Pipelines ranked by top-1, and what they tell."""

    table: pd.DataFrame  # AUDIT, best first
    sentence: str  # what yours loses against the best, and why
    ties: str  # what cannot be told apart


def audit_preprocess(
    model: Network,
    data: Source,
    yours: Pipeline | None = None,
    *,
    variant: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Audit:
    """Rank pipelines by top-1: normalisation x crop x interpolation x channel order x label offset.

    Staged, so that not all of them see all images: normalisation and channel order first, on a part of the images and with
    the stated crop; then crop and interpolation for what cannot be told from the best; then all images for the best eight,
    and for the best of every normalisation and channel order that is still in question.

    Parameters
    ----------
    model : name, path, LoadedModel or Keras model
    data : name, path or ImageSet
        Labelled; 100 to 500 are enough.
    yours : Pipeline, optional
        What you do now; by default what is known of the network, or stated, in its order of channels, without an offset.
    variant : str, optional
        For weights that do not say it themselves.
    split, limit
        Which of the images.
    preprocess : StatedInput or Preprocess, optional
        What you take for right.
    progress : callable, optional
        Wraps the steps, as `tqdm` does.

    Returns
    -------
    Audit
        In the table those that saw all images stand before the others. ``p_value`` is McNemar's exact test against the best
        on the images that both saw; ``tied`` says that it does not tell them apart. ``mark`` is "A" for the best, "B" for
        yours ("A" if that is the best).
    """
    images = open_samples(data, split, limit)
    if not isinstance(images, ImageSet) or not images.labelled:
        raise UserError(f"The audit counts right answers, and {images.name} has no labels. Give labelled images.")
    predictor = open_predictor(model, variant=variant, preprocess=preprocess or StatedInput(guess=True))
    known = predictor.info.preprocess
    if known is None:
        raise UserError(f"{predictor.info.model} takes no pictures, so there is no preprocessing to find.")
    stated = Pipeline(preprocess=known, channels=known.channels)
    yours = yours or stated
    if yours.preprocess.size != known.size:
        raise UserError(f"The model takes {known.size_px} px. Got a pipeline for {yours.preprocess.size_px} px.")
    trial = _Trial(predictor, images, yours, progress)
    few = min(len(images), max(_FEWEST, round(SCREEN * len(images))))
    trial.run([*tones(known), stated, yours], few)
    trial.run([view for tone in trial.best_tones() for view in views(tone)], few)
    trial.run([*trial.best(_SURVIVORS), *trial.best_tones(), stated, yours], len(images))
    table = _table(trial)
    return Audit(table=table, sentence=sentence(table, len(images)), ties=ties(table, len(images)))


class _Trial:
    """Which output won on every image, for every pipeline, so far."""

    def __init__(self, predictor: Predictor, images: ImageSet, yours: Pipeline, progress: Progress | None) -> None:
        self.predictor, self.images, self.yours, self.progress = predictor, images, yours, progress
        self.order = images.pick(spread(images.labels, len(images)))  # every prefix is balanced over the classes
        self.classes = np.zeros(0, np.int64)  # of the data set, for each output
        self.winners: dict[Pipeline, NDArray[Any]] = {}  # without offsets: indices of outputs, for the first images

    def run(self, pipelines: list[Pipeline], n: int) -> None:
        """Bring these to n images."""
        waiting: dict[int, list[Pipeline]] = {}  # by how many images they saw
        for fed in dict.fromkeys(pipeline.fed for pipeline in pipelines):
            waiting.setdefault(len(self.winners.get(fed, ())), []).append(fed)
        steps = [(seen, range(i, min(i + _CHUNK, n))) for seen in waiting for i in range(seen, n, _CHUNK)]
        total = sum(len(indices) for _seen, indices in steps)
        for seen, indices in counted(self.progress, steps, total, lambda step: len(step[1])):
            self._step(waiting[seen], indices)

    def _step(self, pipelines: list[Pipeline], indices: range) -> None:
        pictures = [self.order.read(i) for i in indices]
        resized: dict[tuple[object, ...], list[NDArray[Any]]] = {}
        for pipeline in pipelines:
            if pipeline.view not in resized:
                resized[pipeline.view] = [pipeline.preprocess.resize(picture) for picture in pictures]
            scores = self.predictor.predict(np.stack([pipeline.arrange(pixels) for pixels in resized[pipeline.view]]))
            if not len(self.classes):
                self.classes = class_order(self.predictor.info.classes, self.images, scores.shape[1])
            won = np.where(np.isnan(scores).any(axis=1), _NOBODY, scores.argmax(axis=1))
            self.winners[pipeline] = np.concatenate([self.winners.get(pipeline, np.zeros(0, np.int64)), won])

    def hits(self, pipeline: Pipeline) -> NDArray[Any]:
        """Whether each image that it saw was classified correctly, bool."""
        shifted = self.winners[pipeline.fed] + pipeline.label_offset
        inside = (shifted >= 0) & (shifted < len(self.classes))
        return np.asarray(inside & (self.classes[np.where(inside, shifted, 0)] == self.order.labels[: len(shifted)]))

    def all(self) -> list[Pipeline]:
        """Every pipeline tried, with every label offset."""
        made = [replace(fed, label_offset=offset) for fed in self.winners for offset in OFFSETS]
        return list(dict.fromkeys([*made, self.yours]))

    def best(self, n: int) -> list[Pipeline]:
        """The n pipelines with most hits on the images that all of them saw; one offset of each."""
        fewest = min(len(winners) for winners in self.winners.values())
        ranked = sorted(self.all(), key=lambda pipeline: -int(self.hits(pipeline)[:fewest].sum()))
        first: dict[Pipeline, Pipeline] = {}
        for pipeline in ranked:
            first.setdefault(pipeline.fed, pipeline)
        return list(first.values())[:n]

    def best_tones(self) -> list[Pipeline]:
        """The best pipeline, and up to two with another normalisation or channel order that cannot be told from it."""
        ranked = self.best(len(self.winners))
        best = self.hits(ranked[0])
        first: dict[tuple[object, ...], Pipeline] = {}
        for pipeline in ranked:
            if mcnemar(best, self.hits(pipeline)) >= SIGNIFICANT:
                first.setdefault(pipeline.tone, pipeline)
        return list(first.values())[:3]


def _table(trial: _Trial) -> pd.DataFrame:
    info, hits_of, rows = trial.predictor.info, {pipeline: trial.hits(pipeline) for pipeline in trial.all()}, []
    ranked = sorted(  # at equal hits yours comes first, then the plainest label offset
        hits_of, key=lambda p: (-len(hits_of[p]), -hits_of[p].sum(), p != trial.yours, abs(p.label_offset))
    )
    best = hits_of[ranked[0]]
    for rank, pipeline in enumerate(ranked, start=1):
        hits = hits_of[pipeline]
        n = len(hits)
        p_value = mcnemar(best[:n], hits)
        mark = "A" if rank == 1 else "B" if pipeline == trial.yours else ""
        rows.append(
            info.key
            | {"data": trial.images.name}
            | pipeline.row()
            | {"rank": rank, "mark": mark, "n_images": n}
            | share_row(int(hits.sum()), n)
            | {"p_value": p_value, "tied": p_value >= SIGNIFICANT}
        )
    return frames.build(frames.AUDIT, rows)
