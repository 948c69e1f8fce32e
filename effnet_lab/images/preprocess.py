"""From a photograph of any size to the numbers a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from effnet_lab.images.legacy_bicubic import resize_legacy_bicubic
from effnet_lab.names import UserError, suggest

PILLOW = {  # antialiased when they shrink (except nearest), rounded to uint8
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
LEGACY = "bicubic_tf1"  # TensorFlow 1's: not antialiased, not rounded, values leave 0..255
INTERPOLATIONS = (*PILLOW, LEGACY)
ORDERS = ("crop_first", "resize_first")
_LARGE_PX = 40_000_000  # a long thin picture resized as a whole may exceed this many pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Crop, resize, normalise. It travels with the weights and is never retyped by hand.

    "crop_first" cuts the centred square out and resizes it, as the original does. "resize_first" resizes until the shorter
    side is ``floor(size_px / crop)`` and cuts the centre out of that, as torchvision and timm do.
    """

    size_px: int  # side of the square network input
    crop: float | None = 0.875  # side of the centred square / shorter side of the image; None squashes the whole image
    interpolation: str = "bicubic"
    mean: float = 127.0  # grey levels
    std: float = 128.0  # grey levels
    order: str = "crop_first"

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("order of crop and resize", self.order, ORDERS),
        ):
            if value not in known:
                raise UserError(suggest(kind, value, known))
        if self.size_px < 1:
            raise UserError(f"Preprocess: size_px must be >= 1. Got {self.size_px}.")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise UserError(f"Preprocess: crop must be in (0, 1], or None for no crop. Got {self.crop}.")
        if not self.std > 0:
            raise UserError(f"Preprocess: std must be > 0. Got {self.std}.")

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Part of the image that is kept: top, left, height, width, in px (for "resize_first", to the nearest pixel).

        Source of the rounding: tensorflow/tpu, efficientnet/preprocessing.py, _decode_and_center_crop.
        """
        if self.crop is None:
            return 0, 0, height, width
        if self.order == "resize_first":
            whole, (top, left) = self._resized(height, width)
            scale = np.array([height, width]) / whole
            return tuple(int(x) for x in np.rint([top, left, self.size_px, self.size_px] * np.tile(scale, 2)))
        side = max(1, int(self.crop * min(height, width)))
        return (height - side + 1) // 2, (width - side + 1) // 2, side, side

    def resize(self, image: NDArray) -> NDArray:
        """Crop and resize uint8 (h, w, 3) to (size_px, size_px, 3): uint8, or float32 grey levels with "bicubic_tf1"."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"Preprocess takes a uint8 (h, w, 3) image. Got {image.dtype} {image.shape}.")
        if self.order == "resize_first" and self.crop is not None:
            return self._sample(image, *self._resized(*image.shape[:2]))
        top, left, height, width = self.window(*image.shape[:2])
        return self._sample(image[top : top + height, left : left + width], (self.size_px, self.size_px), (0, 0))

    def _resized(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size of the whole resized image, and top and left of its centre, px.

        Source of the rounding: torchvision, functional.resize and center_crop; timm, create_transform.
        """
        short, scale = min(height, width), math.floor(self.size_px / self.crop)
        whole = (int(scale * height / short), int(scale * width / short))
        top, left = (round((side - self.size_px) / 2) for side in whole)
        return whole, (top, left)

    def _sample(self, image: NDArray, whole: tuple[int, int], corner: tuple[int, int]) -> NDArray:
        """The square at `corner` of the image resized to `whole`."""
        (height, width), (top, left), side = whole, corner, self.size_px
        if image.shape[:2] != whole and self.interpolation == LEGACY:
            return resize_legacy_bicubic(image, height, width, (top, left, side, side))
        if image.shape[:2] != whole and height * width > _LARGE_PX:
            down, across = image.shape[0] / height, image.shape[1] / width
            box = (left * across, top * down, (left + side) * across, (top + side) * down)
            return np.asarray(Image.fromarray(image).resize((side, side), PILLOW[self.interpolation], box=box))
        if image.shape[:2] != whole:
            picture = Image.fromarray(np.ascontiguousarray(image))
            image = np.asarray(picture.resize((width, height), PILLOW[self.interpolation]))
        square = image[top : top + side, left : left + side]
        return square.astype(np.float32) if self.interpolation == LEGACY else square

    def normalise(self, image: NDArray) -> NDArray:
        """Grey levels to network input, float32, any shape: ``(x - mean) / std``."""
        return (image.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)

    def __call__(self, image: NDArray) -> NDArray:
        """Uint8 (h, w, 3) RGB to float32 (size_px, size_px, 3)."""
        return self.normalise(self.resize(image))

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> Preprocess:
        """Reverse of `as_dict`."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise UserError(suggest("preprocessing field", unknown[0], known))
        return cls(**values)


def ORIGINAL(size_px: int) -> Preprocess:  # noqa: N802  a constant but for its size
    """Crop, resize, mean and std that the official EfficientNet-Lite weights were trained with.

    The margin of 32 px at 224 grows with the size: 32, 34, 37, 40, 43 px for lite0 to lite4.
    Source: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py and preprocessing.py.
    """
    crop = size_px / (size_px + round(size_px * 32 / 224))
    return Preprocess(size_px=size_px, crop=crop, interpolation=LEGACY)
