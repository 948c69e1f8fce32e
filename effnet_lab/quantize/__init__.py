"""Schemes, recipes, and the tools that write them. Requantizing a .tflite file loads no TensorFlow."""

from __future__ import annotations

import importlib

from effnet_lab.quantize.export import export, export_file, quantizer, targets
from effnet_lab.quantize.recipes import Recipe, keep_worst, parse_recipe
from effnet_lab.quantize.requantize import requantize
from effnet_lab.quantize.schemes import BACKENDS, FORMATS, KINDS, SCHEMES, Scheme, get_scheme

_LATE = {  # what needs TensorFlow is loaded on first use
    "TwinFiles": "twins",
    "export_saved_model": "saved_models",
    "export_twins": "twins",
    "own_twins": "twins",
}
__all__ = [  # noqa: PLE0604, RUF100  the late ones are names, too
    "BACKENDS", "FORMATS", "KINDS", "SCHEMES", "Recipe", "Scheme", "export", "export_file", "get_scheme", "keep_worst",
    "parse_recipe", "quantizer", "requantize", "targets", *_LATE,
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module 'effnet_lab.quantize' has no attribute {name!r}")
    return getattr(importlib.import_module(f"effnet_lab.quantize.{_LATE[name]}"), name)
