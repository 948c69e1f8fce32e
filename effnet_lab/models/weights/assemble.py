"""Arrays by our names, and where they come from, to a model that is ready to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.labels import BACKGROUND, imagenet_synsets
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.models.build import build_model, network
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights.mapping import HEAD, require_finite
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec

HEAD_SEED = 0  # a new head is the same every time


def assemble(
    spec: NetSpec,
    tensors: Mapping[str, NDArray[Any]],
    preprocess: Preprocess,
    *,
    source: str,
    name: str | None = None,
    classes: Sequence[str] = (),
) -> LoadedModel:
    """Build the network at the size that the preprocessing gives, and fill it.

    Parameters
    ----------
    spec : NetSpec
        Its resolution gives way to the preprocessing's.
    tensors : mapping of str to ndarray
        All variables by "layer/variable", in Keras' layout; without the head's, the model ends at the pooled features.
    preprocess : Preprocess
    source : str
        What an error message is about.
    name : str, optional
        The specification's by default.
    classes : sequence of str
        Names of the outputs; `default_names` where the origin names none, or not as many as there are.

    Raises
    ------
    UserError
        If a value is not a finite number.
    """
    require_finite(tensors, source)
    spec = replace(spec, resolution=preprocess.size_px)
    outputs = tensors[HEAD[1]].shape[0] if HEAD[1] in tensors else 0
    keras = network(spec, outputs)
    assign(keras, {variable: np.asarray(values, np.float32) for variable, values in tensors.items()}, source)
    names = tuple(classes) if len(classes) == outputs else default_names(outputs)
    return LoadedModel(name=name or spec.name, spec=spec, keras=keras, preprocess=preprocess, classes=names)


def default_names(outputs: int) -> tuple[str, ...]:
    """ImageNet's synsets for 1,000 outputs, after a background class for 1,001; indices for any other number."""
    if outputs not in (1000, 1001):
        return class_indices(outputs)
    return (BACKGROUND, *imagenet_synsets())[-outputs:]


def class_indices(n: int) -> tuple[str, ...]:
    """What classes are called as long as nobody names them: "0", "1", ..."""
    return tuple(str(i) for i in range(n))


def with_new_head(model: LoadedModel, classes: int | Sequence[str], seed: int = HEAD_SEED) -> LoadedModel:
    """The same backbone under a random classifier for `classes` (how many, or their names).

    Kernel uniform within ``1 / sqrt(classes)`` of 0, as the original initialises it, bias 0.
    """
    names = class_indices(classes) if isinstance(classes, int) else tuple(classes)
    if not names:
        raise UserError(f"classes must be >= 1, or names. Got {classes!r}.")
    keras = build_model(model.family_spec, len(names))
    kept = {name: value.numpy() for name, value in variables(model.keras).items() if name not in HEAD}
    fan_in, bound = keras.get_layer("head_dense").kernel.shape[0], 1.0 / np.sqrt(len(names))
    kernel = np.random.default_rng(seed).uniform(-bound, bound, (fan_in, len(names)))
    fresh = {HEAD[0]: kernel.astype(np.float32), HEAD[1]: np.zeros(len(names), np.float32)}
    assign(keras, kept | fresh, model.name)
    return replace(model, keras=keras, classes=names)
