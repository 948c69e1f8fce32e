"""Float .tflite to quantized .tflite through the AI Edge Quantizer: a tenth of a second where reconversion takes many."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ai_edge_quantizer import recipe
from ai_edge_quantizer.quantizer import Quantizer

from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.quantize.schemes import Scheme
from effnet_lab.quiet import quiet

SIGNATURE, INPUT = "serving_default", "images"  # as `convert.saved_model` names them
_RECIPES = {"dynamic_wi8_afp32": recipe.dynamic_wi8_afp32, "static_wi8_ai8": recipe.static_wi8_ai8}


def requantize(
    float_content: bytes, scheme: Scheme, preprocess: Preprocess, calibration: ImageSet | None = None
) -> bytes:
    """Quantize a float32 file.

    The calibration is the tool's own: a moving average of the ranges, which depends on the order of the images.
    """
    quantizer = Quantizer(float_content, _RECIPES[scheme.name]())
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")  # the calibration means to
        statistics = quantizer.calibrate({SIGNATURE: _Samples(preprocess, calibration)}) if scheme.calibrated else None
        # the bias of a dead channel, whose weights are all but zero, overflows int32 and is saturated
        warnings.filterwarnings("ignore", message="invalid value encountered in cast")
        result = quantizer.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


@dataclass(frozen=True)
class _Samples:
    """The quantizer iterates twice, first to count: a generator would be empty the second time."""

    preprocess: Preprocess
    images: ImageSet

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for batch, _labels in self.images.batches(self.preprocess):
            for image in batch:
                yield {INPUT: image[None]}
