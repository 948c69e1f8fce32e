"""Features of pictures: what a network computes before it decides."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab.evaluate.classify import open_pictures
from effnet_lab.evaluate.file_features import file_features
from effnet_lab.evaluate.image_stream import StageClock, stream_batches
from effnet_lab.images import ImageSet, Stated
from effnet_lab.images.stated import stated_side
from effnet_lab.litert import ModelInfo, settle
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError
from effnet_lab.paths import write_or_keep
from effnet_lab.progress import Progress, counted
from effnet_lab.quantize.any_network import tflite_file
from effnet_lab.quantize.float_file import is_foreign

POOLED = "pooled_features"


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of pictures, and which picture each row belongs to."""

    table: pd.DataFrame  # columns file and endpoint, one row per picture
    values: NDArray[np.float32]  # (n, channels) for the pooled ones, (n, h, w, channels) for a map

    def save(self, path: Path | str) -> None:
        """Write an .npz archive with `files` and `features`, one row per picture; see `write_or_keep`."""
        content = io.BytesIO()
        np.savez_compressed(content, files=self.table["file"].to_numpy(str), features=self.values)
        write_or_keep(Path(path), content.getvalue())


def features(
    images: Sequence[Path | str] | Path | str | ImageSet,
    weights: Any,
    endpoint: str = POOLED,
    *,
    out: Path | str | None = None,
    variant: str | None = None,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Features:
    """Features of every picture.

    Parameters
    ----------
    images : paths, or ImageSet
        See `classify`.
    weights : name, path, LoadedModel or Keras model
    endpoint : str
        As the original code names it (``reduction_3``, ``block_5``), or a layer; the pooled features by default: of a file
        of another architecture what its last layer with weights is given.
    out : path, optional
        An .npz file to write.
    variant : str, optional
        For weights that do not say it themselves.
    preprocess : StatedInput or Preprocess, optional
        What the network takes, where it is not known.
    progress : callable, optional
        Counts the pictures, as `tqdm` does.
    """
    if out is not None and Path(out).suffix != ".npz":
        raise UserError(f"--out must end in .npz. Got {str(out)!r}.")
    read, files = open_pictures(images)
    values = _values(weights, endpoint, read, len(files), variant, preprocess, progress)
    found = Features(table=pd.DataFrame({"file": files, "endpoint": endpoint}), values=values)
    if out is not None:
        found.save(out)
    return found


def _values(
    weights: Any,
    endpoint: str,
    read: Callable[[int], NDArray[Any]],
    n: int,
    variant: str | None,
    preprocess: Stated,
    progress: Progress | None,
) -> NDArray[np.float32]:
    require_source(weights)
    if is_foreign(weights):  # no network of this family: its float file is asked
        with tflite_file(weights) as path:
            return file_features(path, endpoint, read, n, pooled=POOLED, preprocess=preprocess, progress=progress)
    from effnet_lab.models import load_model  # TensorFlow takes 5 s to import, and the pictures are looked for first
    from effnet_lab.models.features import features_model
    from effnet_lab.models.resize import at_size
    from effnet_lab.models.weights.tflite_walk import OtherNetworkError

    try:
        model = load_model(weights, variant)
    except OtherNetworkError:
        how: dict[str, Any] = {"pooled": POOLED, "preprocess": preprocess, "progress": progress}
        return file_features(Path(weights), endpoint, read, n, **how)
    model = at_size(model, stated_side(preprocess))
    card = ModelInfo(model=model.name, scheme="float32", backend="keras", preprocess=model.preprocess, classes=())
    shown = settle(card, preprocess).preprocess
    assert shown is not None
    network = features_model(model, endpoint)
    batches = stream_batches(read, n, shown, StageClock())
    steps = counted(progress, batches, n)
    return np.concatenate([np.asarray(network(batch, training=False)) for batch in steps])
