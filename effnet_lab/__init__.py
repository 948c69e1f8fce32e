"""effnet-lab: scaling, quantization error per layer, and accuracy against latency, for EfficientNet-Lite.

The names below are loaded on first use: ``import effnet_lab`` loads neither TensorFlow nor plotly.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "audit_preprocess": "effnet_lab.evaluate",
    "build_model": "effnet_lab.models",
    "check": "effnet_lab.regress",
    "classify": "effnet_lab.evaluate",
    "export": "effnet_lab.quantize",
    "family": "effnet_lab.scaling",
    "get_scheme": "effnet_lab.quantize",
    "get_spec": "effnet_lab.scaling",
    "layer_counts": "effnet_lab.scaling",
    "layer_error": "effnet_lab.analysis",
    "load_model": "effnet_lab.models",
    "measure_latency": "effnet_lab.bench",
    "measure_memory": "effnet_lab.board",
    "open_images": "effnet_lab.images",
    "open_predictor": "effnet_lab.evaluate",
    "run_notebooks": "effnet_lab.regress",
    "save_model": "effnet_lab.models",
    "search": "effnet_lab.scaling",
    "train_variant": "effnet_lab.training",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'effnet_lab' has no attribute {name!r}")
    # import_module of a room may bind a submodule of the same name (scaling.search): take the attribute of the room
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
