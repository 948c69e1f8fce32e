"""Training from scratch: the loop, one recipe per small variant, and the card that says what came out."""

from effnet_lab.training.cards import read_card, save_with_card
from effnet_lab.training.fit import train
from effnet_lab.training.recipes import RECIPES, Recipe, train_variant

__all__ = ["RECIPES", "Recipe", "read_card", "save_with_card", "train", "train_variant"]
