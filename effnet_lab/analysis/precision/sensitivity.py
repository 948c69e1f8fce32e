"""What each layer costs at the logits in each precision, exactly and by an estimate that is much cheaper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.layer_error import errors_of
from effnet_lab.analysis.precision.candidates import FLOAT, INT8, PRECISIONS, Candidates
from effnet_lab.analysis.twins import Twins
from effnet_lab.images import ArraySet, ImageSet, Samples
from effnet_lab.names import UserError

Array = NDArray[np.float64]
ESTIMATED_FROM = 2  # images for the local errors of the estimate, and one for what they are worth at the logits


def sensitivities(
    float_content: bytes,
    written: Mapping[str, bytes],
    candidates: Candidates,
    images: Samples,
    *,
    model: str,
    estimated: bool = True,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """SENSITIVITY frame: one row per layer and precision that it can have.

    ``noise_share`` is the energy of the error at the logits when this op alone has the precision and all others are float,
    over the energy of the logits: errors that are independent add up, so the sum over layers predicts that of a network.
    ``noise_estimate`` is the error of the op's own output times what such an error was worth at the logits in int8, on one
    image; ``cpu_s`` is what all rows of either took.

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
    estimated : bool
        The estimate, too.
    """
    images.require_calibration()
    assert isinstance(images, ImageSet | ArraySet)
    started = time.process_time()
    exact = {name: _errors(content, float_content, images, ["effect"], progress) for name, content in written.items()}
    exact_s = time.process_time() - started
    guess, guess_s = _estimates(float_content, written, images) if estimated and INT8 in written else ({}, float("nan"))
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
                | {"noise_estimate": guess.get((precision, name), float("nan")) if known else 0.0}
                | {"cpu_s": exact_s, "estimate_cpu_s": guess_s}
            )
    return frames.build(frames.SENSITIVITY, rows)


def rank_agreement(table: pd.DataFrame) -> float:
    """Spearman's rank correlation of the estimate with the exact noise, over all layers and precisions but float."""
    from scipy.stats import spearmanr

    rows = table[(table["precision_name"] != FLOAT) & table["noise_estimate"].notna()]
    return float(spearmanr(rows["noise_share"], rows["noise_estimate"]).statistic)


def loss_matrix(table: pd.DataFrame, candidates: Candidates) -> Array:
    """(layers + 2, precisions): the noise, ``inf`` where a layer cannot have a precision."""
    losses = np.where(candidates.allowed, 0.0, np.inf)
    rows = table["layer_index"].to_numpy(int)
    columns = [PRECISIONS.index(name) for name in table["precision_name"].astype(str)]
    losses[rows, columns] = table["noise_share"].to_numpy(float)
    return losses


def _errors(
    content: bytes,
    float_content: bytes,
    images: ImageSet | ArraySet,
    notions: Sequence[str],
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    twins = Twins(content, float_content)
    found = twins.carry_out(partial(errors_of, twins, images, notions, progress=progress))
    if found.interrupted:
        raise KeyboardInterrupt
    return found.table.set_index("layer")


def _share(errors: pd.DataFrame, layer: str) -> float:
    """Noise over signal; 0 of a layer whose effect cannot be followed, because nothing of it is rounded."""
    decibels = float(errors["sqnr_effect_db"].get(layer, np.inf))
    return 0.0 if np.isnan(decibels) else float(10 ** (-decibels / 10))


def _estimates(
    float_content: bytes, written: Mapping[str, bytes], images: ImageSet | ArraySet
) -> tuple[dict[tuple[str, str], float], float]:
    """By precision and layer, and the CPU time."""
    started = time.process_time()
    few, one = images.take(min(ESTIMATED_FROM, len(images))), images.take(1)
    base = _errors(written[INT8], float_content, one, ["local", "effect"])
    if base.empty:
        raise UserError("No layer of the int8 file could be matched with the float network.")
    found = {}
    for precision, content in written.items():
        own = _errors(content, float_content, few, ["local"])["local_mse"]
        for layer, mse in own.items():
            was = float(base["local_mse"].get(layer, np.nan))
            worth = _share(base, str(layer)) / was if was > 0 else 0.0
            found[precision, str(layer)] = float(mse) * worth if np.isfinite(mse) else 0.0
    return found, time.process_time() - started
