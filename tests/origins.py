"""Weights as other people's programs write them, from a network of ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

from effnet_lab.models import save_model
from effnet_lab.models.build import network
from effnet_lab.models.variables import assign, variables
from effnet_lab.models.weights import checkpoint, timm
from effnet_lab.quantize.saved_models import export_saved_model


def normalised_as(model, preprocess):
    """The network as whoever trains on these inputs would have it: the same answers, but for half a grey level at the edges."""
    ours = model.preprocess
    values = {name: variable.numpy() for name, variable in variables(model.keras).items()}
    kernel = values["stem_conv/kernel"]
    values["stem_conv_bn/moving_mean"] -= (preprocess.mean - ours.mean) / ours.std * kernel.sum(axis=(0, 1, 2))
    values["stem_conv/kernel"] = kernel * np.float32(preprocess.std / ours.std)
    keras = network(model.family_spec, len(model.classes))
    assign(keras, values, model.name)
    return replace(model, keras=keras, preprocess=preprocess)


def as_timm(model, path):
    """As timm saves them."""
    back = {"kernel": (3, 2, 0, 1), "depthwise_kernel": (2, 3, 0, 1)}
    stored = {}
    for name, theirs in timm.timm_names(model.spec).items():
        values = variables(model.keras)[name].numpy()
        axes = back.get(name.rpartition("/")[2]) if values.ndim == 4 else None
        stored[theirs] = np.ascontiguousarray(values.transpose(axes) if axes else values.T)
    save_file(stored, path)
    return path


def as_checkpoint(model, path):
    """As the original code saves them."""
    names = checkpoint.tf1_names(model.spec)
    stored = {f"scope/{theirs}": variables(model.keras)[name] for name, theirs in names.items()}
    tf.raw_ops.SaveV2(
        prefix=str(path), tensor_names=list(stored), shape_and_slices=[""] * len(stored), tensors=list(stored.values())
    )
    return path


def as_module(model, path):
    """As TF Hub has them, without a classifier."""
    export_saved_model(model, path, "hub-feature-vector")
    return path


def as_keras(model, path):
    """As Keras saves them."""
    save_model(model, path)
    return path


ORIGINS = {  # who writes it, under which name
    "timm": (as_timm, "weights.safetensors"), "tf1": (as_checkpoint, "model.ckpt"), "module": (as_module, "module"),
    "keras": (as_keras, "weights.keras"), "weights.h5": (as_keras, "weights.weights.h5"),
}  # fmt: skip
