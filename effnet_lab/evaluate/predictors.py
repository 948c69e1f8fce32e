"""What accuracy, classification and the audit need of a network: its card, and scores for a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images import ArraySet, ImageSet, Stated
from effnet_lab.images.imageset import digest
from effnet_lab.images.stated import stated_side
from effnet_lab.litert import ModelInfo, Runner, fit_samples, read_info, settle, settle_pair, tell_apart
from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.litert.input_values import how_to_feed, taken
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError
from effnet_lab.workers import workers_for

if TYPE_CHECKING:
    from effnet_lab.models import LoadedModel


class Predictor(Protocol):
    """A network from any origin, ready to run."""

    @property
    def info(self) -> ModelInfo:
        """Its model, scheme, backend, preprocess, classes."""
        ...

    @property
    def outputs(self) -> int:
        """Classes it tells apart."""
        ...

    def predict(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Scores (n, outputs) of normalised float32 (n, side, side, 3); logits or probabilities."""
        ...


# What functions take as a network: the name of weights, a path, a LoadedModel, a Keras model, or one that is open already.
Network = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePredictor:
    """A .tflite file; its metadata say the preprocessing and the labels."""

    info: ModelInfo
    runner: Runner
    fingerprint: str = ""  # of the file's content

    @property
    def outputs(self) -> int:
        """Classes it tells apart."""
        return self.runner.outputs[0].shape[-1] if self.runner.outputs[0].shape else 1

    def predict(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Scores (n, outputs); inputs are quantized with the file's own scale and zero point, saturated."""
        return self.runner.predict(batch)


@dataclass(frozen=True, kw_only=True, eq=False)
class KerasPredictor:
    """Weights from any origin, run by Keras in float32."""

    info: ModelInfo
    model: LoadedModel

    @property
    def outputs(self) -> int:
        """Classes it tells apart."""
        return len(self.info.classes)

    def predict(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Logits (n, classes)."""
        return np.asarray(self._run(batch))

    @cached_property
    def _run(self) -> Any:
        """The network as one function for any number of images: layer by layer, a small one takes several times as long."""
        from effnet_lab.models.quiet_tensorflow import tf

        keras = self.model.keras
        images = tf.TensorSpec((None, *keras.input_shape[1:]), tf.float32)
        return tf.function(lambda batch: keras(batch, training=False), input_signature=[images])


def open_predictor(
    model: Network, threads: int = 1, *, variant: str | None = None, preprocess: Stated = None, measures: str = ""
) -> Predictor:
    """A predictor over a .tflite file, or over anything that `load_model` opens; a predictor comes back as it is.

    Parameters
    ----------
    model : path, name of weights, LoadedModel, Keras model or Predictor
    threads : int
        Threads of the interpreter of a .tflite file.
    variant : str, optional
        For weights that do not say it themselves ("imagenet").
    preprocess, measures
        What the user states of the input, and what a guess would spoil: see `litert.settle`.
    """
    found = _open(model, threads, variant, stated_side(preprocess))
    return _with_card(found, settle(found.info, preprocess, measures=measures))


def open_predictors(
    models: Sequence[Network], threads: int = 1, *, variant: str | None = None, size_px: int | None = None
) -> list[Predictor]:
    """Each as it is, before its preprocessing is settled; those that say the same of themselves bear the names of their files.

    With a size, weights are opened at that size of images.
    """
    opened = [_open(model, threads, variant, size_px) for model in models]
    sources = [
        model if isinstance(model, str | Path) else found.info.model
        for model, found in zip(models, opened, strict=True)
    ]
    infos = tell_apart([predictor.info for predictor in opened], sources)
    return [_with_card(predictor, info) for predictor, info in zip(opened, infos, strict=True)]


def settle_predictors(opened: list[Predictor], preprocess: Stated, *, measures: str) -> list[Predictor]:
    """The same with what they are fed; two share what is known of one, see `litert.settle_pair`."""
    infos = [predictor.info for predictor in opened]
    if len(opened) == 2:
        first, second = opened
        infos = list(settle_pair(first.info, second.info, preprocess, twins=_twins(first, second), measures=measures))
    else:
        infos = [settle(info, preprocess, measures=measures) for info in infos]
    return [_with_card(predictor, info) for predictor, info in zip(opened, infos, strict=True)]


def require_ranking(predictor: Predictor) -> None:
    """Refuse what does not rank classes for single pictures.

    Raises
    ------
    UserError
        With the shapes that say so.
    """
    if not isinstance(predictor, FilePredictor):
        return
    name, runner = predictor.info.model, predictor.runner
    if predictor.info.preprocess is None:
        raise UserError(
            f"{name} takes no single pictures: its input is {taken(runner.graph)}. "
            f"{how_to_feed(runner.graph, '`evaluate --inputs` feeds it arrays.')}"
        )
    if int(np.prod(runner.output.shape[:-1], dtype=np.int64)) > 1:
        raise UserError(
            f"{name} gives no ranking of classes: its output is {runner.output.shape}, numbers for each position. "
            "`evaluate --against` compares such networks."
        )


def team_of(predictors: Sequence[Predictor], workers: int | None, n_samples: int) -> list[Sequence[Predictor]]:
    """The predictors, and as many more sets of interpreters over the same files as there are workers.

    Keras shares out its work by itself, and a file that keeps state has to see its samples in turn: they stay alone.
    """
    files = [predictor for predictor in predictors if isinstance(predictor, FilePredictor)]
    if len(files) < len(predictors) or any(file.runner.graph.keeps_state for file in files):
        return [predictors]
    if workers is None and any(file.runner.threads > 1 for file in files):  # the processors are shared out already
        return [predictors]
    n = workers_for(workers, n_samples, sum(file.runner.memory_bytes for file in files))
    return [predictors, *([replace(file, runner=file.runner.another()) for file in files] for _ in range(n - 1))]


def fitted(predictor: Predictor, samples: ImageSet | ArraySet) -> ImageSet | ArraySet:
    """The samples as the network takes them; refused where it takes none such."""
    if isinstance(predictor, FilePredictor):
        return fit_samples(samples, predictor.runner.graph, predictor.info)
    if isinstance(samples, ArraySet) and len(samples.arrays) != 1:
        raise UserError(f"{predictor.info.model} takes one input. {samples.name} holds {len(samples.arrays)} arrays.")
    return samples


def outputs_of(predictor: Predictor, batch: Sequence[tuple[NDArray[Any], ...]]) -> Iterator[list[NDArray[Any]]]:
    """The real values of every output, sample by sample; each with a batch axis of 1."""
    if isinstance(predictor, FilePredictor):
        yield from (predictor.runner.run(*values) for values in batch)
    else:
        yield from ([row[np.newaxis]] for row in predictor.predict(np.stack([first for first, *_ in batch])))


def _open(model: Network, threads: int, variant: str | None, size_px: int | None = None) -> Predictor:
    if isinstance(model, str | Path) and Path(model).suffix == ".tflite":
        content = digest(read_bytes(model))
        return FilePredictor(info=read_info(model), runner=Runner(model, threads=threads), fingerprint=content)
    if isinstance(getattr(model, "info", None), ModelInfo):
        return cast("Predictor", model)
    require_source(model)
    from effnet_lab.models import load_model  # TensorFlow takes 5 s to import, and a .tflite file needs none

    loaded = load_model(model, variant)
    if not loaded.classes:
        raise UserError(f"{loaded.name} has no classifier. Use `features`, or load it with a new head (classes=N).")
    if size_px is not None and size_px != loaded.preprocess.size_px:
        from effnet_lab.models.resize import at_size

        loaded = at_size(loaded, size_px)
    scheme = "fake_quantized" if loaded.fake_quantized else "float32"
    info = ModelInfo(
        model=loaded.name, scheme=scheme, backend="keras", preprocess=loaded.preprocess, classes=loaded.classes
    )
    return KerasPredictor(info=info, model=loaded)


def _with_card(predictor: Predictor, info: ModelInfo) -> Predictor:
    if predictor.info == info and predictor.info.preprocess is info.preprocess:
        return predictor
    if is_dataclass(predictor):
        return replace(predictor, info=info)
    if predictor.info.key == info.key and predictor.info.preprocess == info.preprocess:
        return predictor  # somebody's own predictor, which brings its own card
    raise UserError(f"{predictor.info.model} brings its own preprocessing. State nothing else.")


def _twins(first: Predictor, second: Predictor) -> bool:
    """Whether two files are likely one network; then what is less sure of one follows the other."""
    if not (isinstance(first, FilePredictor) and isinstance(second, FilePredictor)):
        return False
    sure = [
        p.info.preprocess is None or p.info.preprocess.origin in ("stated", "embedded", "metadata")
        for p in (first, second)
    ]
    madds = first.runner.graph.madds
    return not all(sure) and 0 < madds == second.runner.graph.madds
