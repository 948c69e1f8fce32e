"""Training by one call: from random weights by a recipe, or further from any weights; with its card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet_lab.models.catalog import embedded_models, require_weights
from effnet_lab.names import UserError
from effnet_lab.paths import require_room
from effnet_lab.scaling import STYLES, VARIANTS, NetSpec, get_spec, spec_by_numbers
from effnet_lab.training.how import EPOCHS, SEED, How, Network, network_name

if TYPE_CHECKING:
    import pandas as pd

    from effnet_lab.images import ImageSet, Stated
    from effnet_lab.models.loaded import LoadedModel
    from effnet_lab.training.settings import Progress
    from effnet_lab.training.steps import TellStep


_LOST = ("UnavailableError", "AbortedError", "DeadlineExceededError")  # what TensorFlow says when a worker is gone


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A trained network, and what is known of it."""

    table: pd.DataFrame  # HISTORY, one row per epoch
    model: LoadedModel
    card: dict[str, Any]  # data, seed, command, accuracy with its interval; size after DEFLATE where it was compressed
    file: Path | None  # the weights; card and history stand beside them


def train(
    variant: str | None = None,
    data: str | Path | ImageSet = "scenes",
    out: Path | str | None = None,
    *,
    start: Network | None = None,
    width: float | None = None,
    depth: float | None = None,
    size_px: int | None = None,
    scale_ends: bool = True,
    resume: bool = False,
    check: bool = True,
    preprocess: Stated = None,
    progress: Progress | None = None,
    steps: TellStep | None = None,
    **options: Any,
) -> Trained:
    """Train a network on a data set's train split, and measure it on its evaluation split.

    Parameters
    ----------
    variant : str, optional
        Network to train from random weights by its recipe; with `start`, what the weights must belong to.
    data : name, path or ImageSet
        Images with train and evaluation splits; of an ImageSet, every fifth image is measured on.
    out : path, optional
        Where the weights go (.safetensors), with card and history beside them; there lie the best epoch so far, and what
        `resume` needs of an interrupted run.
    start : name, path, LoadedModel or Keras model, optional
        Weights to train further; a new head is put on where the classes differ. The result bears the name of `out`.
    width, depth, size_px, scale_ends
        Instead of a variant: any network that `search` finds, by its numbers; a variant gives what they leave open.
    resume : bool
        Go on with the interrupted run of `out`, as it was told to go when it began.
    check : bool
        Whether files are looked at first, see `check_data`; damaged ones are refused, the rest is said.
    preprocess : StatedInput or Preprocess, optional
        With `start`: what the network takes, where it is not known; a guess is refused.
    progress : callable, optional
        Called after each epoch with its row of HISTORY and "epochs", the number of them all.
    steps : callable, optional
        Called after each step within an epoch with a `Step`: its part, images done, loss.
    **options
        Fields of `How`: recipe, numbers, augmentation, teacher, stages, quantization, strategy.
    """
    out = None if out is None else Path(out)
    how = How(**options)
    how.check(start, out, resume)
    network = {"variant": variant, "width": width, "depth": depth, "size": size_px}
    network |= {} if scale_ends else {"no-scale-ends": ""}
    spec = _spec(variant, start, width, depth, size_px, scale_ends)
    if start is not None:
        require_weights(start, variant)
    if out is not None:
        require_room(out)  # before the first epoch, not after the last
    if check and not resume:
        _look_at(data)
    around = {"progress": progress, "steps": steps, **_machines(how)}
    try:
        if spec is not None:
            from effnet_lab.training.recipes import train_variant

            model, table, card = train_variant(spec, data, how=how, network=network, out=out, resume=resume, **around)
        else:
            assert start is not None
            model, table, card = _further(start, variant, data, how, out, resume, preprocess, around)
    except Exception as error:
        if how.strategy == "multiworker" and type(error).__name__ in _LOST:
            raise UserError(
                "A worker has stopped. Start all workers again with --resume to continue the run."
            ) from error
        raise
    if out is not None and around.get("writes", True):
        from effnet_lab.training.cards import save_run

        save_run(model, card, table, out)
    return Trained(table=table, model=model, card=card, file=out)


def _look_at(data: str | Path | ImageSet) -> None:
    """Refuse damaged files now, not in the middle of an epoch, and say what else is wrong; embedded images are known."""
    from effnet_lab.images import ImageSet, check_data
    from effnet_lab.images.sources import EMBEDDED
    from effnet_lab.images.stated import tell

    if isinstance(data, ImageSet) or str(data).partition("?")[0] in EMBEDDED:
        return
    found = check_data(data)
    if damaged := found.damaged:
        more = f" and {len(damaged) - 1:,} more" if len(damaged) > 1 else ""
        raise UserError(f"{damaged[0]}{more} cannot be decoded. Remove them; `effnet-lab data {data}` lists them.")
    tell(found.sentence + (f" `effnet-lab data {data}` says which." if len(found.table) else ""))


