"""A .tflite file of the Lite family to a Keras network that computes the same function in float.

Weights are dequantized. Batch norm was folded into kernels and biases when the file was made: here the bias becomes beta
under a batch norm that does nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert import Op
from effnet_lab.models.conv_layers import BN_EPSILON
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.tflite_network import KERNEL_AXES, recognise
from effnet_lab.models.weights.tflite_walk import Affine, Walk
from effnet_lab.names import UserError
from effnet_lab.scaling.layers import Layer


def load(path: Path, variant: str | None = None) -> LoadedModel:
    """Import float32, float16, dynamic, int8 or uint8 weights; a last softmax is left out: the model gives logits.

    Scalars that the file multiplies with or adds before its first convolution become part of the preprocessing. All else
    must be the network exactly, see `recognise`.
    """
    spec, _classes, steps, walk = recognise(path, variant)
    info = walk.info
    assert info.preprocess is not None
    preprocess = replace(_fold(info.preprocess, walk.before, path), size_px=walk.input.shape[1])
    tensors = {name: values for layer, op in steps for name, values in _variables(walk, layer, op).items()}
    return assemble(spec, tensors, preprocess, source=str(path), name=info.model, classes=info.classes)


def _variables(walk: Walk, layer: Layer, op: Op) -> dict[str, NDArray[Any]]:
    if layer.op not in KERNEL_AXES:
        return {}
    kernel = walk.stored(op.inputs[1]).transpose(KERNEL_AXES[layer.op])
    channels = layer.channels
    bias = walk.stored(op.inputs[2]).reshape(-1) if len(op.inputs) > 2 else np.zeros(channels, np.float32)
    if layer.op == "dense":
        return {f"{layer.name}/kernel": kernel, f"{layer.name}/bias": bias}
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    norm = {"gamma": ones, "beta": bias, "moving_mean": zeros, "moving_variance": ones - np.float32(BN_EPSILON)}
    own = f"{layer.name}/{'depthwise_kernel' if layer.op == 'depthwise' else 'kernel'}"
    return {own: kernel} | {f"{layer.name}_bn/{name}": values for name, values in norm.items()}


def _fold(preprocess: Preprocess, before: Affine, path: Path) -> Preprocess:
    """Preprocessing followed by ``factor * x + shift``, as one preprocessing."""
    if not before.factor > 0:
        raise UserError(f"{path} multiplies its input by {before.factor:g}. Only positive factors can be imported.")
    if isinstance(preprocess.mean, tuple) or isinstance(preprocess.std, tuple):
        raise UserError(f"{path} has a mean or std for each channel. The weights of this family have one for all.")
    mean = preprocess.mean - before.shift * preprocess.std / before.factor
    return replace(preprocess, mean=round(mean, 6), std=preprocess.std / before.factor)
