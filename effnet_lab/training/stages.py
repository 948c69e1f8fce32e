"""A run of several stages, such as head, whole network, fake-quantized network; interrupted at any moment, it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import ImageSet
from effnet_lab.models.build import network
from effnet_lab.models.fake_quant import fake_quantize, set_ranges, strip_fake_quant
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights.native import load, to_bytes
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.training.loop import Listeners, Progressed, prepare, run_epochs
from effnet_lab.training.random_numbers import generators, own_random_numbers, restore_random_numbers
from effnet_lab.training.settings import PRECISIONS, Progress, Settings
from effnet_lab.training.state import Unfinished, best_path, load_state, state_bytes, state_path
from effnet_lab.training.steps import TellStep
from effnet_lab.training.strategies import synchronise_norms
from effnet_lab.training.teacher import Teacher

RANGE_BATCHES = 40  # that fix the ranges before the first step of quantization-aware training
QAT_SHARE = 0.1  # of the rate, after epochs without fake quantization
HEAD_TIMES, HEAD_RATE = 10, 1e-2  # the classifier alone learns so many times as fast, and at most at this rate


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """What a run has around it, and is no part of its recipe."""

    validation: ImageSet
    progress: Progress | None = None
    steps: TellStep | None = None
    out: Path | None = None  # the weights that the run will give; beside them lie its state and its best epoch
    teacher: Teacher | None = None
    logs: Path | None = None  # folder for TensorBoard
    strategy: Any = None  # of tf.distribute; None: this process alone
    writes: bool = True  # whether this process writes files; of several, one does
    callbacks: Sequence[tf_keras.callbacks.Callback] = ()

    @classmethod
    def among(cls, options: dict[str, Any]) -> Surroundings:
        """Made of those options that are its own, which are taken out."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls) if field.name in options})


def stages_of(
    whole: Settings, epochs: int, freeze_epochs: int, qat_epochs: int, layers: Sequence[str] | None = None
) -> list[Settings]:
    """The stages of a run: the classifier alone, the whole network, the fake-quantized network.

    Each has a schedule and an order of images of its own.
    """
    stages = []
    if freeze_epochs:
        rate = min(HEAD_TIMES * whole.learning_rate, HEAD_RATE)
        stages.append(replace(whole, epochs=freeze_epochs, head_only=True, learning_rate=rate, rate_decay=1.0))
    if epochs:
        stages.append(replace(whole, epochs=epochs))
    if qat_epochs:
        rate = whole.learning_rate * (QAT_SHARE if epochs else 1.0)
        chosen = None if layers is None else tuple(layers)
        stages.append(replace(whole, epochs=qat_epochs, qat=True, qat_layers=chosen, learning_rate=rate))
    return [replace(stage, seed=whole.seed + number) for number, stage in enumerate(stages)]


def carry_out(
    model: LoadedModel, images: ImageSet, stages: Sequence[Settings], around: Surroundings
) -> tuple[LoadedModel, pd.DataFrame]:
    """Train through all stages; the model is changed in place where nothing else is asked for.

    What an interrupted run needs stays until somebody has written the weights, see `cards.save_run`: they are measured first.
    """
    teacher = around.teacher.name if around.teacher else None
    return _go_on(
        Unfinished(model=model, stages=tuple(stages), stage=0, rows=(), done=None, teacher=teacher), images, around
    )


def go_on(images: ImageSet, around: Surroundings) -> tuple[LoadedModel, pd.DataFrame]:
    """Go on with an interrupted run: on the same machine, the result of an uninterrupted one, bit for bit.

    Raises
    ------
    UserError
        If there is no unfinished run, or the images or the teacher are not its own.
    """
    assert around.out is not None
    run = load_state(state_path(around.out), images)
    teacher = around.teacher.name if around.teacher else None
    if run.teacher != teacher:
        raise UserError(
            f"The run learnt from {run.teacher or 'no teacher'}. Got {teacher or 'none'}: give the same one."
        )
    return _go_on(run, images, around)


