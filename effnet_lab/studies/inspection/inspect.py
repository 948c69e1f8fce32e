"""One call that looks at quantized files from every side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab.analysis.measuring import Measuring
from effnet_lab.analysis.twins import Twins
from effnet_lab.analysis.verdicts.layer_verdicts import LayerVerdicts, judge
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.litert import tell_apart
from effnet_lab.litert.flatbuffer import decode
from effnet_lab.names import UserError
from effnet_lab.studies.inspection.layers import shown_layers
from effnet_lab.studies.inspection.look import LayerLook
from effnet_lab.studies.inspection.payload import METRICS, MOST_FILES, File, Payload
from effnet_lab.studies.inspection.pictures import AnswerWatcher, most_telling, picture

N_PICTURES = 8  # that are shown
N_FOLLOWED = 4  # samples on which each layer's effect on the logits is followed
EFFECTS = ("effect", "split")
Progress = Callable[..., Iterable[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspected:
    """What the inspector shows, and the open files behind it."""

    payload: Payload
    opened: tuple[Twins, ...]  # one for each file of the payload
    images: ImageSet | ArraySet
    telling: NDArray[np.int64]  # which of them are the pictures of the payload


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """One file after the pass over all images."""

    twins: Twins
    found: LayerVerdicts
    errors: pd.DataFrame
    answers: AnswerWatcher


def inspection(quantized: Sequence[Path | str | Twins], images: Source, **options: Any) -> Payload:
    """All that the inspector shows of up to four quantized files, as plain data; see `inspected`."""
    return inspected(quantized, images, **options).payload


def inspected(
    quantized: Sequence[Path | str | Twins],
    images: Source,
    *,
    float_models: Sequence[Path | str | None] = (),
    kernels: str = "xnnpack",
    anyway: bool = False,
    preprocess: Stated = None,
    split: str | None = None,
    limit: int | None = 16,
    known: LayerVerdicts | None = None,
    effects: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Inspected:
    """Look at up to four quantized files.

    Parameters
    ----------
    quantized : sequence of path or Twins
        Quantized .tflite files, of one network or of several; the strips are aligned by the names of layers.
    images : name, path or Samples
        What both networks of each pair see. Arrays have no pictures, so there is no error map then.
    float_models : sequence of path or None
        The float network of each file, or one for all; None: a twin with the file's own weights.
    kernels, anyway, preprocess, split, limit, progress
        As for `verdicts`.
    known, effects : LayerVerdicts, DataFrame, optional
        What `verdicts` has said of the only file, and a LAYER_ERROR with the effects of its layers: it is not computed again.

    Raises
    ------
    UserError
        If there are no files, or more than `MOST_FILES`, or a float file is no pair with its quantized one.
    """
    if not 1 <= len(quantized) <= MOST_FILES:
        raise UserError(f"The inspector shows 1 to {MOST_FILES} files side by side. Got {len(quantized)}.")
    given = list(float_models) or [None]
    if len(given) not in (1, len(quantized)):
        raise UserError(f"Give one float model for all files, or one for each. Got {len(given)} for {len(quantized)}.")
    chosen = open_samples(images, split=split, limit=limit)
    opened = tuple(
        file
        if isinstance(file, Twins)
        else Twins(file, given[i if len(given) > 1 else 0], kernels=kernels, anyway=anyway, preprocess=preprocess)
        for i, file in enumerate(quantized)
    )
    sources = [file.info.model if isinstance(file, Twins) else file for file in quantized]
    infos = tell_apart([twins.info for twins in opened], sources)
    labels = [" ".join(part for part in info.key.values() if part) for info in infos]
    judged = [twins.carry_out(partial(_judged, twins, chosen, known, effects, progress)) for twins in opened]
    telling = most_telling([one.answers for one in judged], N_PICTURES)
    files = [
        one.twins.carry_out(partial(_file, one, chosen, label, telling))
        for one, label in zip(judged, labels, strict=True)
    ]
    payload: Payload = {"metrics": list(METRICS), "files": files}
    return Inspected(payload=payload, opened=opened, images=chosen, telling=telling)


def _judged(
    twins: Twins, images: ImageSet | ArraySet, known: LayerVerdicts | None, effects: pd.DataFrame | None,
    progress: Progress | None,
) -> _Judged:  # fmt: skip
    answers = AnswerWatcher()
    if known is None:
        found = judge(twins, images, progress, watchers=(answers,))
        if found.interrupted:
            raise KeyboardInterrupt  # a page on some of the images would not say that it is one
    else:
        found = known
        for sample in twins.samples(images):
            twins.run(sample)
            answers.kept = answers.after([answers.see(twins)])
    if effects is None:
        effects = _effects(twins, images, progress)
    errors = found.errors.assign(**{name: effects[name] for name in effects.columns if "effect" in name})
    return _Judged(twins=twins, found=found, errors=errors, answers=answers)


def _file(judged: _Judged, images: ImageSet | ArraySet, label: str, telling: NDArray[np.int64]) -> File:
    twins = judged.twins
    looks = {pair.layer: LayerLook(pair) for pair in twins.pairs}
    for sample in twins.samples(images.pick(telling[::-1])):  # the most telling last: the integers are told of it
        twins.run(sample)
        for look in looks.values():
            look.see(twins)
    kept = judged.answers.kept
    pictures = [picture(images, int(i), kept[i], twins.info) for i in telling] if isinstance(images, ImageSet) else []
    layers = shown_layers(twins, looks, judged.found.table, judged.errors, pictured=bool(pictures))
    name = decode(twins.quantized_source.main.name) or "main"
    return {
        "label": label, "graph": name, "summary": " ".join(judged.found.closing), "layers": layers, "pictures": pictures,
    }  # fmt: skip


def _effects(twins: Twins, images: ImageSet | ArraySet, progress: Progress | None) -> pd.DataFrame:
    """LAYER_ERROR of what each layer alone costs the logits, on a few samples."""
    measuring = Measuring(twins, EFFECTS)
    if not measuring.run(images.take(N_FOLLOWED), progress):
        raise KeyboardInterrupt
    return measuring.table(images.name)
