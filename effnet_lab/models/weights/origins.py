"""What images look like to the weights of each origin."""

from __future__ import annotations

from effnet_lab.images.preprocess import ORIGINAL, Preprocess
from effnet_lab.scaling import NetSpec

TIMM = {  # variant: side in px, crop, interpolation. Source: timm 1.0, timm/models/efficientnet.py, default_cfgs
    "lite0": (224, 0.875, "bicubic"),
    "lite1": (240, 0.882, "bicubic"),
    "lite2": (260, 0.890, "bicubic"),
    "lite3": (300, 0.904, "bilinear"),
    "lite4": (380, 0.920, "bilinear"),
}
HUB_SIZE_PX = {"lite0": 224, "lite1": 240, "lite2": 260, "lite3": 300, "lite4": 380}  # source: the modules' pages


def original(spec: NetSpec, size_px: int | None = None) -> Preprocess:
    """tensorflow/tpu: centre crop with its padding rule, legacy bicubic, ``(x - 127) / 128``."""
    return ORIGINAL(size_px or spec.resolution)


def timm(spec: NetSpec) -> Preprocess:
    """Timm: its own size, crop and interpolation per variant; mean and standard deviation 0.5 of [0, 1].

    The shorter side is resized to ``floor(size / crop)`` first, and the centre is cut out of that.
    """
    size_px, crop, interpolation = TIMM.get(spec.name, (spec.resolution, 0.875, "bicubic"))
    return Preprocess(
        size_px=size_px, crop=crop, interpolation=interpolation, mean=127.5, std=127.5, order="resize_first"
    )


def hub(spec: NetSpec, size_px: int | None = None) -> Preprocess:
    """TF Hub: what module and caller do together.

    A module takes whole images of its size in [0, 1] and computes ``(255 x - 127) / 128`` inside. Only its variables are
    read here, so the same is done to grey levels outside; the image is squashed to the module's size, not cropped.
    """
    size_px = size_px or HUB_SIZE_PX.get(spec.name, spec.resolution)
    return Preprocess(size_px=size_px, crop=None, interpolation="bilinear", mean=127.0, std=128.0)
