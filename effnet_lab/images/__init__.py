"""Labelled images from every source, their splits, and what happens to them before a network sees them."""

from effnet_lab.images.imageset import SPLITS, ImageSet
from effnet_lab.images.labels import imagenet_synsets, read_labels
from effnet_lab.images.preprocess import ORIGINAL, Preprocess
from effnet_lab.images.sources import open_images

__all__ = ["ORIGINAL", "SPLITS", "ImageSet", "Preprocess", "imagenet_synsets", "open_images", "read_labels"]
