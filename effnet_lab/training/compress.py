"""Pruning and weight clustering: smaller after compression, no faster in LiteRT.

Both work on convolutions and the classifier and leave depthwise kernels alone: they are few weights and suffer most.
"""

from __future__ import annotations

import warnings
import zlib
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.images import ImageSet
from effnet_lab.layer_fit import few_values, sparse
from effnet_lab.models.build import network
from effnet_lab.models.fake_quant import strip_fake_quant
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.tfmot import tfmot
from effnet_lab.models.variables import assign, variables
from effnet_lab.names import UserError
from effnet_lab.quiet import quiet
from effnet_lab.training.from_weights import settings_for, with_head
from effnet_lab.training.layer_by_layer import HeldZeros, layer_by_layer
from effnet_lab.training.loop import Listeners, prepare, run_epochs
from effnet_lab.training.norms import TRAINED, with_norms
from effnet_lab.training.settings import Progress, Settings
from effnet_lab.training.steps import TellStep


def prune(
    model: LoadedModel,
    images: ImageSet,
    *,
    validation: ImageSet,
    epochs: int,
    sparsity: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
    steps: TellStep | None = None,
    batch_norm: str = TRAINED,
    new_head: bool = False,
    **settings: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Fine-tune with zeros in every kernel, chosen before the first step such that the layers compute what they did.

    See `layer_by_layer`. Zeros stay zeros.

    Parameters
    ----------
    model : LoadedModel
        Not changed.
    sparsity : float
        Share of zeros at the end in the kernels of convolutions and classifier, 0 to 1.
    images, validation, epochs, seed, progress, steps, batch_norm, new_head, **settings
        As in `fine_tune`.

    Returns
    -------
    LoadedModel
        An ordinary float network, named after its sparsity.
    DataFrame
        HISTORY.
    """
    if not 0 < sparsity < 1:
        raise UserError(f"The share of zeros must lie between 0 and 1. Got {sparsity}.")
    chosen = settings_for(model, images, new_head, epochs=epochs, seed=seed, **settings)
    start, chosen = _start(model, images, chosen, batch_norm, new_head)
    pruned = layer_by_layer(start, images, partial(sparse, share=sparsity), seed)
    watch = Listeners(progress=progress, steps=steps, callbacks=[HeldZeros(pruned.keras)])
    rows = run_epochs(pruned.keras, start.name, images, validation, start.preprocess, chosen, watch=watch)
    return replace(pruned, name=f"{start.name}_pruned{100 * sparsity:.0f}"), frames.build(frames.HISTORY, rows)


def cluster(
    model: LoadedModel,
    images: ImageSet,
    *,
    validation: ImageSet,
    epochs: int,
    clusters: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
    steps: TellStep | None = None,
    batch_norm: str = TRAINED,
    new_head: bool = False,
    **settings: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Fine-tune while every kernel may hold only so many different values.

    With which values it starts is chosen such that the layers compute what they did, see `layer_by_layer`.

    Parameters
    ----------
    model : LoadedModel
        Not changed.
    clusters : int
        Values per kernel of convolutions and classifier, 2 or more.
    images, validation, epochs, seed, progress, steps, batch_norm, new_head, **settings
        As in `fine_tune`.

    Returns
    -------
    LoadedModel
        An ordinary float network, named after its clusters.
    DataFrame
        HISTORY.
    """
    if clusters < 2:
        raise UserError(f"Weights need at least 2 clusters. Got {clusters}.")
    toolkit = tfmot().clustering.keras
    chosen = settings_for(model, images, new_head, epochs=epochs, seed=seed, **settings)
    start, chosen = _start(model, images, chosen, batch_norm, new_head)
    start = layer_by_layer(start, images, partial(few_values, n_values=clusters), seed)
    with quiet(), warnings.catch_warnings():
        # a kernel of fewer weights has no more different values than that anyway
        warnings.filterwarnings("ignore", message="Layer .* does not have enough weights")
        wrapped = toolkit.cluster_weights(
            start.keras, clusters, cluster_centroids_init=toolkit.CentroidInitialization.KMEANS_PLUS_PLUS
        )
    watch = Listeners(progress=progress, steps=steps)
    rows = run_epochs(wrapped, start.name, images, validation, start.preprocess, chosen, watch=watch)
    keras = network(start.family_spec, len(start.classes))  # of our own making, without the toolkit's wrappers
    stripped = toolkit.strip_clustering(wrapped)
    assign(keras, {name: value.numpy() for name, value in variables(stripped).items()}, start.name)
    return replace(start, name=f"{start.name}_clustered{clusters}", keras=keras), frames.build(frames.HISTORY, rows)


def deflated_bytes(content: bytes) -> int:
    """Size after DEFLATE at its highest level: what a zipped app or a compressed update pays."""
    return len(zlib.compress(content, 9))


def kernels(model: LoadedModel) -> dict[str, np.ndarray]:
    """The kernels that pruning and clustering work on, by layer: convolutions and classifier, not depthwise."""
    found = variables(model.keras).items()
    return {name.removesuffix("/kernel"): value.numpy() for name, value in found if name.endswith("/kernel")}


def _start(
    model: LoadedModel, images: ImageSet, settings: Settings, batch_norm: str, new_head: bool
) -> tuple[LoadedModel, Settings]:
    prepare(settings)
    return with_norms(with_head(strip_fake_quant(model), images, anew=new_head), images, settings, batch_norm)
