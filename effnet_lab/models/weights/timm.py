"""Weights of timm's tf_efficientnet_lite0 to lite4, as .safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights import origins
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.mapping import HEAD, fit
from effnet_lab.scaling import NetSpec
from effnet_lab.scaling.layers import blocks
from effnet_lab.scaling.rounding import scaled_repeats

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_COUNTER = "num_batches_tracked"  # PyTorch's, of no use here


def load(path: Path, tensors: dict[str, NDArray[Any]], variant: str | None = None) -> LoadedModel:
    """Take over a state dict of timm; `variant` is recognised from the weights by default.

    A model that was saved without classifier (``num_classes=0``) ends at the pooled features.
    """
    arrays = {key: _keras_layout(key, array) for key, array in tensors.items() if not key.endswith(_COUNTER)}
    source = f"{path} was not written by effnet-lab, and read as timm's it"
    spec, found = fit(arrays, timm_names, source=source, variant=variant, headless=True)
    return assemble(spec, found, origins.timm(spec), source=str(path))


def timm_names(spec: NetSpec) -> dict[str, str]:
    """Timm's keys: blocks stand in stages, and the first convolution of a block is its expansion where it has one."""
    names = _conv("stem_conv", "conv_stem", "bn1") | _conv("head_conv", "conv_head", "bn2")
    places = [(stage, i) for stage, repeats in enumerate(scaled_repeats(spec)) for i in range(repeats)]
    for block, (stage, i) in zip(blocks(spec), places, strict=True):
        at = f"blocks.{stage}.{i}"
        steps = [("dwconv", "conv_dw"), ("project", "conv_pw")]
        if block.expansion != 1:
            steps = [("expand", "conv_pw"), ("dwconv", "conv_dw"), ("project", "conv_pwl")]
        for number, (ours, theirs) in enumerate(steps, start=1):
            names |= _conv(f"{block.name}_{ours}", f"{at}.{theirs}", f"{at}.bn{number}")
    return names | dict(zip(HEAD, ("classifier.weight", "classifier.bias"), strict=True))


def _conv(ours: str, theirs: str, norm: str) -> dict[str, str]:
    kernel = "depthwise_kernel" if ours.endswith("_dwconv") else "kernel"
    return {f"{ours}/{kernel}": f"{theirs}.weight"} | {f"{ours}_bn/{v}": f"{norm}.{key}" for v, key in _NORM.items()}


def _keras_layout(key: str, array: NDArray[Any]) -> NDArray[Any]:
    """OIHW to HWIO; a depthwise kernel (channels, 1, h, w) to (h, w, channels, 1); dense (out, in) to (in, out)."""
    if array.ndim == 4:
        axes = (2, 3, 0, 1) if key.endswith("conv_dw.weight") else (2, 3, 1, 0)
        return np.ascontiguousarray(array.transpose(axes))
    return np.ascontiguousarray(array.T) if array.ndim == 2 else array
