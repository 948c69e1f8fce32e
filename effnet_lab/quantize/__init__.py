"""Schemes, and the tools that write them."""

from effnet_lab.quantize.export import export, targets
from effnet_lab.quantize.saved_models import KINDS, export_saved_model
from effnet_lab.quantize.schemes import BACKENDS, FORMATS, SCHEMES, Scheme, get_scheme
from effnet_lab.quantize.twins import TwinFiles, export_twins, own_twins

__all__ = [
    "BACKENDS", "FORMATS", "KINDS", "SCHEMES", "Scheme", "TwinFiles", "export", "export_saved_model", "export_twins",
    "get_scheme", "own_twins", "targets",
]  # fmt: skip
