"""An unfinished run as a file: weights, optimizer, random numbers, epochs; a continued run ends bit for bit the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from safetensors.numpy import save

from effnet_lab.images import ImageSet
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import variables
from effnet_lab.models.weights import about, native
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.training.loop import Progressed, Settings

_RUN = "effnet_lab_run"  # metadata key; without it the file is a finished model
_WEIGHTS, _OPTIMIZER, _RANDOM = "model/", "optimizer/", "random/"


def state_path(weights: Path | str) -> Path:
    """Beside the weights that the run will give."""
    return Path(weights).with_suffix(".unfinished.safetensors")


def save_state(path: Path, model: LoadedModel, settings: Settings, images: ImageSet, done: Progressed) -> None:
    """Write everything that `load_state` and `restore` need."""
    arrays = {_WEIGHTS + name: variable.numpy() for name, variable in variables(model.keras).items()}
    arrays |= {f"{_OPTIMIZER}{i:04d}": value for i, value in enumerate(done.optimizer)}
    arrays |= {_RANDOM + name: variable.numpy() for name, variable in _generators(model).items()}
    run = {"settings": asdict(settings), "rows": done.rows, "fingerprint": images.fingerprint, "n_images": len(images)}
    tensors = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    write_atomically(path, save(tensors, {native.KEY: about.to_json(model), _RUN: json.dumps(run)}))


def load_state(path: Path, images: ImageSet) -> tuple[LoadedModel, Settings, Progressed]:
    """The model as it was after the last finished epoch, and how to go on.

    Raises
    ------
    UserError
        If there is no such file, it is damaged, or the run had other images.
    """
    if not path.is_file():
        raise UserError(f"There is no unfinished run at {path}. Leave out --resume to start one.")
    metadata, tensors = native.read_all(path)
    if _RUN not in metadata:
        raise UserError(f"{path} does not contain an unfinished run. Leave out --resume to start one.")
    run = json.loads(metadata[_RUN])
    if (run["fingerprint"], run["n_images"]) != (images.fingerprint, len(images)):
        raise UserError(f"The run in {path} was trained on other images than {images.name}. Give the same --data.")
    model = native.from_tensors(metadata[native.KEY], _part(tensors, _WEIGHTS), str(path))
    for name, variable in _generators(model).items():
        variable.assign(tensors[_RANDOM + name])
    optimizer = tuple(value for _name, value in sorted(_part(tensors, _OPTIMIZER).items()))
    return model, Settings(**run["settings"]), Progressed(optimizer=optimizer, rows=tuple(run["rows"]))


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _generators(model: LoadedModel) -> dict[str, tf.Variable]:
    """State of each dropout's random numbers; Keras keeps it out of its own checkpoints, and has no public way to it."""
    layers = {layer.name: getattr(layer, "layer", layer) for layer in model.keras.layers}
    random = {name: getattr(layer, "_random_generator", None) for name, layer in layers.items()}
    return {name: source._generator.state for name, source in random.items() if source and source._generator}
