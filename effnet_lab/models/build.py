"""A specification to a Keras model, with the arithmetic of `scaling` and no other."""

from __future__ import annotations

import sys
from typing import Literal

from effnet_lab.models.conv_layers import conv, dense_initializer, depthwise, squeeze_excite
from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.names import UserError
from effnet_lab.scaling.layers import Block, blocks
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.scaling.variants import get_spec

TOPS = ("logits", "softmax", "features")


def build_model(
    spec: NetSpec | str, classes: int = 1000, top: Literal["logits", "softmax", "features"] = "logits"
) -> tf_keras.Model:
    """Build a network with random weights.

    Layers bear the names of `scaling.layers`; their batch norm and activation add ``_bn`` and ``_act``.

    Parameters
    ----------
    spec : NetSpec or str
        A specification or its name.
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
    spec = get_spec(spec) if isinstance(spec, str) else spec
    deep = 1000 + 40 * sum(scaled_repeats(spec))  # Keras walks a network by recursion
    sys.setrecursionlimit(max(sys.getrecursionlimit(), deep))
    stem, *_stages, head = scaled_channels(spec)
    image = tf_keras.layers.Input((spec.resolution, spec.resolution, 3), name="input")
    x = conv(image, "stem_conv", stem, spec.activation, kernel=3, stride=2)
    for block in blocks(spec):
        x = _block(x, block, spec.activation)
    x = conv(x, "head_conv", head, spec.activation)
    x = tf_keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    if top != "features":
        x = tf_keras.layers.Dropout(spec.dropout, name="head_dropout")(x)
        x = tf_keras.layers.Dense(classes, kernel_initializer=dense_initializer(), name="head_dense")(x)
    if top == "softmax":
        x = tf_keras.layers.Softmax(name="head_softmax")(x)
    return tf_keras.Model(image, x, name=spec.name)


def network(spec: NetSpec, classes: int) -> tf_keras.Model:
    """Network with random weights; with 0 classes it ends at the pooled features."""
    return build_model(spec, classes) if classes else build_model(spec, top="features")


def _block(x: tf.Tensor, block: Block, activation: str) -> tf.Tensor:
    """Expansion, depthwise, squeeze-and-excitation, projection, skip: each where the block has it."""
    entry, name = x, block.name
    if block.expansion != 1:
        x = conv(x, f"{name}_expand", block.hidden, activation)
    x = depthwise(x, block, activation)
    if block.se_channels:
        x = squeeze_excite(x, block, activation, "sigmoid")
    x = conv(x, f"{name}_project", block.out_channels, None)
    if not block.skip:
        return x
    if block.survival < 1.0:
        x = tf_keras.layers.Dropout(1.0 - block.survival, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return tf_keras.layers.Add(name=f"{name}_add")([x, entry])
