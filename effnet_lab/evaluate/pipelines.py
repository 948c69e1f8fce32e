"""Ways in which a picture may have been prepared for a network: the candidates of the preprocessing audit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images import Preprocess
from effnet_lab.images.preprocess import Grey
from effnet_lab.litert.settle import tone

NORMALISATIONS: dict[str, tuple[Grey, Grey]] = {  # name: (mean, std) in grey levels
    "(x-127)/128": (127.0, 128.0),
    "x/127.5-1": (127.5, 127.5),
    "[0, 1]": (0.0, 255.0),
    "raw 0..255": (0.0, 1.0),
    "ImageNet's mean and std": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
CROPS = (0.875, None, 1.0)
KERNELS = ("bicubic", "bilinear", "nearest", "bicubic_tf1")
CHANNELS = ("RGB", "BGR")  # grey pictures have no order
OFFSETS = (0, -1, 1)
FACTORS = {  # column: how a sentence names it
    "normalisation": "normalisation",
    "crop": "crop",
    "interpolation": "interpolation",
    "channels": "channel order",
    "label_offset": "label offset",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """Preprocessing, order of the channels, and what is added to the index of the winning output."""

    preprocess: Preprocess
    channels: str = "RGB"
    label_offset: int = 0

    @property
    def view(self) -> tuple[float | None, str, str]:
        """What decides the pixels before normalisation."""
        return self.preprocess.crop, self.preprocess.interpolation, self.preprocess.order

    @property
    def fed(self) -> Pipeline:
        """The pipeline without its label offset: what decides the network's input."""
        return replace(self, label_offset=0)

    @property
    def tone(self) -> tuple[Grey, Grey, str]:
        """Normalisation and order of the channels."""
        return self.preprocess.mean, self.preprocess.std, self.channels

    def arrange(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Resized grey levels (s, s, 3) to the network's input, float32."""
        return replace(self.preprocess, channels=self.channels).arrange(pixels)

    def row(self) -> dict[str, object]:
        """The factors under their column names; a crop as text, because none is one of its values."""
        p = self.preprocess
        names = {pair: name for name, pair in NORMALISATIONS.items()}
        crop = "none" if p.crop is None else f"{p.crop:.4g}" + (" resize first" if p.order == "resize_first" else "")
        return {
            "normalisation": names.get((p.mean, p.std)) or tone(p).rpartition(" ")[0],
            "crop": crop,
            "interpolation": p.interpolation,
            "channels": self.channels,
            "label_offset": self.label_offset,
        }


def tones(stated: Preprocess) -> list[Pipeline]:
    """Normalisation x channel order, with the crop and interpolation that are stated."""
    pairs = dict.fromkeys([(stated.mean, stated.std), *NORMALISATIONS.values()])
    return [
        Pipeline(preprocess=replace(stated, mean=mean, std=std), channels=channels)
        for (mean, std), channels in itertools.product(pairs, CHANNELS if stated.channels in CHANNELS else ["grey"])
        if channels != "grey" or not isinstance(mean, tuple)
    ]


def views(pipeline: Pipeline) -> list[Pipeline]:
    """Crop x interpolation, with one normalisation and channel order; the pipeline itself first."""
    plain = replace(pipeline.preprocess, order="crop_first", framing="stated")
    made = [
        replace(pipeline, preprocess=replace(plain, crop=crop, interpolation=kernel))
        for crop, kernel in itertools.product(CROPS, KERNELS)
    ]
    return list(dict.fromkeys([pipeline, *made]))
