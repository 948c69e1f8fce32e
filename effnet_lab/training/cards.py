"""What a file of weights says about itself: data, seed, command, accuracy with its interval, hashes, versions."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

from effnet_lab.images import ImageSet
from effnet_lab.intervals import share_row
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.paths import write_atomically
from effnet_lab.scaling import totals
from effnet_lab.training.from_scratch import predict
from effnet_lab.versions import version_of

LICENCE = "Apache-2.0"
_PACKAGES = ("effnet-lab", "tensorflow", "tf_keras", "numpy", "pillow", "scikit-learn")


def make_card(model: LoadedModel, evaluation: ImageSet, *, train: dict, seed: int, command: str, recipe: dict) -> dict:
    """Evaluate the Keras model and describe it.

    Parameters
    ----------
    model : LoadedModel
    evaluation : ImageSet
        Images that the training has not seen.
    train : dict
        What is said about the training images.
    seed : int
    command : str
        Reproduces the weights.
    recipe : dict
        Plain values.
    """
    right = int((predict(model, evaluation).argmax(axis=1) == evaluation.labels).sum())
    cost = totals(model.spec, len(model.classes))
    return {
        "name": model.name,
        "variant": model.spec.name,
        "data": train["name"],
        "fingerprint": train["fingerprint"],
        "n_train": train["n_images"],
        "seed": seed,
        "command": command,
        "recipe": recipe,
        "size_px": model.preprocess.size_px,
        "params": cost.params,
        "madds": cost.madds,
        "evaluation": {"name": evaluation.name, "split": evaluation.split, "fingerprint": evaluation.fingerprint},
        "n_images": len(evaluation),
        **share_row(right, len(evaluation)),
        "weights_sha256": hashlib.sha256(to_bytes(model)).hexdigest(),
        "licence": LICENCE,
        "versions": {"python": platform.python_version()} | {name: version_of(name) for name in _PACKAGES},
    }


def card_path(weights: str | Path) -> Path:
    """Beside the weights, with .json."""
    return Path(weights).with_suffix(".json")


def save_with_card(model: LoadedModel, card: dict, path: str | Path) -> None:
    """Write the weights and, beside them, the card."""
    write_atomically(Path(path), to_bytes(model))
    write_atomically(card_path(path), (json.dumps(card, indent=2) + "\n").encode())


def read_card(weights: str | Path) -> dict:
    """Card of a file of weights."""
    return json.loads(card_path(weights).read_text(encoding="utf-8"))
