"""Networks: a specification to a Keras model, and weights from every origin. TensorFlow is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import any_offer, offer
from effnet_lab.models.catalog import embedded_models, require_source

if TYPE_CHECKING:
    __getattr__ = any_offer

__all__ = ["embedded_models", "require_source"]
__all__ += offer(
    __name__,
    {
        "build": ("build_model",),
        "loaded": ("LoadedModel",),
        "reference_networks": ("REFERENCE_NETWORKS", "build_reference"),
        "weights": ("load_model", "save_model"),
    },
    first="effnet_lab.models.quiet_tensorflow",
)
