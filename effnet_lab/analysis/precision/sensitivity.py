"""What each layer costs at the logits in each precision."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.layer_error import errors_of
from effnet_lab.analysis.precision.candidates import FLOAT, PRECISIONS, Candidates
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet, Samples

Array = NDArray[np.float64]


def sensitivities(
    float_content: bytes,
    written: Mapping[str, bytes],
    candidates: Candidates,
    images: Samples,
    *,
    model: str,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """SENSITIVITY frame: one row per layer and precision that it can have.

    ``noise_share`` is the energy of the error at the logits when this op alone has the precision and all others are float,
    over the energy of the logits: errors that are independent add up, so the sum over layers predicts that of a network.
    ``cpu_s`` is what all rows took.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    written : mapping of precision to bytes
        The network in one precision throughout.
    candidates : Candidates
    images : Samples
        For calibration; never evaluation images.
    model : str
    """
    images.require_calibration()
    assert isinstance(images, ImageSet | ArraySet)
    started = time.process_time()
    exact = {name: _effects(content, float_content, images, progress) for name, content in written.items()}
    exact_s = time.process_time() - started
    rows = []
    for place, name in enumerate(candidates.names):
        for column, precision in enumerate(PRECISIONS):
            if not candidates.allowed[place, column]:
                continue
            known = precision != FLOAT
            share = _share(exact[precision], name) if known else 0.0
            rows.append(
                {"model": model, "layer_index": place, "layer": name, "precision_name": precision}
                | {"op": candidates.ops[place][1].kind, "n_images": len(images), "noise_share": share}
                | {"cpu_s": exact_s}
            )
    return frames.build(frames.SENSITIVITY, rows)


def loss_matrix(table: pd.DataFrame, candidates: Candidates) -> Array:
    """(layers + 2, precisions): the noise, ``inf`` where a layer cannot have a precision."""
    losses = np.where(candidates.allowed, 0.0, np.inf)
    rows = table["layer_index"].to_numpy(int)
    columns = [PRECISIONS.index(name) for name in table["precision_name"].astype(str)]
    losses[rows, columns] = table["noise_share"].to_numpy(float)
    return losses


def _effects(
    content: bytes,
    float_content: bytes,
    images: ImageSet | ArraySet,
    progress: Callable[..., Iterable[Any]] | None,
) -> pd.DataFrame:
    twins = Twins(content, float_content)
    found = twins.carry_out(partial(errors_of, twins, images, ["effect"], progress=progress))
    if found.interrupted:
        raise KeyboardInterrupt
    return found.table.set_index("layer")


def _share(errors: pd.DataFrame, layer: str) -> float:
    """Noise over signal; 0 of a layer whose effect cannot be followed, because nothing of it is rounded."""
    decibels = float(errors["sqnr_effect_db"].get(layer, np.inf))
    return 0.0 if np.isnan(decibels) else float(10 ** (-decibels / 10))
