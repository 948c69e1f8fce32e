"""Evaluating and comparing networks: one call each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.evaluate.accuracy import accuracy, confusion, per_class, reliability
from effnet_lab.evaluate.class_order import class_order
from effnet_lab.evaluate.compare import compare_predictions, describe_difference, name_of
from effnet_lab.evaluate.image_stream import StageClock
from effnet_lab.evaluate.predictions import Predictions, collect
from effnet_lab.evaluate.predictors import Network, Predictor, open_predictors, settle_predictors
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.images.stated import stated_side, tell
from effnet_lab.litert import describe
from effnet_lab.names import UserError
from effnet_lab.progress import Progress


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What networks are worth on a data set; tables of what the images could not show are empty."""

    table: pd.DataFrame  # ACCURACY: one row per network; none where the images are not labelled
    per_class: pd.DataFrame  # PER_CLASS of the first network
    confusion: pd.DataFrame  # CONFUSION of the first network
    reliability: pd.DataFrame  # RELIABILITY of the first network
    comparison: pd.DataFrame  # COMPARISON: the first network against the second
    outputs: pd.DataFrame  # OUTPUT_ERROR: how far the outputs of the first are from those of the second
    sentence: str  # the difference in words; empty for one network
    fed: tuple[str, ...]  # how each network was fed: size, crop, resizer, values, and where that comes from
    clock: StageClock


def evaluate(
    model: Network,
    data: Source,
    *,
    against: Network | None = None,
    variant: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    threads: int = 1,
    workers: int | None = None,
    resume: Path | str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Top-1 and top-5 with their intervals; with `against`, the difference of two networks on the same samples.

    Samples without labels need `against`: then the two are compared by how often they agree, and by the error of their
    outputs. That holds for networks without classes, too.

    Parameters
    ----------
    model, against : name, path, LoadedModel or Keras model
    data : name, path, ImageSet or ArraySet
        See `images.open_samples`: images, or an .npy or .npz with the inputs of any network.
    variant : str, optional
        For weights that do not say it themselves.
    split, limit
        Which of the images.
    threads : int
        Threads of the interpreter.
    workers : int, optional
        Interpreters of a file that share the images, in threads; by default one for each free processor. Every number is the
        same to the bit.
    resume : path, optional
        An .npz for the answers: written as they come, also when stopped; continued where it exists.
    preprocess : StatedInput or Preprocess, optional
        What the networks take, where it is not known; a guess is refused where an accuracy would rest on it.
    progress : callable, optional
        Counts the images, as `tqdm` does.
    """
    samples = open_samples(data, split, limit)
    if against is None and not samples.labelled:
        raise UserError(
            f"{samples.name} has no labels, so accuracy cannot be measured. Give --against another network "
            "to measure how often the two agree, or images in a folder per class."
        )
    if resume is not None and Path(resume).suffix != ".npz":
        raise UserError(f"--resume must end in .npz. Got {str(resume)!r}.")
    models = [model] if against is None else [model, against]
    networks = open_predictors(models, threads, variant=variant, size_px=stated_side(preprocess))
    if against is not None and samples.labelled and (why := _other_classes(networks, samples)):
        tell(f"{why} So the two are compared without labels.")
        samples = samples.unlabelled()
    measures = "an accuracy" if samples.labelled and isinstance(samples, ImageSet) else ""
    networks = settle_predictors(networks, preprocess, measures=measures)
    said = collect(networks, samples, workers=workers, resume=resume, progress=progress)
    return _evaluation(said, tuple(dict.fromkeys(describe(network.info.preprocess) for network in networks)))


def compare(
    first: Network,
    second: Network,
    data: Source,
    *,
    variant: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    threads: int = 1,
    workers: int | None = None,
    resume: Path | str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate` of the first network against the second; its `comparison` and `outputs` hold the difference."""
    return evaluate(
        first, data, against=second, variant=variant, split=split, limit=limit, threads=threads, workers=workers,
        resume=resume, preprocess=preprocess, progress=progress,
    )  # fmt: skip


def _other_classes(networks: list[Predictor], samples: ImageSet | ArraySet) -> str:
    """Why the labels say nothing about these networks; empty if they do."""
    try:
        for network in networks:
            class_order(network.info.classes, samples, network.outputs)
    except UserError as error:
        return str(error)
    return ""


def _evaluation(said: list[Predictions], fed: tuple[str, ...]) -> Evaluation:
    first, second = said[0], said[-1]
    labelled, pair = first.images.labelled, len(said) == 2
    outputs = first.errors.table(first.info, name_of(second.info), first.images.name)
    comparison = compare_predictions(first, second) if labelled and pair else frames.build(frames.COMPARISON, [])
    sentence = ""
    if pair:
        sentence = describe_difference(comparison) if labelled else _agreement(outputs)
    return Evaluation(
        table=pd.concat([accuracy(answers) for answers in said], ignore_index=True)
        if labelled
        else frames.build(frames.ACCURACY, []),
        per_class=per_class(first) if labelled else frames.build(frames.PER_CLASS, []),
        confusion=confusion(first) if labelled else frames.build(frames.CONFUSION, []),
        reliability=reliability(first) if labelled else frames.build(frames.RELIABILITY, []),
        comparison=comparison,
        outputs=outputs,
        sentence=sentence,
        fed=fed,
        clock=first.clock,
    )


def _agreement(outputs: pd.DataFrame) -> str:
    """How alike two networks are where nobody knows what is right."""
    if outputs.empty:
        return "the outputs of the two networks have unlike shapes, so they cannot be compared without labels"
    row = outputs.iloc[0]
    if np.isposinf(outputs["sqnr_outputs_db"]).all():
        return f"{row['n_images']:,} samples: the outputs of the two networks are the same"
    same = "" if pd.isna(row["agreement"]) else f"the largest output is the same for {row['agreement']:.1%}; "
    return f"{row['n_images']:,} samples: {same}SQNR of the outputs {row['sqnr_outputs_db']:.1f} dB"
