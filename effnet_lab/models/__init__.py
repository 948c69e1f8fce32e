"""Networks: a specification to a Keras model, and weights from every origin. TensorFlow is loaded on first use."""

from __future__ import annotations

import importlib
from typing import Any

from effnet_lab.models.catalog import embedded_models, require_source

_HOMES = {  # what needs TensorFlow is loaded on first use
    "REFERENCE_NETWORKS": "reference_networks",
    "LoadedModel": "loaded",
    "build_model": "build",
    "build_reference": "reference_networks",
    "load_model": "weights",
    "save_model": "weights",
}
__all__ = ["embedded_models", "require_source", *_HOMES]  # noqa: PLE0604, RUF100  the late ones are names, too


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module(f"{__name__}.quiet_tensorflow")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
