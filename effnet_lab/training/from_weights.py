"""Training that starts from weights: further, on other classes, or with fake quantization; interrupted and resumed."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import tf_keras

from effnet_lab import frames
from effnet_lab.images import ImageSet
from effnet_lab.images.stated import tell
from effnet_lab.models.build import network
from effnet_lab.models.fake_quant import fake_quantize, set_ranges, strip_fake_quant
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import with_new_head
from effnet_lab.models.weights.assemble import class_indices
from effnet_lab.models.weights.mapping import HEAD
from effnet_lab.training.loop import Progress, Progressed, Settings, prepare, run_epochs
from effnet_lab.training.norms import TRAINED, with_norms
from effnet_lab.training.state import load_state, save_state

RANGE_BATCHES = 40  # that fix the ranges before the first step of quantization-aware training
# Peak rates where the weights know the classes already, and where a new head has to be learnt. Measured on a flowers Lite0
# from int8, 240 photographs, two epochs: top-1 .877 became .891 at 1e-4, .798 at 1e-3.
KNOWN_RATE, NEW_HEAD_RATE = 1e-4, 1e-3


def fine_tune(
    model: LoadedModel,
    images: ImageSet,
    *,
    validation: ImageSet,
    epochs: int,
    seed: int = 0,
    progress: Progress | None = None,
    unfinished: Path | None = None,
    batch_norm: str = TRAINED,
    **settings: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Train weights further, with the preprocessing that they came with.

    Parameters
    ----------
    model : LoadedModel
        Not changed; the result is called after it, ``_tuned``. Where its classes are not those of the images, a new head is
        put on, see `with_new_head`.
    images, validation : ImageSet
    epochs, seed : int
    progress : callable, optional
        Called after each epoch, see `train`.
    unfinished : path, optional
        After each epoch but the last, what `resume` needs is written here.
    batch_norm : str
        One of `norms.NORMS`. A norm that a file had folded away gets statistics from the images first.
    **settings
        The other fields of `Settings`. By default the peak rate is 1e-4, or 1e-3 under a new head, and there is no weight
        decay.

    Returns
    -------
    LoadedModel
    DataFrame
        HISTORY, one row per epoch.
    """
    chosen = settings_for(model, images, epochs=epochs, seed=seed, **settings)
    prepare(chosen)
    with _own_random_numbers():
        copy, chosen = with_norms(with_classes(model, images.classes), images, chosen, batch_norm)
    return _run(replace(copy, name=f"{model.name}_tuned"), images, validation, chosen, progress, unfinished)


def train_qat(
    model: LoadedModel,
    images: ImageSet,
    *,
    validation: ImageSet,
    epochs: int,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    unfinished: Path | None = None,
    batch_norm: str = TRAINED,
    **settings: Any,
) -> tuple[LoadedModel, pd.DataFrame]:
    """Quantization-aware training: `fine_tune` of a network that computes as its int8 file will.

    The result predicts with fake quantization, is saved and loaded like every model, and its static int8 file has the
    ranges that were trained: no calibration.

    Parameters
    ----------
    model : LoadedModel
        From any weights that `load_model` opens.
    layers : sequence of str, optional
        Layers or patterns to quantize, see `fake_quantize`; the others stay float32, in the file as well. All by default.
    images, validation, epochs, seed, progress, unfinished, batch_norm, **settings
        As in `fine_tune`. The first 40 batches fix the ranges before the first step.
    """
    chosen = settings_for(model, images, epochs=epochs, seed=seed, **settings)
    prepare(chosen)
    reference = with_classes(strip_fake_quant(model), images.classes)
    reference, chosen = with_norms(reference, images, chosen, batch_norm)
    with _own_random_numbers():
        quantized = fake_quantize(reference, layers)
    batches = (batch for batch, _labels in images.batches(model.preprocess, chosen.batch))
    set_ranges(quantized, reference, islice(batches, RANGE_BATCHES))
    return _run(replace(quantized, name=f"{model.name}_qat"), images, validation, chosen, progress, unfinished)


def resume(
    unfinished: Path, images: ImageSet, *, validation: ImageSet, progress: Progress | None = None
) -> tuple[LoadedModel, pd.DataFrame]:
    """Go on with what `fine_tune` or `train_qat` left: on the same machine, the result of an uninterrupted run, bit for bit.

    Raises
    ------
    UserError
        If there is no unfinished run, or the images are not its own.
    """
    with _own_random_numbers():
        model, settings, done = load_state(unfinished, images)
    prepare(settings)
    return _run(model, images, validation, settings, progress, unfinished, done)


def settings_for(model: LoadedModel, images: ImageSet, **given: Any) -> Settings:
    """How weights are trained on these images: what is given, and for the rest a rate that keeps what they know."""
    rate = NEW_HEAD_RATE if head_order(model.classes, images.classes) is None else KNOWN_RATE
    return Settings(**({"learning_rate": rate, "weight_decay": 0.0} | given))


def head_order(has: tuple[str, ...], wanted: tuple[str, ...]) -> list[int] | None:
    """For each wanted class the output that stands for it: by name, or by number where the weights name none.

    None where the weights were trained for other classes, so that a new head is needed.
    """
    if len(has) != len(wanted) or not has:
        return None
    if set(has) == set(wanted):
        return [has.index(name) for name in wanted]
    return list(range(len(has))) if has == class_indices(len(has)) else None


def with_classes(model: LoadedModel, classes: tuple[str, ...]) -> LoadedModel:
    """A copy of the network; with a new head, unless its classes are these already, in whatever order."""
    order = head_order(model.classes, classes)
    if order is None:
        return with_new_head(strip_fake_quant(model), classes)
    if order != sorted(order):
        model = strip_fake_quant(model)
    elif classes != model.classes:
        tell(
            f"{model.name} names no classes: its {len(order)} outputs are taken for {', '.join(classes)[:150]}, in this order."
        )
    keras = network(model.family_spec, len(classes))
    copy = replace(model, keras=keras, fake_quantized=(), classes=classes)
    if model.fake_quantized:
        copy = fake_quantize(copy, model.fake_quantized)
    values = {name: value.numpy() for name, value in variables(model.keras).items()}
    head = {name: values[name][..., order] for name in HEAD}
    assign(copy.keras, values | head, model.name)
    return copy


def _run(
    model: LoadedModel,
    images: ImageSet,
    validation: ImageSet,
    settings: Settings,
    progress: Progress | None,
    unfinished: Path | None,
    done: Progressed | None = None,
) -> tuple[LoadedModel, pd.DataFrame]:
    def keep(so_far: Progressed) -> None:
        assert unfinished is not None
        try:
            save_state(unfinished, model, settings, images, so_far)
        except OSError as error:
            warnings.warn(
                f"Cannot write {unfinished}: {error.strerror}. The run goes on, without a way to resume it.",
                stacklevel=2,
            )

    rows = run_epochs(
        model.keras,
        model.name,
        images,
        validation,
        model.preprocess,
        settings,
        progress=progress,
        done=done,
        keep=keep if unfinished else None,
    )
    if unfinished:
        unfinished.unlink(missing_ok=True)
    return model, frames.build(frames.HISTORY, rows)


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Layers made here draw from generators whose state can be read and set, which a resumed run needs."""
    experimental = tf_keras.backend.experimental
    before = experimental.is_tf_random_generator_enabled()
    experimental.enable_tf_random_generator()
    try:
        yield
    finally:
        if not before:
            experimental.disable_tf_random_generator()
