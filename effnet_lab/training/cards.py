"""What a file of weights says about itself: data, seed, command, accuracy with its interval, hashes, versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.images import ImageSet
from effnet_lab.intervals import share_row
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.scaling import totals
from effnet_lab.training.compress import deflated_bytes
from effnet_lab.training.from_scratch import predict
from effnet_lab.training.state import state_path
from effnet_lab.versions import version_of

LICENCE = "Apache-2.0"
_PACKAGES = ("effnet-lab", "tensorflow", "tf_keras", "numpy", "pillow", "scikit-learn")


def make_card(
    model: LoadedModel, evaluation: ImageSet, *, train: dict[str, Any], seed: int, command: str, recipe: dict[str, Any]
) -> dict[str, Any]:
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
    cost = totals(model.family_spec, len(model.classes))
    return {
        "name": model.name,
        "variant": model.family_spec.name,
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


def compressed_sizes(model: LoadedModel, before: LoadedModel) -> dict[str, int]:
    """Bytes of the weights, and after DEFLATE, of a pruned or clustered network and of what it was made from."""
    content = to_bytes(model)
    return {
        "size_bytes": len(content),
        "deflated_bytes": deflated_bytes(content),
        "deflated_bytes_before": deflated_bytes(to_bytes(before)),
    }


def save_run(model: LoadedModel, card: dict[str, Any], history: pd.DataFrame, path: Path) -> None:
    """Write weights, card and history, and take away what an interrupted run would need.

    Where the place cannot be written to any more, all goes into the folder for temporary files: no trained epoch is lost.
    """
    try:
        _save(model, card, history, path)
    except OSError as error:
        rescue = Path(tempfile.mkdtemp(prefix="effnet-lab-")) / path.name
        _save(model, card, history, rescue)
        raise UserError(f"Cannot write {path}: {error.strerror}. The trained weights lie at {rescue}.") from None
    with contextlib.suppress(OSError):
        state_path(path).unlink(missing_ok=True)


def _save(model: LoadedModel, card: dict[str, Any], history: pd.DataFrame, path: Path) -> None:
    save_with_card(model, card, path)
    write_atomically(path.with_suffix(".history.csv"), history.to_csv(index=False).encode())


def save_with_card(model: LoadedModel, card: dict[str, Any], path: str | Path) -> None:
    """Write the weights and, beside them, the card."""
    write_atomically(Path(path), to_bytes(model))
    write_atomically(card_path(path), (json.dumps(card, indent=2) + "\n").encode())


def read_card(weights: str | Path) -> dict[str, Any]:
    """Card of a file of weights."""
    card: dict[str, Any] = json.loads(card_path(weights).read_text(encoding="utf-8"))
    return card
