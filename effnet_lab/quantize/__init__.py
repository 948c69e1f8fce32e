"""Schemes, recipes, and the tools that write them. Requantizing a .tflite file loads no TensorFlow."""

from __future__ import annotations

import importlib
from typing import Any

from effnet_lab.quantize.export import Exported, export
from effnet_lab.quantize.schemes import BACKENDS, FORMATS, KINDS, SCHEMES, Scheme, get_scheme

_HOMES = {  # what takes time to load is loaded on first use
    "FloatFile": "float_file",
    "Ranging": "ranges",
    "Recipe": "recipes",
    "TwinFiles": "twins",
    "calibrate": "calibration_run",
    "export_saved_model": "saved_models",
    "export_twins": "twins",
    "float_beside": "float_file",
    "keep_worst": "recipes",
    "own_twins": "twins",
    "parse_recipe": "recipes",
    "quantizer": "write",
    "requantize": "ai_edge",
    "targets": "backends",
    "write_files": "write",
}
__all__ = [  # noqa: PLE0604, RUF100  the late ones are names, too
    "BACKENDS", "FORMATS", "KINDS", "SCHEMES", "Exported", "Scheme", "export", "get_scheme", *_HOMES,
]  # fmt: skip
_TENSORFLOW = {"export_saved_model"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _TENSORFLOW:
        importlib.import_module("effnet_lab.models.quiet_tensorflow")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
