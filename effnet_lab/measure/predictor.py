"""What accuracy, classification and the audit need of a network: its card, and scores for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from numpy.typing import NDArray

from effnet_lab.litert import ModelInfo, Runner, read_info


@runtime_checkable
class Predictor(Protocol):
    """A network from any origin, ready to run."""

    info: ModelInfo  # model, scheme, backend, preprocess, classes

    def predict(self, batch: NDArray) -> NDArray:
        """Scores (n, outputs) of normalised float32 (n, side, side, 3); logits or probabilities."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePredictor:
    """A .tflite file; its metadata say the preprocessing and the labels."""

    info: ModelInfo
    runner: Runner

    def predict(self, batch: NDArray) -> NDArray:
        """Scores (n, outputs); inputs are quantized with the file's own scale and zero point, saturated."""
        return self.runner.predict(batch)


def open_predictor(model: Path | str | Predictor, threads: int = 1) -> Predictor:
    """A predictor over a .tflite file; what is a predictor already comes back as it is."""
    if not isinstance(model, str | Path):
        return model
    return FilePredictor(info=read_info(model), runner=Runner(model, threads=threads))
