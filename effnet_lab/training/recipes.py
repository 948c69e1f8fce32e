"""How networks are trained: named recipes, and the numbers behind each small variant that comes with the package."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab.images import ImageSet, open_images
from effnet_lab.models import load_model
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.scaling import STYLES, NetSpec, get_spec
from effnet_lab.training.augment import parse_augment
from effnet_lab.training.cards import make_card
from effnet_lab.training.from_scratch import train_from_scratch
from effnet_lab.training.how import How
from effnet_lab.training.settings import Progress
from effnet_lab.training.stages import Surroundings, go_on
from effnet_lab.training.teacher import open_teacher

MEASURED_ON = 5  # every 5th image of an ImageSet, which has no split of its own for that
HOLD_OUT = 20  # every 20th training image only gives the validation curve

# Fields of `Settings`. Source of the original's: tensorflow/tpu, models/official/efficientnet/main.py and utils.py.
NAMED: dict[str, dict[str, Any]] = {
    "small": {},  # what the small variants that come with the package were trained with; no augmentation
    "original": {
        "epochs": 350, "batch": 256, "learning_rate": 0.016, "optimizer": "rmsprop", "schedule": "steps", "warmup_epochs": 5,
        "weight_decay": 1e-5, "decay_norms": False, "label_smoothing": 0.1, "average": 0.9999, "augment": ("crop=0.08", "flip"),
    },
    "modern": {
        "epochs": 60, "batch": 64, "learning_rate": 4e-3, "warmup_epochs": 3, "weight_decay": 0.02, "decay_norms": False,
        "label_smoothing": 0.1, "average": 0.999, "augment": ("crop", "flip", "randaugment", "mixup"),
        "teacher_share": 0.9, "temperature": 2.0,
    },
}  # fmt: skip
PER_BATCH = "original"  # its rate is for its batch, and grows with it
_NUMBERS = (
    "epochs", "seed", "batch", "learning_rate", "weight_decay", "label_smoothing", "average", "views", "temperature",
    "teacher_share", "patience", "rate_decay", "precision",
)  # fmt: skip


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


def settings_of(how: How, spec: NetSpec | None = None) -> dict[str, Any]:
    """Fields of `Settings`: the recipe's, and over them what was given.

    Parameters
    ----------
    how : How
    spec : NetSpec, optional
        Trained from random weights, by its own recipe where none is named. Without it, what the recipe says of a network
        that starts from weights: not the rate, nor how long.
    """
    values: dict[str, Any] = {"seed": 0, **NAMED[how.recipe or "small"]}
    if spec is not None and how.recipe in (None, "small"):
        values = asdict(RECIPES.get(spec.name, TrainingRecipe()))
        del values["n_train"]
    if how.recipe == PER_BATCH and how.batch is not None:
        values["learning_rate"] *= how.batch / values["batch"]
    if spec is None:
        for name in ("learning_rate", "epochs", "warmup_epochs"):
            values.pop(name, None)
    values |= how.chosen(*_NUMBERS)
    augment = values.get("augment") if how.augment is None else how.augment
    return values | {"augment": parse_augment(augment), "xla": how.xla}


def train_variant(
    name: str | NetSpec,
    data: str | Path | ImageSet = "scenes",
    seed: int | None = None,
    progress: Progress | None = None,
    epochs: int | None = None,
    *,
    how: How | None = None,
    network: dict[str, Any] | None = None,
    out: Path | None = None,
    resume: bool = False,
    **around: Any,
) -> tuple[LoadedModel, pd.DataFrame, dict[str, Any]]:
    """Train a network by a recipe; the committed weights are what this gives with the defaults.

    Parameters
    ----------
    name : str or NetSpec
        Variant; those without a recipe take the general one.
    data : name, path or ImageSet
        See `splits_of`. Plain "scenes" takes the recipe's `n_train`.
    seed, epochs : int, optional
        Instead of the recipe's.
    progress : callable, optional
        Called after each epoch, see `train`.
    how : How, optional
        All that was asked for, instead of `seed` and `epochs`.
    network : dict, optional
        Options of the command that name the network; its variant by default.
    out : path, optional
        See `Surroundings`, as for `around`.
    resume : bool
        Go on with the interrupted run of `out`.

    Returns
    -------
    LoadedModel
    DataFrame
        HISTORY.
    dict
        The card; `cards.save_with_card` writes it beside the weights.
    """
    spec = get_spec(name) if isinstance(name, str) else name
    how = how or How(seed=seed, epochs=epochs)
    values = settings_of(how, spec)
    n_train = RECIPES.get(spec.name, TrainingRecipe()).n_train
    images, evaluation = splits_of(data, f"scenes?n={n_train}" if data == "scenes" else None)
    shown, held_out = hold_out(images)
    given = around | {"validation": held_out, "progress": progress, "out": out}
    given |= {"teacher": None if how.teacher is None else open_teacher(how.teacher, shown.classes)}
    if resume:
        model, history = go_on(shown, Surroundings(**given))
    else:
        parent = None if how.inherit is None else load_model(how.inherit)
        model, history = train_from_scratch(
            spec, shown, qat_epochs=how.qat_epochs or 0, parent=parent, **given, **values
        )
    card = make_card(
        model,
        evaluation,
        train={"name": images.name, "fingerprint": images.fingerprint, "n_images": len(shown)},
        seed=values["seed"],
        command=how.command(
            network or {"variant": spec.name}, name_of(data), out or Path(f"data/models/{spec.name}.safetensors")
        ),
        recipe=_written(values | how.chosen_networks()),
    )
    return model, history, card


def _written(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe as JSON has it, without what is not asked for."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != () and not (name == "xla" and not value)
    }


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
