"""Training: from scratch by a recipe, further from weights, quantization-aware, pruned, clustered; each with its card."""

from effnet_lab.training.cards import read_card, save_with_card
from effnet_lab.training.compress import cluster, deflated_bytes, prune
from effnet_lab.training.from_scratch import train
from effnet_lab.training.from_weights import fine_tune, resume, train_qat
from effnet_lab.training.further import Further, train_further
from effnet_lab.training.recipes import RECIPES, Recipe, train_variant

__all__ = [
    "RECIPES", "Further", "Recipe", "cluster", "deflated_bytes", "fine_tune", "prune", "read_card", "resume",
    "save_with_card", "train", "train_further", "train_qat", "train_variant",
]  # fmt: skip
