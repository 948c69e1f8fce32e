"""A specification to a Keras model, with the arithmetic of `scaling` and no other."""

from __future__ import annotations

from typing import Literal

import tf_keras
from tf_keras import layers

from effnet_lab.names import UserError
from effnet_lab.scaling.layers import Block, blocks
from effnet_lab.scaling.rounding import scaled_channels
from effnet_lab.scaling.specs import NetSpec

TOPS = ("logits", "softmax", "features")
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.99


def build_model(
    spec: NetSpec, classes: int = 1000, top: Literal["logits", "softmax", "features"] = "logits"
) -> tf_keras.Model:
    """Build a network with random weights.

    Layers bear the names of `scaling.layers`; their batch norm and activation add ``_bn`` and ``_act``.

    Parameters
    ----------
    spec : NetSpec
    classes : int
        Outputs of the classifier.
    top : str
        "logits" or "softmax", (n, classes), or "features": pooled, (n, head channels), without classifier.

    Returns
    -------
    tf_keras.Model
        Of float32 (n, resolution, resolution, 3), normalised as the weights' `Preprocess` says.

    References
    ----------
    tensorflow/tpu, models/official/efficientnet/efficientnet_model.py.
    """
    if top not in TOPS:
        raise UserError(f"top must be one of {', '.join(TOPS)}. Got {top!r}.")
    if classes < 1:
        raise UserError(f"classes must be >= 1. Got {classes}.")
    stem, *_stages, head = scaled_channels(spec)
    image = layers.Input((spec.resolution, spec.resolution, 3), name="input")
    x = _conv(image, "stem_conv", stem, spec.activation, kernel=3, stride=2)
    for block in blocks(spec):
        x = _block(x, block, spec.activation)
    x = _conv(x, "head_conv", head, spec.activation)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    if top != "features":
        x = layers.Dropout(spec.dropout, name="head_dropout")(x)
        x = layers.Dense(classes, kernel_initializer=_dense_initializer(), name="head_dense")(x)
    if top == "softmax":
        x = layers.Softmax(name="head_softmax")(x)
    return tf_keras.Model(image, x, name=spec.name)


def _block(x, block: Block, activation: str):
    """Expansion, depthwise, squeeze-and-excitation, projection, skip: each where the block has it."""
    entry, name = x, block.name
    if block.expansion != 1:
        x = _conv(x, f"{name}_expand", block.hidden, activation)
    x = layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False,
        depthwise_initializer=_conv_initializer(), name=f"{name}_dwconv",
    )(x)  # fmt: skip
    x = _activation(_batch_norm(x, f"{name}_dwconv"), f"{name}_dwconv", activation)
    if block.se_channels:
        x = _squeeze_excite(x, block, activation)
    x = _conv(x, f"{name}_project", block.out_channels, None)
    if not block.skip:
        return x
    if block.survival < 1.0:
        x = layers.Dropout(1.0 - block.survival, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, entry])


def _squeeze_excite(x, block: Block, activation: str):
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{block.name}_se_pool")(x)
    gate = _biased_conv(gate, f"{block.name}_se_reduce", block.se_channels, activation)
    gate = _biased_conv(gate, f"{block.name}_se_expand", block.hidden, "sigmoid")
    return layers.Multiply(name=f"{block.name}_se_mul")([x, gate])


def _conv(x, name: str, channels: int, activation: str | None, *, kernel: int = 1, stride: int = 1):
    """Convolution without bias, batch norm, and an activation unless None."""
    x = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, kernel_initializer=_conv_initializer(), name=name
    )(x)
    x = _batch_norm(x, name)
    return x if activation is None else _activation(x, name, activation)


def _biased_conv(x, name: str, channels: int, activation: str):
    x = layers.Conv2D(channels, 1, padding="same", kernel_initializer=_conv_initializer(), name=name)(x)
    return _activation(x, name, activation)


def _batch_norm(x, name: str):
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def _activation(x, name: str, kind: str):
    """A ReLU layer for ReLU6, because quantization-aware training knows that one."""
    layer = layers.ReLU(6.0, name=f"{name}_act") if kind == "relu6" else layers.Activation(kind, name=f"{name}_act")
    return layer(x)


def _conv_initializer():
    """N(0, sqrt(2 / (kh * kw * out))); out is 1 for a depthwise kernel."""
    return tf_keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _dense_initializer():
    """Uniform within 1 / sqrt(classes) of 0."""
    return tf_keras.initializers.VarianceScaling(1.0 / 3.0, mode="fan_out", distribution="uniform")
