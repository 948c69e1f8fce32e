"""An unfinished run as a file: weights, optimizer, random numbers, epochs; a continued run ends bit for bit the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from effnet_lab.images import ImageSet
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import variables
from effnet_lab.models.weights import about, native
from effnet_lab.names import UserError
from effnet_lab.training.loop import Progressed
from effnet_lab.training.random_numbers import generators, own_random_numbers, restore_random_numbers
from effnet_lab.training.settings import Settings

_RUN = "effnet_lab_run"  # metadata key; without it the file is a finished model
_WEIGHTS, _OPTIMIZER, _AVERAGE, _RANDOM = "model/", "optimizer/", "average/", "random/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Unfinished:
    """A run as it was after an epoch."""

    model: LoadedModel
    stages: tuple[Settings, ...]
    stage: int  # which of them is going on
    rows: tuple[dict[str, Any], ...]  # HISTORY of the stages before it
    done: Progressed | None  # of this stage; None before its first epoch has ended
    teacher: str | None = None  # name of the network that the run learns from


def state_path(weights: Path | str) -> Path:
    """Beside the weights that the run will give."""
    return Path(weights).with_suffix(".unfinished.safetensors")


def best_path(weights: Path | str) -> Path:
    """The weights after the best epoch so far, beside the weights that the run will give."""
    return Path(weights).with_suffix(".best.safetensors")


def state_bytes(run: Unfinished, images: ImageSet) -> bytes:
    """Everything that `load_state` needs. Of several workers each has to ask: to read a statistic they work together."""
    arrays = {_WEIGHTS + name: variable.numpy() for name, variable in variables(run.model.keras).items()}
    arrays |= {_RANDOM + name: variable.numpy() for name, variable in generators(run.model.keras).items()}
    facts = {
        "stages": [asdict(stage) for stage in run.stages], "stage": run.stage, "before": list(run.rows),
        "rows": None, "teacher": run.teacher, "fingerprint": images.fingerprint, "n_images": len(images),
    }  # fmt: skip
    if run.done is not None:
        facts["rows"] = list(run.done.rows)
        arrays |= {f"{_OPTIMIZER}{i:06d}": value for i, value in enumerate(run.done.optimizer)}
        arrays |= {f"{_AVERAGE}{i:06d}": value for i, value in enumerate(run.done.average)}
    tensors = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    return save(tensors, {native.KEY: about.to_json(run.model), _RUN: json.dumps(facts)})


def load_state(path: Path, images: ImageSet) -> Unfinished:
    """The run as it was after the last finished epoch.

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
    with own_random_numbers():
        model = native.from_tensors(metadata[native.KEY], _part(tensors, _WEIGHTS), str(path))
    restore_random_numbers(model.keras, _part(tensors, _RANDOM))
    done = None
    if run["rows"] is not None:
        optimizer, average = (_in_order(tensors, prefix) for prefix in (_OPTIMIZER, _AVERAGE))
        done = Progressed(optimizer=optimizer, rows=tuple(run["rows"]), average=average)
    return Unfinished(
        model=model, stages=tuple(Settings(**stage) for stage in run["stages"]), stage=run["stage"],
        rows=tuple(run["before"]), done=done, teacher=run["teacher"],
    )  # fmt: skip


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _in_order(tensors: dict[str, Any], prefix: str) -> tuple[Any, ...]:
    return tuple(value for _name, value in sorted(_part(tensors, prefix).items()))
