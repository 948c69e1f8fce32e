"""One point of a study of scaling: a network and a seed, trained, quantized and measured, in a process of its own."""

from __future__ import annotations

import base64
import functools
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.board import footprint
from effnet_lab.evaluate.predictions import collect_predictions
from effnet_lab.images import ImageSet, open_images
from effnet_lab.intervals import share_row
from effnet_lab.ledger import Ledger
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec, totals

INT8 = "int8.tflite"  # in the folder of a point
N_CALIBRATION = 200


@dataclass(frozen=True, kw_only=True)
class StudyRecipe:
    """One recipe for every network of a study: what differs is the network, and nothing else."""

    n_train: int = 12_000  # of `scenes`, held-out ones included; other sources have what they have
    epochs: int = 8
    batch: int = 32
    learning_rate: float = 2e-2  # peak; at half of it networks of 25 blocks have hardly begun to learn after 8 epochs
    weight_decay: float = 1e-2
    label_smoothing: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What a worker is sent."""

    spec: NetSpec
    seed: int
    data: str
    recipe: StudyRecipe
    folder: Path  # of the ledger
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyImages:
    """The images of a study; none of one part is in another."""

    shown: ImageSet
    held_out: ImageSet
    calibration: ImageSet
    evaluation: ImageSet


@functools.lru_cache(maxsize=1)
def study_images(data: str, n_train: int) -> StudyImages:
    """Open a source by name; of `scenes` as many as the recipe trains on."""
    from effnet_lab.training.recipes import hold_out

    shown, held_out = hold_out(open_images(f"scenes?n={n_train}" if data == "scenes" else data, "train"))
    calibration = open_images(data, "calibration", limit=N_CALIBRATION)
    return StudyImages(
        shown=shown, held_out=held_out, calibration=calibration, evaluation=open_images(data, "evaluation")
    )


def measure_point(point: Point) -> None:
    """Train, write the int8 file, evaluate both; what is found appears in the ledger in one step."""
    ledger = Ledger(point.folder)
    draft = ledger.begin(point.key)
    try:
        ledger.finish(point.key, draft, _row(point, draft / INT8))
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _row(point: Point, int8: Path) -> dict[str, Any]:
    """Cells that do not depend on the role of the network."""
    from effnet_lab.quantize import targets, write_files
    from effnet_lab.training.from_scratch import train_from_scratch

    images = study_images(point.data, point.recipe.n_train)
    how = {name: value for name, value in asdict(point.recipe).items() if name != "n_train"}
    model, history = train_from_scratch(point.spec, images.shown, validation=images.held_out, seed=point.seed, **how)
    (path,) = write_files(model, targets(["int8"], ["ai_edge_quantizer"]), int8, calibration=images.calibration)
    cost = totals(point.spec, len(images.shown.classes))
    row = {
        "data": point.data, "seed": point.seed, "n_train": len(images.shown), "epochs": point.recipe.epochs,
        "learning_rate": point.recipe.learning_rate, "params": cost.params, "madds": cost.madds,
        "train_top1": float(history["train_top1"].iloc[-1]), "size_bytes": path.stat().st_size,
        "arena_bytes": int(footprint(path).table["arena_bytes"].iloc[0]), "n_images": len(images.evaluation),
    }  # fmt: skip
    for name, network in (("float", model), ("int8", path)):
        hits = collect_predictions(network, images.evaluation).hits
        row |= share_row(int(hits.sum()), hits.size, f"{name}_top1") | {f"{name}_hits": hits_text(hits)}
    return row


def hits_text(hits: NDArray[np.bool_]) -> str:
    """Which images were recognised, as text that stays in a table: what a paired test needs.

    Examples
    --------
    >>> hits_text(np.array([True, False, True]))
    '3:oA=='
    """
    return f"{hits.size}:{base64.b64encode(np.packbits(hits).tobytes()).decode()}"


def hits_of(text: str) -> NDArray[np.bool_]:
    """The inverse of `hits_text`, bool (n,)."""
    size, _, packed = text.partition(":")
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(packed, validate=True), np.uint8))
        return bits[: int(size)].astype(bool) if int(size) <= bits.size else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> NDArray[np.bool_]:
    raise UserError(f"A column of recognised images should read like '2000:base64'. Got {text[:40]!r}.")
