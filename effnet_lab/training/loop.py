"""The one training loop: a Keras network, images, a seed, and what an interrupted run needs to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.names import UserError
from effnet_lab.training.average import MovingAverage
from effnet_lab.training.losses import make_loss, make_metric
from effnet_lab.training.optimizers import make_optimizer
from effnet_lab.training.pipeline import VALIDATION_BATCH, Order, training_data, validation_data
from effnet_lab.training.rates import rates_of
from effnet_lab.training.settings import Progress, Settings
from effnet_lab.training.steps import TRAINING, VALIDATION, StepTeller, TellStep
from effnet_lab.training.strategies import require_equal_parts, shown_to_replicas
from effnet_lab.training.teacher import Teacher


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A run after some of its epochs; what `state.save_state` writes."""

    optimizer: tuple[NDArray[Any], ...]
    rows: tuple[dict[str, Any], ...]  # HISTORY so far
    average: tuple[NDArray[Any], ...] = ()  # of the weights, where the run has one


@dataclass(frozen=True, kw_only=True, eq=False)
class Listeners:
    """Who is told what, and when."""

    progress: Progress | None = None  # each epoch, with its row
    steps: TellStep | None = None  # each step within an epoch
    keep: Callable[[Progressed], None] | None = None  # each epoch but the last, what `done` needs
    best: Callable[[], None] | None = None  # each epoch that is the best so far; the network has the weights to be kept
    logs: str | None = None  # folder for TensorBoard
    callbacks: Sequence[tf_keras.callbacks.Callback] = ()  # called before the epoch is recorded
    before: int = 0  # epochs of earlier stages
    total: int | None = None  # epochs of all stages


def prepare(settings: Settings) -> None:
    """Seed everything and switch TensorFlow to deterministic operations, for the rest of the process."""
    tf_keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()


def run_epochs(
    keras: tf_keras.Model,
    name: str,
    images: ImageSet,
    validation: ImageSet,
    preprocess: Preprocess,
    settings: Settings,
    *,
    teacher: Teacher | None = None,
    watch: Listeners | None = None,
    done: Progressed | None = None,
) -> list[dict[str, Any]]:
    """Train `keras` in place; rows of HISTORY.

    Parameters
    ----------
    keras : tf_keras.Model
        Of normalised images to logits.
    name : str
        What the rows call it.
    images, validation : ImageSet
        Read one at a time; resized pictures are kept, see `pipeline.Shelf`. The validation images choose nothing, unless
        the settings have `patience`.
    preprocess : Preprocess
    settings : Settings
    teacher : Teacher, optional
        Whose answers count beside the labels.
    watch : Listeners, optional
    done : Progressed, optional
        Go on after these epochs, in the order of images that an uninterrupted run has.
    """
    if validation.classes != images.classes:
        raise ValueError(f"Training images have classes {images.classes}, validation images {validation.classes}.")
    watch = watch or Listeners()
    replicas = keras.distribute_strategy.num_replicas_in_sync
    require_equal_parts(settings.batch, replicas)
    data, order = training_data(images, preprocess, settings, teacher, replicas)
    with keras.distribute_strategy.scope(), _held(keras, settings):
        steps = settings.epochs * len(order)
        optimizer = make_optimizer(settings, steps, len(order), rates_of(keras, settings))
        keras.compile(
            optimizer,
            make_loss(settings, len(images.classes), teacher is not None),
            metrics=[make_metric(len(images.classes), teacher is not None)],
            jit_compile=settings.xla,
        )
        keras.optimizer.build(keras.trainable_variables)  # in `fit`, those of the later replicas begin at zero
        average = MovingAverage(keras, settings.average) if settings.average else None
        recorder = _Recorder(name, settings, watch, average, list(done.rows) if done else [])
        if done:
            _restore(keras, average, done)
        if not recorder.stops:
            order.begin(len(recorder.rows))
            keras.fit(
                shown_to_replicas(data),
                validation_data=shown_to_replicas(validation_data(validation, preprocess, taught=teacher is not None)),
                initial_epoch=len(recorder.rows), epochs=settings.epochs, verbose=0,
                callbacks=[
                    _Next(order), *([average] if average else []), *watch.callbacks, *_board(watch),
                    *_teller(watch, settings, order, len(validation)), recorder,
                ],
            )  # fmt: skip
        if average:
            average.swap_in()
    return recorder.rows


