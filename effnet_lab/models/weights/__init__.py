"""Weights from every origin: by registered name, or from a file or folder. TensorFlow is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer
from effnet_lab.models.catalog import embedded_models

if TYPE_CHECKING:
    from effnet_lab.models.weights.assemble import with_new_head
    from effnet_lab.models.weights.files import fetch
    from effnet_lab.models.weights.opening import load_model, save_model

__all__ = ["embedded_models", "fetch", "load_model", "save_model", "with_new_head"]
offer(
    __name__,
    {"opening": ("load_model", "save_model"), "assemble": ("with_new_head",), "files": ("fetch",)},
    first="effnet_lab.models.quiet_tensorflow",
)
