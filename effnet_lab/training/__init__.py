"""Training: from scratch by a recipe, further from weights, quantization-aware, pruned, clustered; each with its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import any_offer, offer
from effnet_lab.training.how import How
from effnet_lab.training.training_run import Trained, train

if TYPE_CHECKING:
    __getattr__ = any_offer

__all__ = ["How", "Trained", "train"]
__all__ += offer(
    __name__,
    {
        "augment": ("AUGMENTATIONS", "parse_augment"),
        "cards": ("read_card", "save_with_card"),
        "compress": ("cluster", "deflated_bytes", "prune"),
        "examples": ("augmented_pictures",),
        "from_scratch": ("train_from_scratch",),
        "from_weights": ("fine_tune", "resume", "train_qat"),
        "recipes": ("NAMED", "RECIPES", "TrainingRecipe", "train_variant"),
        "teacher": ("open_teacher",),
    },
    first="effnet_lab.models.quiet_tensorflow",
)