def _restore(keras: tf_keras.Model, average: MovingAverage | None, done: Progressed) -> None:
    """Optimizer and average as they were; the network has its weights already."""
    if len(keras.optimizer.variables) != len(done.optimizer):
        raise UserError("The interrupted run had another optimizer. Leave out --resume to start anew.")
    for variable, value in zip(keras.optimizer.variables, done.optimizer, strict=True):
        variable.assign(value)
    if average:
        average.state = done.average


def _board(watch: Listeners) -> list[tf_keras.callbacks.Callback]:
    if watch.logs is None:
        return []
    return [_TensorBoard(watch.logs, watch.before)]


def _teller(watch: Listeners, settings: Settings, order: Order, n_validation: int) -> list[tf_keras.callbacks.Callback]:
    if watch.steps is None:
        return []
    sizes = {TRAINING: (order.n_images, settings.batch), VALIDATION: (n_validation, VALIDATION_BATCH)}
    return [StepTeller(watch.steps, sizes, watch.before, watch.total or settings.epochs)]


@contextlib.contextmanager
def _held(keras: tf_keras.Model, settings: Settings) -> Iterator[None]:
    """What does not learn is held, and let go afterwards: batch norms, or everything but the classifier."""
    layers = [getattr(layer, "layer", layer) for layer in keras.layers]  # also inside the toolkit's wrappers
    norms = (tf_keras.layers.BatchNormalization,)
    kinds = (tf_keras.layers.Layer,) if settings.head_only else norms if settings.frozen_norms else ()
    held = [layer for layer in layers if isinstance(layer, kinds) and not isinstance(layer, tf_keras.layers.Dense)]
    for layer in held:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in held:
            layer.trainable = True


class _TensorBoard(tf_keras.callbacks.TensorBoard):  # type: ignore[misc]  # Keras has no types
    """TensorBoard's, whose epochs go on through all stages of a run."""

    def __init__(self, logs: str, before: int) -> None:
        super().__init__(logs, write_graph=False, profile_batch=0)
        self.before = before

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        super().on_epoch_end(self.before + epoch, logs)


class _Next(tf_keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Tells the order of the images which epoch comes, as soon as one has ended: several replicas read ahead of its begin."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        self.order.begin(epoch + 1)


class _Recorder(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Collects HISTORY rows, passes them on, and hands over what a continued run needs."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        watch: Listeners,
        average: MovingAverage | None,
        rows: list[dict[str, Any]],
    ) -> None:
        super().__init__()
        self.name, self.settings, self.watch, self.average, self.rows = name, settings, watch, average, rows

    @property
    def best_epoch(self) -> int:
        """The first of those with the highest validation accuracy, from 1; 0 before there is one."""
        scores = [row["validation_top1"] for row in self.rows]
        return scores.index(max(scores)) + 1 if scores else 0

    @property
    def stops(self) -> bool:
        """Whether there is nothing more to do."""
        patience, done = self.settings.patience, len(self.rows)
        return done >= self.settings.epochs or (patience is not None and 0 < self.best_epoch <= done - patience)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls it."""
        logs = logs or {}
        row = {
            "model": self.name,
            "epoch": self.watch.before + epoch + 1,
            "loss": float(logs["loss"]),
            "train_top1": float(logs["top1"]),
            "validation_top1": float(logs["val_top1"]),
        }
        self.rows.append(row)
        if self.watch.best and self.best_epoch == len(self.rows):
            self._keep_best()  # before the state: a run that goes on from the state makes the file anew
        if self.watch.keep and not self.stops:
            optimizer = tuple(variable.numpy() for variable in self.model.optimizer.variables)
            average = self.average.state if self.average else ()
            self.watch.keep(Progressed(optimizer=optimizer, rows=tuple(self.rows), average=average))
        if self.watch.progress:
            self.watch.progress(row | {"epochs": self.watch.total or self.settings.epochs})
        if self.stops:
            self.model.stop_training = True

    def _keep_best(self) -> None:
        assert self.watch.best is not None
        if self.average:
            self.average.on_test_begin()
        self.watch.best()
        if self.average:
            self.average.on_test_end()
