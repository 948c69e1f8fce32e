"""How each small variant is trained; one call reproduces its weights and its card."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab.images import ImageSet, open_images
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.scaling import STYLES, get_spec
from effnet_lab.training.cards import make_card
from effnet_lab.training.from_scratch import train_from_scratch
from effnet_lab.training.loop import Progress

MEASURED_ON = 5  # every 5th image of an ImageSet, which has no split of its own for that
HOLD_OUT = 20  # every 20th training image only gives the validation curve


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRecipe:
    """What `train_from_scratch` is told about one variant."""

    epochs: int = 6
    batch: int = 32
    learning_rate: float = 1e-2  # peak
    weight_decay: float = 1e-2
    label_smoothing: float = 0.0
    seed: int = 0
    n_train: int = 24_000  # scenes, held-out ones included


RECIPES = {
    "micro0": TrainingRecipe(epochs=10, learning_rate=1.5e-2),
    "micro1": TrainingRecipe(epochs=11),
    "micro2": TrainingRecipe(epochs=8),
    "micro3": TrainingRecipe(epochs=10),
}
RECIPES |= dict.fromkeys(STYLES, RECIPES["micro1"])  # the styles differ in nothing else


def train_variant(
    name: str,
    data: str | Path | ImageSet = "scenes",
    seed: int | None = None,
    progress: Progress | None = None,
    epochs: int | None = None,
) -> tuple[LoadedModel, pd.DataFrame, dict[str, Any]]:
    """Train a named variant by its recipe; the committed weights are what this gives with the defaults.

    Parameters
    ----------
    name : str
        Variant; those without a recipe take the general one.
    data : name, path or ImageSet
        See `splits_of`. Plain "scenes" takes the recipe's `n_train`.
    seed, epochs : int, optional
        Instead of the recipe's.
    progress : callable, optional
        Called after each epoch, see `train`.

    Returns
    -------
    LoadedModel
    DataFrame
        HISTORY.
    dict
        The card; `cards.save_with_card` writes it beside the weights.
    """
    spec = get_spec(name)
    changed = {key: value for key, value in (("seed", seed), ("epochs", epochs)) if value is not None}
    recipe = replace(RECIPES.get(name, TrainingRecipe()), **changed)
    images, evaluation = splits_of(data, f"scenes?n={recipe.n_train}" if data == "scenes" else None)
    shown, held_out = hold_out(images)
    how = {key: value for key, value in asdict(recipe).items() if key != "n_train"}
    model, history = train_from_scratch(spec, shown, validation=held_out, progress=progress, **how)
    about = {"name": images.name, "fingerprint": images.fingerprint, "n_images": len(shown)}
    card = make_card(
        model,
        evaluation,
        train=about,
        seed=recipe.seed,
        command=_command(name, name_of(data), changed),
        recipe=asdict(recipe),
    )
    return model, history, card


def splits_of(data: str | Path | ImageSet, train: str | None = None) -> tuple[ImageSet, ImageSet]:
    """Images to train on, and images to measure on.

    Of a source, its splits "train" and "evaluation", the first perhaps by another name; of an ImageSet, every fifth image is
    measured on, and the others are trained on.
    """
    if isinstance(data, ImageSet):
        indices = np.arange(len(data))
        return data.pick(indices[indices % MEASURED_ON != 0]), data.pick(indices[::MEASURED_ON])
    return open_images(train or data, "train"), open_images(data, "evaluation")


def name_of(data: str | Path | ImageSet) -> str:
    """What the images are called in a command."""
    return data.name if isinstance(data, ImageSet) else str(data)


def hold_out(images: ImageSet, every: int = HOLD_OUT) -> tuple[ImageSet, ImageSet]:
    """Images to train on, and every 20th for the validation curve."""
    if len(images) < every:
        raise UserError(
            f"Training needs at least {every} images. {images.name} has {len(images)} in its {images.split} split."
        )
    indices = np.arange(len(images))
    return images.pick(indices[indices % every != 0]), images.pick(indices[::every])


def _command(name: str, data: str, changed: dict[str, Any]) -> str:
    options = "".join(f" --{key} {value}" for key, value in changed.items())
    return f"effnet-lab train --variant {name} --data {shlex.quote(data)}{options} --out data/models/{name}.safetensors"
