"""The float network that a quantized file is held against, whatever form the user has it in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from effnet_lab.litert import float_twin

if TYPE_CHECKING:
    from effnet_lab.models.loaded import LoadedModel


def float_content(
    float_model: Path | str | bytes | LoadedModel | object | None, quantized: Path | str
) -> Path | str | bytes:
    """A float .tflite file, as a path or as its content.

    Parameters
    ----------
    float_model : path, bytes, LoadedModel, Keras model, or None
        A .tflite file stays what it is. A Keras model, and whatever else `load_model` opens, is converted. None: the twin
        that has the quantized file's dequantized weights.
    quantized : path
    """
    if float_model is None:
        return float_twin(quantized)
    if isinstance(float_model, bytes) or (isinstance(float_model, str | Path) and str(float_model).endswith(".tflite")):
        return float_model
    from effnet_lab.quantize.originals import float_tflite

    return float_tflite(float_model)
