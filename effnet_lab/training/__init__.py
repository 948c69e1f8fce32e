"""Training: from scratch by a recipe, further from weights, quantization-aware, pruned, clustered; each with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet_lab.late import offer
from effnet_lab.training.training_run import Trained, train

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What `offer` brings, for those who read types."""


__all__ = ["Trained", "train"]
__all__ += offer(
    __name__,
    {
        "cards": ("read_card", "save_with_card"),
        "compress": ("cluster", "deflated_bytes", "prune"),
        "from_scratch": ("train_from_scratch",),
        "from_weights": ("fine_tune", "resume", "train_qat"),
        "recipes": ("RECIPES", "TrainingRecipe", "train_variant"),
    },
    first="effnet_lab.models.quiet_tensorflow",
)
