"""Convolutions as the original builds them: initial weights, batch norm behind them, activation."""

from __future__ import annotations

from collections.abc import Callable

from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.scaling.layers import Block

BN_EPSILON = 1e-3
BN_MOMENTUM = 0.99
Activation = str | Callable[[tf.Tensor], tf.Tensor]  # a name, or what computes it


def conv(
    x: tf.Tensor, name: str, channels: int, activation: Activation | None, *, kernel: int = 1, stride: int = 1
) -> tf.Tensor:
    """Convolution without bias, batch norm, and an activation unless None."""
    x = tf_keras.layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, kernel_initializer=_conv_initializer(), name=name
    )(x)
    x = _batch_norm(x, name)
    return x if activation is None else _activate(x, name, activation)


def depthwise(x: tf.Tensor, block: Block, activation: Activation) -> tf.Tensor:
    """The depthwise convolution of a block, with batch norm and activation."""
    name = f"{block.name}_dwconv"
    x = tf_keras.layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, depthwise_initializer=_conv_initializer(), name=name
    )(x)
    return _activate(_batch_norm(x, name), name, activation)


def squeeze_excite(x: tf.Tensor, block: Block, activation: Activation, gate_activation: Activation) -> tf.Tensor:
    """Every channel times a gate that follows from the means of all channels."""
    gate = tf_keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{block.name}_se_pool")(x)
    gate = _biased_conv(gate, f"{block.name}_se_reduce", block.se_channels, activation)
    gate = _biased_conv(gate, f"{block.name}_se_expand", block.hidden, gate_activation)
    return tf_keras.layers.Multiply(name=f"{block.name}_se_mul")([x, gate])


def dense_initializer() -> tf_keras.initializers.Initializer:
    """Uniform within 1 / sqrt(classes) of 0."""
    return tf_keras.initializers.VarianceScaling(1.0 / 3.0, mode="fan_out", distribution="uniform")


def _biased_conv(x: tf.Tensor, name: str, channels: int, activation: Activation) -> tf.Tensor:
    x = tf_keras.layers.Conv2D(channels, 1, padding="same", kernel_initializer=_conv_initializer(), name=name)(x)
    return _activate(x, name, activation)


def _batch_norm(x: tf.Tensor, name: str) -> tf.Tensor:
    return tf_keras.layers.BatchNormalization(epsilon=BN_EPSILON, momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def _activate(x: tf.Tensor, name: str, kind: Activation) -> tf.Tensor:
    """A ReLU layer for ReLU6, because quantization-aware training knows that one."""
    layer = (
        tf_keras.layers.ReLU(6.0, name=f"{name}_act")
        if kind == "relu6"
        else tf_keras.layers.Activation(kind, name=f"{name}_act")
    )
    return layer(x)


def _conv_initializer() -> tf_keras.initializers.Initializer:
    """N(0, sqrt(2 / (kh * kw * out))); out is 1 for a depthwise kernel."""
    return tf_keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
