"""Features of pictures: what a network computes before it decides."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effnet_lab.evaluate.classify import picture_reader
from effnet_lab.evaluate.image_stream import BATCH, StageClock, stream_batches
from effnet_lab.models import LoadedModel
from effnet_lab.models.features import features_model
from effnet_lab.paths import write_atomically


def extract_features(
    model: LoadedModel,
    files: list[Path],
    endpoint: str | None = None,
    *,
    progress: Callable[..., Iterable] | None = None,
) -> NDArray:
    """Features of every picture, float32 (n, channels) for the pooled ones, (n, h, w, channels) for a map.

    Parameters
    ----------
    model : LoadedModel
    files : list of Path
        See `classify.find_pictures`.
    endpoint : str, optional
        As the original code names it (``reduction_3``, ``block_5``), or a layer; the pooled features by default.
    progress : callable, optional
        Wraps the batches, as `tqdm` does.
    """
    network = features_model(model, endpoint)
    batches = stream_batches(picture_reader(files), len(files), model.preprocess, StageClock())
    steps = progress(batches, total=-(-len(files) // BATCH)) if progress else batches
    return np.concatenate([network(batch, training=False).numpy() for batch in steps])


def save_features(features: NDArray, files: list[Path], path: Path | str) -> None:
    """Write an .npz archive with `files` and `features`, one row per picture."""
    content = io.BytesIO()
    np.savez_compressed(content, files=np.array([str(file) for file in files]), features=features)
    write_atomically(Path(path), content.getvalue())
