"""Weights from every origin: by registered name, or from a file or folder. TensorFlow is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet_lab.late import offer
from effnet_lab.models.catalog import embedded_models

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What `offer` brings, for those who read types."""


__all__ = ["embedded_models"]
__all__ += offer(
    __name__,
    {"opening": ("load_model", "save_model"), "assemble": ("with_new_head",), "files": ("fetch",)},
    first="effnet_lab.models.quiet_tensorflow",
)
