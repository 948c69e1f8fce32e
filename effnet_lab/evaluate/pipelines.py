"""Ways in which a picture may have been prepared for a network: the candidates of the preprocessing audit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from numpy.typing import NDArray

from effnet_lab.images import Preprocess

NORMALISATIONS = {  # name: (mean, std) in grey levels
    "(x-127)/128": (127.0, 128.0),
    "x/127.5-1": (127.5, 127.5),
    "[0, 1]": (0.0, 255.0),
    "raw 0..255": (0.0, 1.0),
}
CROPS = (0.875, None, 1.0)
KERNELS = ("bicubic", "bilinear", "nearest", "bicubic_tf1")
CHANNELS = ("RGB", "BGR")
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
    def tone(self) -> tuple[float, float, str]:
        """Normalisation and order of the channels."""
        return self.preprocess.mean, self.preprocess.std, self.channels

    def normalise(self, pixels: NDArray) -> NDArray:
        """Resized grey levels (s, s, 3) to the network's input, float32."""
        return self.preprocess.normalise(pixels if self.channels == "RGB" else pixels[..., ::-1])

    def row(self) -> dict[str, object]:
        """The factors under their column names; a crop as text, because none is one of its values."""
        p = self.preprocess
        names = {pair: name for name, pair in NORMALISATIONS.items()}
        crop = "squash" if p.crop is None else f"{p.crop:.4g}" + (" resize first" if p.order == "resize_first" else "")
        return {
            "normalisation": names.get((p.mean, p.std), f"(x-{p.mean:g})/{p.std:g}"),
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
        for (mean, std), channels in itertools.product(pairs, CHANNELS)
    ]


def views(pipeline: Pipeline) -> list[Pipeline]:
    """Crop x interpolation, with one normalisation and channel order; the pipeline itself first."""
    made = [
        replace(pipeline, preprocess=replace(pipeline.preprocess, crop=crop, interpolation=kernel, order="crop_first"))
        for crop, kernel in itertools.product(CROPS, KERNELS)
    ]
    return list(dict.fromkeys([pipeline, *made]))
