"""What accuracy, classification and the audit need of a network: its card, and scores for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from numpy.typing import NDArray

from effnet_lab.litert import ModelInfo, Runner, read_info, tell_apart
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.models import LoadedModel


@runtime_checkable
class Predictor(Protocol):
    """A network from any origin, ready to run."""

    info: ModelInfo  # model, scheme, backend, preprocess, classes
    outputs: int  # classes it tells apart

    def predict(self, batch: NDArray) -> NDArray:
        """Scores (n, outputs) of normalised float32 (n, side, side, 3); logits or probabilities."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePredictor:
    """A .tflite file; its metadata say the preprocessing and the labels."""

    info: ModelInfo
    runner: Runner

    @property
    def outputs(self) -> int:
        """Classes it tells apart."""
        return self.runner.output.shape[-1]

    def predict(self, batch: NDArray) -> NDArray:
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

    def predict(self, batch: NDArray) -> NDArray:
        """Logits (n, classes)."""
        return self.model.keras(batch, training=False).numpy()


def open_predictor(
    model: Path | str | LoadedModel | Predictor, threads: int = 1, *, variant: str | None = None
) -> Predictor:
    """A predictor over a .tflite file, or over anything that `load_model` opens; a predictor comes back as it is.

    Parameters
    ----------
    model : path, name of weights, LoadedModel or Predictor
    threads : int
        Of the interpreter of a .tflite file.
    variant : str, optional
        For weights that do not say it themselves ("imagenet").
    """
    if isinstance(model, str | Path) and Path(model).suffix == ".tflite":
        return FilePredictor(info=read_info(model), runner=Runner(model, threads=threads))
    if isinstance(model, str | Path):
        from effnet_lab.models import load_model  # TensorFlow takes 5 s to import, and a .tflite file needs none

        model = load_model(model, variant)
    if not hasattr(model, "keras"):
        return model
    if not model.classes:
        raise UserError(f"{model.name} has no classifier. Use `features`, or load it with a new head (classes=N).")
    scheme = "fake_quantized" if model.fake_quantized else "float32"
    info = ModelInfo(
        model=model.name, scheme=scheme, backend="keras", preprocess=model.preprocess, classes=model.classes
    )
    return KerasPredictor(info=info, model=model)


def open_predictors(models: Sequence[Path | str], threads: int = 1, *, variant: str | None = None) -> list[Predictor]:
    """`open_predictor` of each; those that say the same of themselves bear the names of their files."""
    opened = [open_predictor(model, threads, variant=variant) for model in models]
    infos = tell_apart([predictor.info for predictor in opened], models)
    return [replace(predictor, info=info) for predictor, info in zip(opened, infos, strict=True)]
