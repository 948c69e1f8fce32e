"""Top-1 and top-5 of one network on one set of images, with the interval that their number allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import ImageSet
from effnet_lab.images.labels import imagenet_synsets
from effnet_lab.intervals import wilson
from effnet_lab.measure.predictor import Predictor, open_predictor
from effnet_lab.measure.stages import BATCH, StageClock, stream_batches
from effnet_lab.names import UserError


def measure_accuracy(
    model: Path | str | Predictor,
    images: ImageSet,
    *,
    threads: int = 1,
    progress: Callable[..., Iterable] | None = None,
) -> pd.DataFrame:
    """ACCURACY frame with one row.

    Decoding and resizing run in the background while the network computes. ``attrs`` of the table say ``images_per_s``,
    ``slowest_stage`` ("decode", "preprocess" or "inference") and ``seconds`` per stage.

    Parameters
    ----------
    model : path or Predictor
        A .tflite file, whose metadata say the preprocessing and the labels; or a network from elsewhere that brings them.
    images : ImageSet
        Streamed in batches; memory does not grow with their number.
    threads : int
        Of the interpreter of a file.
    progress : callable, optional
        Wraps the batches, as `tqdm` does.
    """
    predictor = open_predictor(model, threads)
    info, clock = predictor.info, StageClock()
    order = hits1 = hits5 = 0
    batches = stream_batches(images.read, len(images), info.preprocess, clock)
    for i, batch in enumerate(progress(batches, total=-(-len(images) // BATCH)) if progress else batches):
        start = time.perf_counter()
        scores = predictor.predict(batch)
        clock.seconds["inference"] += time.perf_counter() - start
        if i == 0:
            order = class_order(info.classes, images, scores.shape[1])
        ranked = order[np.argsort(-scores, axis=1, kind="stable")[:, :5]]
        labels = images.labels[i * BATCH : i * BATCH + len(batch)]
        hits1 += int((ranked[:, 0] == labels).sum())
        hits5 += int((ranked == labels[:, None]).any(axis=1).sum())
    low, high = wilson(hits1, len(images))
    row = info.key | {
        "data": images.name, "n_images": len(images),
        "top1": hits1 / len(images), "top1_lo": low, "top1_hi": high, "top5": hits5 / len(images),
    }  # fmt: skip
    table = frames.build(frames.ACCURACY, [row])
    table.attrs |= {"images_per_s": clock.images_per_s, "slowest_stage": clock.slowest, "seconds": clock.seconds}
    return table


def class_order(labels: tuple[str, ...], images: ImageSet, outputs: int) -> NDArray:
    """For each output of the network the index of that class in the data set, -1 for none: by name, else by position.

    Raises
    ------
    UserError
        If the network cannot have been made for these classes.
    """
    classes = images.classes
    if not images.positional:
        synsets = [""] * (outputs - 1000) + [*imagenet_synsets()]
        if set(classes) <= set(synsets) and len(synsets) == outputs and set(labels) != set(classes):
            return np.array([classes.index(synset) if synset in classes else -1 for synset in synsets])
        return _class_order(labels, classes, outputs)
    if len(set(classes)) == len(classes) and labels and set(labels) == set(classes):
        return np.array([classes.index(label) for label in labels])
    if outputs == 1001 and len(classes) <= 1000:  # output 0 is the background
        return np.arange(outputs) - 1
    highest = int(images.labels.max())
    if highest >= outputs:
        raise UserError(
            f"The model has {outputs} outputs, the images have labels up to {highest} (counted from 0). "
            "Give images of the classes that the model was trained on."
        )
    words = [{word.strip().lower() for name in names for word in name.split(",")} for names in (labels, classes)]
    readable = [name for name in classes if name and not name.lstrip("n").isdecimal()]
    if labels and len(readable) == len(classes) and not words[0] & words[1]:
        raise UserError(_unlike(labels, classes))
    return np.arange(outputs)


def _class_order(labels: tuple[str, ...], classes: tuple[str, ...], outputs: int) -> NDArray:
    if labels and set(labels) == set(classes):
        return np.array([classes.index(label) for label in labels])
    if outputs != len(classes):
        raise UserError(
            f"The model has {outputs} outputs, the images have {len(classes)} classes ({', '.join(classes[:5])}...). "
            "Give images of the classes that the model was trained on."
        )
    if labels:
        raise UserError(_unlike(labels, classes))
    return np.arange(outputs)


def _unlike(labels: tuple[str, ...], classes: tuple[str, ...]) -> str:
    strange = sorted(set(labels) - set(classes))
    return f"The model's labels are unlike the images' classes: {', '.join(strange[:5])}. Rename the folders."