def _machines(how: How) -> dict[str, Any]:
    """Where the run computes, and who writes; the strategy has to be opened before TensorFlow computes anything."""
    logs = None if how.logs is None else Path(how.logs)
    if logs is not None and find_spec("tensorboard") is None:
        raise UserError("--logs needs TensorBoard. Install it with: pip install tensorboard.")
    if how.strategy == "one":
        return {"logs": logs}
    from effnet_lab.training.strategies import is_chief, open_strategy

    return {"strategy": open_strategy(how.strategy), "writes": is_chief(), "logs": logs if is_chief() else None}


def _spec(
    variant: str | None,
    start: Network | None,
    width: float | None,
    depth: float | None,
    size_px: int | None,
    scale_ends: bool,
) -> NetSpec | None:
    """The network to train from random weights; None where it starts from weights."""
    if variant is not None:
        get_spec(variant)
    numbers = {"--width": width, "--depth": depth, "--size": size_px}
    if start is not None:
        if width is not None or depth is not None:
            raise UserError(
                "--width and --depth describe a new network, --from an existing one. Leave one of them out."
            )
        return None
    missing = [name for name, value in numbers.items() if value is None]
    if len(missing) == len(numbers):
        if variant is None:
            raise UserError("Name the network with --variant, or weights to start from with --from.")
        return get_spec(variant)
    if missing:
        raise UserError(
            f"A network given by its numbers needs --width, --depth and --size. Missing: {', '.join(missing)}."
        )
    assert width is not None
    assert depth is not None
    assert size_px is not None
    return spec_by_numbers(width, depth, size_px, variant or "lite0", scale_ends=scale_ends)


def _further(
    start: Network,
    variant: str | None,
    data: str | Path | ImageSet,
    how: How,
    out: Path | None,
    resume: bool,
    preprocess: Stated,
    around: dict[str, Any],
) -> tuple[LoadedModel, pd.DataFrame, dict[str, Any]]:
    """Train weights, and describe the result under its own name."""
    from effnet_lab.models import load_model
    from effnet_lab.training.cards import compressed_sizes, make_card
    from effnet_lab.training.from_weights import resume as go_on
    from effnet_lab.training.recipes import hold_out, name_of, splits_of
    from effnet_lab.training.teacher import open_teacher

    images, evaluation = splits_of(data)
    shown, held_out = hold_out(images)
    before = _fed(load_model(start, variant), preprocess)
    around = {**around, "validation": held_out}
    around |= {"teacher": None if how.teacher is None else open_teacher(how.teacher, shown.classes)}
    if resume and out is not None:
        model, history = go_on(out, shown, **around)
    else:
        model, history = _trained(before, shown, how, around, out)
    if out is not None:
        model = replace(model, name=_own_name(out))
        history = history.assign(model=model.name)
    recipe = {"from": network_name(start) if isinstance(start, str | Path) else before.name}
    recipe |= how.written() | ({"teacher": around["teacher"].name} if around["teacher"] else {})
    card = make_card(
        model,
        evaluation,
        train={"name": images.name, "fingerprint": images.fingerprint, "n_images": len(shown)},
        seed=SEED if how.seed is None else how.seed,
        command=how.command({"from": recipe["from"]}, name_of(data), None if out is None else Path(out.name)),
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
    start: LoadedModel, shown: ImageSet, how: How, around: dict[str, Any], out: Path | None
) -> tuple[LoadedModel, pd.DataFrame]:
    from effnet_lab.training.compress import cluster, prune
    from effnet_lab.training.from_weights import fine_tune, train_qat
    from effnet_lab.training.recipes import settings_of

    values = settings_of(how) | how.chosen("batch_norm")
    values = {"epochs": EPOCHS, "seed": SEED} | values
    few = {name: around[name] for name in ("validation", "progress", "steps")} | {"new_head": how.new_head}
    if how.prune is not None:
        return prune(start, shown, sparsity=how.prune, **few, **values)
    if how.cluster is not None:
        return cluster(start, shown, clusters=how.cluster, **few, **values)
    stages: dict[str, Any] = {"new_head": how.new_head, "freeze_epochs": how.freeze_epochs or 0, "layers": how.layers}
    if how.qat:
        return train_qat(start, shown, out=out, **stages, **around, **values)
    stages["qat_epochs"] = how.qat_epochs or 0
    return fine_tune(start, shown, out=out, **stages, **around, **values)
