"""Training by one call: from random weights by a variant's recipe, or further from any weights; with its card."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from effnet_lab.models.catalog import embedded_models, require_source
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import require_room
from effnet_lab.scaling import STYLES, VARIANTS, get_spec

if TYPE_CHECKING:
    import pandas as pd

    from effnet_lab.images import ImageSet, Stated
    from effnet_lab.models.loaded import LoadedModel
    from effnet_lab.training.loop import Progress

Network: TypeAlias = Union[str, Path, "LoadedModel"]  # a Keras model has no preprocessing to train it with
NORMS = ("trained", "frozen")  # see `norms`
EPOCHS, SEED = 4, 0  # of training that starts from weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A trained network, and what is known of it."""

    table: pd.DataFrame  # HISTORY, one row per epoch
    model: LoadedModel
    card: dict[str, Any]  # data, seed, command, accuracy with its interval; size after DEFLATE where it was compressed
    file: Path | None  # the weights; card and history stand beside them


@dataclass(frozen=True, kw_only=True, slots=True)
class Further:
    """What to do with weights; at most one of `qat`, `prune` and `cluster`, else plain fine-tuning."""

    qat: bool = False
    layers: tuple[str, ...] | None = None  # for `qat`; all by default
    prune: float | None = None
    cluster: int | None = None
    epochs: int | None = None
    seed: int | None = None
    learning_rate: float | None = None
    batch_norm: str | None = None  # one of `norms.NORMS`


