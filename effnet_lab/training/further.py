"""From weights to better suited weights by one call: what the command `train --from` does, with its card."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from effnet_lab.images import ImageSet, open_images
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights import load_model
from effnet_lab.models.weights.native import to_bytes
from effnet_lab.training.cards import make_card
from effnet_lab.training.compress import cluster, deflated_bytes, prune
from effnet_lab.training.from_weights import fine_tune, resume, train_qat
from effnet_lab.training.loop import Progress
from effnet_lab.training.recipes import hold_out
from effnet_lab.training.state import state_path

EPOCHS, SEED = 4, 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Further:
    """What to do; at most one of `qat`, `prune` and `cluster`, else plain fine-tuning."""

    qat: bool = False
    layers: tuple[str, ...] | None = None  # for `qat`; all by default
    prune: float | None = None
    cluster: int | None = None
    epochs: int | None = None
    seed: int | None = None
    learning_rate: float | None = None


def train_further(
    source: str,
    variant: str | None,
    data: str,
    how: Further,
    out: Path,
    *,
    resume_it: bool = False,
    progress: Progress | None = None,
) -> tuple[LoadedModel, pd.DataFrame, dict]:
    """Load weights, train them on a data set's train split, and describe the result.

    Parameters
    ----------
    source, variant : str
        As for `load_model`.
    data : str
        Image source with train and evaluation splits.
    how : Further
    out : path
        Where the result will go: what an interrupted run leaves stands beside it. Nothing else is written.
    resume_it : bool
        Go on with that; `how` is then what the run began with.
    progress : callable, optional

    Returns
    -------
    LoadedModel
    DataFrame
        HISTORY.
    dict
        The card; of a pruned or clustered network also the size of its weights, in bytes, and after DEFLATE.
    """
    images, evaluation = open_images(data, "train"), open_images(data, "evaluation")
    shown, held_out = hold_out(images)
    start = load_model(source, variant)
    if resume_it:
        model, history = resume(state_path(out), shown, validation=held_out, progress=progress)
    else:
        model, history = _train(start, shown, held_out, how, state_path(out), progress)
    about = {"name": images.name, "fingerprint": images.fingerprint, "n_images": len(shown)}
    recipe = {"from": source} | {key: value for key, value in asdict(how).items() if value not in (None, False)}
    seed = SEED if how.seed is None else how.seed
    card = make_card(model, evaluation, train=about, seed=seed, command=_command(source, data, how, out), recipe=recipe)
    if how.prune is not None or how.cluster is not None:
        content = to_bytes(model)
        card |= {"size_bytes": len(content), "deflated_bytes": deflated_bytes(content)}
        card["deflated_bytes_before"] = deflated_bytes(to_bytes(start))
    return model, history, card


def _train(
    start: LoadedModel, shown: ImageSet, held_out: ImageSet, how: Further, unfinished: Path, progress: Progress | None
) -> tuple[LoadedModel, pd.DataFrame]:
    options = {
        "validation": held_out,
        "epochs": EPOCHS if how.epochs is None else how.epochs,
        "seed": SEED if how.seed is None else how.seed,
        "progress": progress,
    }
    if how.learning_rate is not None:
        options["learning_rate"] = how.learning_rate
    if how.prune is not None:
        return prune(start, shown, sparsity=how.prune, **options)
    if how.cluster is not None:
        return cluster(start, shown, clusters=how.cluster, **options)
    if how.qat:
        return train_qat(start, shown, layers=how.layers, unfinished=unfinished, **options)
    return fine_tune(start, shown, unfinished=unfinished, **options)


def _command(source: str, data: str, how: Further, out: Path) -> str:
    options = {"epochs": how.epochs, "seed": how.seed, "learning-rate": how.learning_rate, "prune": how.prune}
    options |= {"cluster": how.cluster, "qat-layers": ",".join(how.layers) if how.layers else None}
    given = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None)
    start = f"--from {shlex.quote(source)} --data {shlex.quote(data)}"
    return f"effnet-lab train {start}{' --qat' if how.qat else ''}{given} --out {shlex.quote(out.name)}"
