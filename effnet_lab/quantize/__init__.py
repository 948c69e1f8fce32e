"""Schemes, recipes, and the tools that write them. Requantizing a .tflite file loads no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import any_offer, offer
from effnet_lab.quantize.export import Exported, export
from effnet_lab.quantize.schemes import BACKENDS, FORMATS, KINDS, SCHEMES, Scheme, get_scheme

if TYPE_CHECKING:
    __getattr__ = any_offer

__all__ = ["BACKENDS", "FORMATS", "KINDS", "SCHEMES", "Exported", "Scheme", "export", "get_scheme"]
__all__ += offer(
    __name__,
    {
        "ai_edge": ("requantize",),
        "backends": ("targets",),
        "calibration_run": ("calibrate",),
        "float_file": ("FloatFile", "float_beside"),
        "ranges": ("Ranging",),
        "recipes": ("Recipe", "keep_worst", "parse_recipe"),
        "write": ("quantizer", "write_files"),
    },
)
