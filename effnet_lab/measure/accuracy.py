"""Top-1 and top-5 of one file on one set of images, with the interval that their number allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.images import ImageSet
from effnet_lab.intervals import wilson
from effnet_lab.litert import Runner, read_info
from effnet_lab.names import UserError


def measure_accuracy(
    model: Path | str, images: ImageSet, *, threads: int = 1, progress: Callable[..., Iterable] | None = None
) -> pd.DataFrame:
    """ACCURACY frame with one row.

    Parameters
    ----------
    model : path
        A .tflite file; its metadata say the preprocessing and the labels.
    images : ImageSet
        Streamed in batches; memory does not grow with their number.
    threads : int
        Of the interpreter.
    progress : callable, optional
        Wraps the batches, as `tqdm` does.
    """
    info, runner = read_info(model), Runner(model, threads=threads)
    class_of = _class_order(info.classes, images.classes, runner.output.shape[-1])
    top = min(5, runner.output.shape[-1])
    hits1 = hits5 = 0
    batches = images.batches(info.preprocess)
    for batch, labels in progress(batches, total=-(-len(images) // 32)) if progress else batches:
        scores = runner.predict(batch)
        ranked = class_of[np.argsort(-scores, axis=1, kind="stable")[:, :top]]
        hits1 += int((ranked[:, 0] == labels).sum())
        hits5 += int((ranked == labels[:, None]).any(axis=1).sum())
    low, high = wilson(hits1, len(images))
    row = {
        "model": info.model, "scheme": info.scheme, "backend": info.backend, "data": images.name, "n_images": len(images),
        "top1": hits1 / len(images), "top1_lo": low, "top1_hi": high, "top5": hits5 / len(images),
    }  # fmt: skip
    return frames.build(frames.ACCURACY, [row])


def _class_order(labels: tuple[str, ...], classes: tuple[str, ...], outputs: int) -> np.ndarray:
    """For each output of the network the index of that class in the data set: by name, else by position."""
    if labels and set(labels) == set(classes):
        return np.array([classes.index(label) for label in labels])
    if outputs != len(classes):
        raise UserError(
            f"The model has {outputs} outputs, the images have {len(classes)} classes ({', '.join(classes[:5])}...). "
            "Give images of the classes that the model was trained on."
        )
    if labels:
        strange = sorted(set(labels) - set(classes))
        raise UserError(
            f"The model's labels are unlike the images' classes: {', '.join(strange[:5])}. Rename the folders."
        )
    return np.arange(outputs)