def _go_on(run: Unfinished, images: ImageSet, around: Surroundings) -> tuple[LoadedModel, pd.DataFrame]:
    model, rows, done = run.model, list(run.rows), run.done
    total = sum(stage.epochs for stage in run.stages)
    for number in range(run.stage, len(run.stages)):
        settings = run.stages[number]
        if done or number:  # the caller has prepared the first one
            prepare(settings)
        entered = done or 0 < number == run.stage  # a state without an epoch was kept when its stage was entered
        model = model if entered else _entered(model, images, settings)
        here = replace(run, model=model, stage=number, rows=tuple(rows), done=done)
        if number > 0 and not entered:
            _keep(here, images, around)
        model, own = _stage(here, images, around, total)
        rows, done = rows + own, None
    return model, frames.build(frames.HISTORY, rows)


def _entered(model: LoadedModel, images: ImageSet, settings: Settings) -> LoadedModel:
    """The network as a stage needs it: with fake quantization and ranges from the first images, where it is asked for."""
    if not settings.qat:
        return model
    reference = strip_fake_quant(model)
    with own_random_numbers():
        quantized = fake_quantize(reference, settings.qat_layers)
    batches = (batch for batch, _labels in images.batches(model.preprocess, settings.batch))
    set_ranges(quantized, reference, islice(batches, RANGE_BATCHES))
    return quantized


def _stage(
    run: Unfinished, images: ImageSet, around: Surroundings, total: int
) -> tuple[LoadedModel, list[dict[str, Any]]]:
    settings = run.stages[run.stage]
    model = _placed(run.model, settings, around.strategy)
    best: dict[str, NDArray[Any]] = {}

    def keep(done: Progressed) -> None:
        _keep(replace(run, model=model, done=done), images, around)

    def keep_best() -> None:
        best.update({name: variable.numpy() for name, variable in variables(model.keras).items()})
        if around.out is not None:
            _try_to_write(best_path(around.out), to_bytes(model), around)

    watch = Listeners(
        progress=around.progress, steps=around.steps, keep=keep if around.out else None, best=keep_best,
        callbacks=around.callbacks, logs=None if around.logs is None else str(around.logs), before=len(run.rows), total=total,
    )  # fmt: skip
    rows = run_epochs(
        model.keras, model.name, images, around.validation, model.preprocess, settings, teacher=around.teacher,
        watch=watch, done=run.done,
    )  # fmt: skip
    if settings.patience is not None:
        if not best and around.out is not None:  # the best epoch lies before the interruption
            best.update({name: value.numpy() for name, value in variables(load(best_path(around.out)).keras).items()})
        assign(model.keras, best, model.name)
    return _taken_back(model, run.model), rows


def _placed(model: LoadedModel, settings: Settings, strategy: Any) -> LoadedModel:
    """A copy where the strategy wants its variables, computing in the precision that is asked for."""
    if strategy is None and settings.precision == "float32":
        return model
    if settings.qat and settings.precision != "float32":
        raise UserError("Fake quantization computes in float32. Leave --precision out, or --qat.")
    values = {name: variable.numpy() for name, variable in variables(model.keras).items()}
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(PRECISIONS[settings.precision])
    try:
        with (strategy or tf.distribute.get_strategy()).scope(), own_random_numbers():
            keras = network(model.family_spec, len(model.classes))
            placed = replace(model, keras=keras, fake_quantized=())
            if model.fake_quantized:
                placed = fake_quantize(placed, model.fake_quantized)
            assign(placed.keras, values, model.name)
            restore_random_numbers(placed.keras, {name: v.numpy() for name, v in generators(model.keras).items()})
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            synchronise_norms(placed.keras)
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    return placed


def _taken_back(trained: LoadedModel, model: LoadedModel) -> LoadedModel:
    """The trained weights in the plain network."""
    if trained is not model:
        assign(model.keras, {name: v.numpy() for name, v in variables(trained.keras).items()}, model.name)
    return model


def _keep(run: Unfinished, images: ImageSet, around: Surroundings) -> None:
    if around.out is not None:
        _try_to_write(state_path(around.out), state_bytes(run, images), around)


def _try_to_write(path: Path, content: bytes, around: Surroundings) -> None:
    if not around.writes:
        return
    try:
        write_atomically(path, content)
    except OSError as error:
        warnings.warn(
            f"Cannot write {path}: {error.strerror}. The run goes on, without a way to resume it.", stacklevel=2
        )
