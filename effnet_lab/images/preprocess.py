"""From a photograph of any size to the numbers a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

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
CHANNELS = ("RGB", "BGR", "grey")
LAYOUTS = ("channels_last", "channels_first")
# Where the values (mean, std, order of the channels) come from, the surest last. "embedded": this project's own metadata;
# "metadata": TensorFlow Lite's; "input scale": what a quantized input can hold; "first ops": what the network does first.
ORIGINS = ("guessed", "first ops", "input scale", "metadata", "embedded", "stated")
FRAMINGS = ("default", "embedded", "stated")  # where crop and interpolation come from
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of red, green and blue, as ITU-R BT.601 weighs them
Grey = float | tuple[float, ...]  # grey levels: one number, or one for each channel
LARGEST_PX, LARGEST_GREY = 65_535, 1e12  # a side that pictures have at most; what float32 holds with room
_LARGE_PX = 40_000_000  # a long thin picture resized as a whole may exceed this many pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Crop, resize, normalise. It travels with the weights and is never retyped by hand.

    "crop_first" cuts the centred square out and resizes it, as the original does. "resize_first" resizes until the shorter
    side is ``floor(size_px / crop)`` and cuts the centre out of that, as torchvision and timm do.
    """

    size_px: int  # side of the square network input, or its height
    width_px: int | None = None  # None: as wide as it is high
    crop: float | None = 0.875  # side of the centred square / shorter side of the image; None squashes the whole image
    interpolation: str = "bicubic"
    mean: Grey = 127.0
    std: Grey = 128.0
    order: str = "crop_first"
    channels: str = "RGB"
    layout: str = "channels_last"
    origin: str = field(default="stated", compare=False)
    framing: str = field(default="stated", compare=False)

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("order of crop and resize", self.order, ORDERS),
            ("channels", self.channels, CHANNELS),
            ("layout", self.layout, LAYOUTS),
            ("origin of the preprocessing", self.origin, ORIGINS),
            ("origin of the crop", self.framing, FRAMINGS),
        ):
            if value not in known:
                raise UserError(suggest(kind, value, known))
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not all(abs(value) <= LARGEST_GREY for value in _levels(values)):  # NaN is not, either
                raise UserError(f"Preprocess: {name} must lie within ± {LARGEST_GREY:g} grey levels.")
            if isinstance(values, list | tuple):  # JSON has lists
                object.__setattr__(self, name, _one_each(name, values, self.channels))
        if min(self.size) < 1:
            raise UserError(f"Preprocess: size_px must be >= 1. Got {self.size_px}.")
        if max(self.size) > LARGEST_PX:
            raise UserError(f"Preprocess: the sides must be at most {LARGEST_PX:,} px.")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise UserError(f"Preprocess: crop must be in (0, 1], or None for no crop. Got {self.crop}.")
        if not np.all(np.greater(self.std, 0)):
            raise UserError(f"Preprocess: std must be > 0. Got {self.std}.")
        if self.order == "resize_first" and self.size != (self.size_px, self.size_px):
            raise UserError("Preprocess: only a square input can be resized first. Use the order 'crop_first'.")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network input, px."""
        return self.size_px, self.size_px if self.width_px is None else self.width_px

    @property
    def whole(self) -> bool:
        """Whether pictures that already have the input's size are taken whole: nobody has said that they are to be cropped."""
        return self.framing == "default"

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Part of the image that is kept: top, left, height, width, in px (for "resize_first", to the nearest pixel).

        Source of the rounding: tensorflow/tpu, efficientnet/preprocessing.py, _decode_and_center_crop.
        """
        if self.crop is None or (self.whole and (height, width) == self.size):
            return 0, 0, height, width
        if self.order == "resize_first":
            whole, (top, left) = self._resized(height, width)
            scale = np.array([height, width]) / whole
            top, left, down, across = np.rint([top, left, *self.size] * np.tile(scale, 2)).astype(int).tolist()
            return top, left, down, across
        unit = min(height / self.size[0], width / self.size[1])  # px of the image for a px of the input, at most
        if self.size[0] == self.size[1]:
            down = across = max(1, int(self.crop * min(height, width)))
        else:
            down, across = (max(1, int(self.crop * unit * side)) for side in self.size)
        return (height - down + 1) // 2, (width - across + 1) // 2, down, across

    def resize(self, image: NDArray[Any]) -> NDArray[Any]:
        """Crop and resize uint8 (h, w, 3) to (*size, 3): uint8, or float32 grey levels with "bicubic_tf1"."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"Preprocess takes a uint8 (h, w, 3) image. Got {image.dtype} {image.shape}.")
        whole = self.whole and image.shape[:2] == self.size
        if self.order == "resize_first" and self.crop is not None and not whole:
            return self._sample(image, *self._resized(*image.shape[:2]))
        top, left, height, width = self.window(*image.shape[:2])
        return self._sample(image[top : top + height, left : left + width], self.size, (0, 0))

    def _resized(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size of the whole resized image, and top and left of its centre, px.

        Source of the rounding: torchvision, functional.resize and center_crop; timm, create_transform.
        """
        assert self.crop is not None
        short, scale = min(height, width), math.floor(self.size_px / self.crop)
        whole = (int(scale * height / short), int(scale * width / short))
        return whole, (round((whole[0] - self.size_px) / 2), round((whole[1] - self.size_px) / 2))

    def _sample(self, image: NDArray[Any], whole: tuple[int, int], corner: tuple[int, int]) -> NDArray[Any]:
        """The part of the network's size at `corner` of the image resized to `whole`."""
        (height, width), (top, left), (high, wide) = whole, corner, self.size
        if image.shape[:2] != whole and self.interpolation == LEGACY:
            return resize_legacy_bicubic(image, height, width, (top, left, high, wide))
        if image.shape[:2] != whole and height * width > _LARGE_PX:
            down, across = image.shape[0] / height, image.shape[1] / width
            box = (left * across, top * down, (left + wide) * across, (top + high) * down)
            return np.asarray(Image.fromarray(image).resize((wide, high), PILLOW[self.interpolation], box=box))
        if image.shape[:2] != whole:
            picture = Image.fromarray(np.ascontiguousarray(image))
            image = np.asarray(picture.resize((width, height), PILLOW[self.interpolation]))
        part = image[top : top + high, left : left + wide]
        return part.astype(np.float32) if self.interpolation == LEGACY else part

    def normalise(self, image: NDArray[Any]) -> NDArray[Any]:
        """Grey levels to network input, float32, any shape with the channels last: ``(x - mean) / std``."""
        mean, std = (np.asarray(values, np.float32) for values in (self.mean, self.std))
        return np.asarray((image.astype(np.float32) - mean) / std)

    def arrange(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Resized grey levels (h, w, 3) RGB to the network's input, float32: its channels, its values, its layout."""
        if self.channels == "BGR":
            pixels = pixels[..., ::-1]
        elif self.channels == "grey":
            pixels = (pixels.astype(np.float32) @ GREY)[..., np.newaxis]
        values = self.normalise(pixels)
        return np.moveaxis(values, -1, 0) if self.layout == "channels_first" else values

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Uint8 (h, w, 3) RGB to float32, as the network takes it: (size_px, size_px, 3) for most."""
        return self.arrange(self.resize(image))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what most networks have in common is left out, and where a value was found, but for a guess."""
        values = asdict(self)
        for name, usual in (("width_px", None), ("channels", "RGB"), ("layout", "channels_last")):
            if values[name] == usual:
                del values[name]
        if self.origin != "guessed":
            del values["origin"]
        if self.framing != "default":
            del values["framing"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Reverse of `as_dict`; what was not a guess is now embedded."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise UserError(suggest("preprocessing field", unknown[0], known))
        return cls(**{"origin": "embedded", "framing": "embedded", **values})


def _one_each(name: str, values: list[float] | tuple[float, ...], channels: str) -> Grey:
    """A number per channel, or one number where all are equal."""
    wanted = 1 if channels == "grey" else 3
    if len(values) not in (1, wanted):
        raise UserError(
            f"Preprocess: {name} takes one number, or one for each of {wanted} channels. Got {len(values)}."
        )
    numbers = tuple(float(value) for value in values)
    return numbers[0] if len(set(numbers)) == 1 else numbers


def ORIGINAL(size_px: int) -> Preprocess:  # noqa: N802  a constant but for its size
    """Crop, resize, mean and std that the official EfficientNet-Lite weights were trained with.

    The margin of 32 px at 224 grows with the size: 32, 34, 37, 40, 43 px for lite0 to lite4.
    Source: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py and preprocessing.py.
    """
    crop = size_px / (size_px + round(size_px * 32 / 224))
    return Preprocess(size_px=size_px, crop=crop, interpolation=LEGACY)


def _levels(grey: Grey | list[float]) -> Sequence[float]:
    return grey if isinstance(grey, list | tuple) else (grey,)
