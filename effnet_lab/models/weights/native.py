"""The project's own file: one .safetensors with the weights, and what they belong to in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from effnet_lab.models.build import network
from effnet_lab.models.fake_quant import fake_quantize
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import about
from effnet_lab.models.weights.about import KEY, spec_from_dict
from effnet_lab.models.weights.mapping import reason, require_finite
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically

__all__ = ["KEY", "load", "read", "save_model", "spec_from_dict", "to_bytes"]


def save_model(model: LoadedModel, path: str | Path) -> None:
    """Write weights, specification, preprocessing and classes; the same model gives the same bytes."""
    write_atomically(Path(path), to_bytes(model))


def to_bytes(model: LoadedModel) -> bytes:
    """What `save_model` writes."""
    # safetensors silently corrupts arrays that are not contiguous
    tensors = {name: np.asarray(variable.numpy(), order="C") for name, variable in variables(model.keras).items()}
    return save(tensors, {KEY: about.to_json(model)})


def load(path: str | Path) -> LoadedModel:
    """Read a file that `save_model` wrote, or raise a `UserError` that says what is wrong with it."""
    text, tensors = read(Path(path))
    if text is None:
        raise UserError(
            f"{path} was not written by effnet-lab (no {KEY!r} in its metadata). Give a file that effnet-lab saved."
        )
    return from_tensors(text, tensors, str(path))


def from_tensors(text: str, tensors: Mapping[str, NDArray[Any]], source: str) -> LoadedModel:
    """Model from what `read` returned for a file of ours."""
    known = about.from_json(text, source)
    keras = network(known.spec, len(known.classes))
    require_finite(tensors, source)
    model = LoadedModel(
        name=known.name, spec=known.spec, keras=keras, preprocess=known.preprocess, classes=known.classes
    )
    if known.fake_quantized:
        model = fake_quantize(model, known.fake_quantized)
    assign(model.keras, tensors, source)
    return model


def read(path: Path) -> tuple[str | None, dict[str, NDArray[Any]]]:
    """Our metadata, None in a .safetensors of somebody else, and all arrays."""
    metadata, tensors = read_all(path)
    return metadata.get(KEY), tensors


def read_all(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """All metadata and all arrays."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return metadata, load_file(path)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"Cannot read {path} as .safetensors: {reason(error)}. It is damaged: download or save it again."
        ) from error