def train(
    variant: str | None = None,
    data: str | Path | ImageSet = "scenes",
    out: Path | str | None = None,
    *,
    start: Network | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    learning_rate: float | None = None,
    batch_norm: str | None = None,
    qat: bool = False,
    qat_layers: str | Sequence[str] | None = None,
    prune: float | None = None,
    cluster: int | None = None,
    resume: bool = False,
    preprocess: Stated = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a network on a data set's train split, and measure it on its evaluation split.

    Parameters
    ----------
    variant : str, optional
        Network to train from random weights by its recipe; with `start`, what the weights must belong to.
    data : name, path or ImageSet
        Images with train and evaluation splits; of an ImageSet, every fifth image is measured on.
    out : path, optional
        Where the weights go (.safetensors), with card and history beside them; an interrupted run from weights leaves there
        what `resume` needs.
    start : name, path, LoadedModel or Keras model, optional
        Weights to train further; a new head is put on where the classes differ. The result bears the name of `out`.
    epochs, seed : int, optional
        Instead of the recipe's; 4 and 0 from weights.
    learning_rate : float, optional
        Peak, from weights only.
    batch_norm : str, optional
        From weights: "trained", the default, or "frozen".
    qat : bool
        Quantization-aware; `qat_layers` chooses layers, see `fake_quantize`.
    prune, cluster : float, int, optional
        Share of weights that become zero; different values per kernel.
    resume : bool
        Go on with the interrupted run of `out`.
    preprocess : StatedInput or Preprocess, optional
        With `start`: what the network takes, where it is not known; a guess is refused.
    progress : callable, optional
        Called after each epoch with its row of HISTORY and "epochs", the number of them all.
    """
    out = None if out is None else Path(out)
    layers = tuple(qat_layers.split(",")) if isinstance(qat_layers, str) else tuple(qat_layers or ()) or None
    how = Further(
        qat=qat, layers=layers, prune=prune, cluster=cluster, epochs=epochs, seed=seed, learning_rate=learning_rate,
        batch_norm=batch_norm,
    )  # fmt: skip
    _check(variant, start, how, out, resume)
    if out is not None:
        require_room(out)  # before the first epoch, not after the last
    if start is None:
        from effnet_lab.training.recipes import train_variant

        assert variant is not None
        model, table, card = train_variant(variant, data, seed=seed, epochs=epochs, progress=progress)
    else:
        model, table, card = _further(start, variant, data, how, out, resume, preprocess, progress)
    if out is not None:
        from effnet_lab.training.cards import save_run

        save_run(model, card, table, out)
    return Trained(table=table, model=model, card=card, file=out)


def _check(variant: str | None, start: Network | None, how: Further, out: Path | None, resume: bool) -> None:
    """Refuse what does not go together, or leads nowhere, before anything slow is loaded."""
    if out is not None and out.suffix != ".safetensors":
        raise UserError(f"--out must end in .safetensors. Got {str(out)!r}.")
    ways = {"--qat": how.qat, "--prune": how.prune is not None, "--cluster": how.cluster is not None}
    asked = [name for name, given in ways.items() if given]
    if start is None and variant is None:
        raise UserError("Name the network with --variant, or weights to start from with --from.")
    if start is None and (asked or resume or how.learning_rate is not None or how.batch_norm is not None):
        name = "--resume" if resume else asked[0] if asked else "--batch-norm" if how.batch_norm else "--learning-rate"
        raise UserError(f"{name} starts from weights. Name them with --from, for example --from micro1.")
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} cannot be combined in one run. Run them one after the other.")
    if how.layers and not how.qat:
        raise UserError("--qat-layers needs --qat.")
    if resume and (how.prune is not None or how.cluster is not None):
        raise UserError(f"{asked[0]} cannot be resumed. Leave out --resume: the run starts anew.")
    if resume and out is None:
        raise UserError("--resume needs the weights file of the interrupted run. Name it with --out.")
    if how.batch_norm is not None:
        lookup("way with batch norm", how.batch_norm, dict.fromkeys(NORMS))
    if variant is not None:
        get_spec(variant)
    if start is not None:
        require_source(start)


def _further(
    start: Network,
    variant: str | None,
    data: str | Path | ImageSet,
    how: Further,
    out: Path | None,
    resume: bool,
    preprocess: Stated,
    progress: Progress | None,
) -> tuple[LoadedModel, pd.DataFrame, dict[str, Any]]:
    """Train weights, and describe the result under its own name."""
    from effnet_lab.models import load_model
    from effnet_lab.training.cards import compressed_sizes, make_card
    from effnet_lab.training.from_weights import resume as go_on
    from effnet_lab.training.recipes import hold_out, name_of, splits_of
    from effnet_lab.training.state import state_path

    images, evaluation = splits_of(data)
    shown, held_out = hold_out(images)
    before = _fed(load_model(start, variant), preprocess)
    unfinished = None if out is None else state_path(out)
    if resume and unfinished is not None:
        model, history = go_on(unfinished, shown, validation=held_out, progress=progress)
    else:
        model, history = _trained(before, shown, held_out, how, unfinished, progress)
    if out is not None:
        model = replace(model, name=_own_name(out))
        history = history.assign(model=model.name)
    recipe = {"from": str(start) if isinstance(start, str | Path) else before.name}
    recipe |= {key: value for key, value in asdict(how).items() if value not in (None, False)}
    card = make_card(
        model,
        evaluation,
        train={"name": images.name, "fingerprint": images.fingerprint, "n_images": len(shown)},
        seed=SEED if how.seed is None else how.seed,
        command=_command(recipe["from"], name_of(data), how, out),
        recipe=recipe,
    )
    compressed = how.prune is not None or how.cluster is not None
    return model, history, card | (compressed_sizes(model, before) if compressed else {})


def _fed(model: LoadedModel, preprocess: Stated) -> LoadedModel:
    """The weights with what is stated of their input; a guess is refused, unless the user allows it."""
    from effnet_lab.images.stated import stated_side
    from effnet_lab.litert import ModelInfo, settle
    from effnet_lab.models.resize import at_size

    model = at_size(model, stated_side(preprocess))
    card = ModelInfo(
        model=model.name, scheme="float32", backend="keras", preprocess=model.preprocess, classes=model.classes
    )
    found = settle(card, preprocess, measures="training").preprocess
    return model if found is None else replace(model, preprocess=found)


def _own_name(out: Path) -> str:
    """What is trained further is no longer what it started from, and must not be taken for it."""
    taken = {*embedded_models(), *VARIANTS, *STYLES}
    return f"{out.stem}_tuned" if out.stem in taken else out.stem


def _trained(
    start: LoadedModel,
    shown: ImageSet,
    held_out: ImageSet,
    how: Further,
    unfinished: Path | None,
    progress: Progress | None,
) -> tuple[LoadedModel, pd.DataFrame]:
    from effnet_lab.training.compress import cluster, prune
    from effnet_lab.training.from_weights import fine_tune, train_qat

    options: dict[str, Any] = {
        "validation": held_out,
        "epochs": EPOCHS if how.epochs is None else how.epochs,
        "seed": SEED if how.seed is None else how.seed,
        "progress": progress,
    }
    if how.learning_rate is not None:
        options["learning_rate"] = how.learning_rate
    if how.batch_norm is not None:
        options["batch_norm"] = how.batch_norm
    if how.prune is not None:
        return prune(start, shown, sparsity=how.prune, **options)
    if how.cluster is not None:
        return cluster(start, shown, clusters=how.cluster, **options)
    if how.qat:
        return train_qat(start, shown, layers=how.layers, unfinished=unfinished, **options)
    return fine_tune(start, shown, unfinished=unfinished, **options)


def _command(start: str, data: str, how: Further, out: Path | None) -> str:
    options: dict[str, Any] = {
        "epochs": how.epochs,
        "seed": how.seed,
        "learning-rate": how.learning_rate,
        "prune": how.prune,
    }
    options |= {
        "batch-norm": how.batch_norm,
        "cluster": how.cluster,
        "qat-layers": ",".join(how.layers) if how.layers else None,
    }
    options |= {"out": None if out is None else out.name}
    given = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None)
    return (
        f"effnet-lab train --from {shlex.quote(start)} --data {shlex.quote(data)}{' --qat' if how.qat else ''}{given}"
    )
