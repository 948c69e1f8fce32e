"""Training: from scratch by a recipe, further from weights, quantization-aware, pruned, clustered; each with its card."""

from __future__ import annotations

import importlib
from typing import Any

from effnet_lab.training.training_run import Trained, train

_HOMES = {  # what needs TensorFlow is loaded on first use
    "RECIPES": "recipes",
    "TrainingRecipe": "recipes",
    "cluster": "compress",
    "deflated_bytes": "compress",
    "fine_tune": "from_weights",
    "prune": "compress",
    "read_card": "cards",
    "resume": "from_weights",
    "save_with_card": "cards",
    "train_from_scratch": "from_scratch",
    "train_qat": "from_weights",
    "train_variant": "recipes",
}
__all__ = ["Trained", "train", *_HOMES]  # noqa: PLE0604, RUF100  the late ones are names, too


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("effnet_lab.models.quiet_tensorflow")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
