"""What a network computes on its way: pooled features, any named endpoint, a pyramid of maps."""

from __future__ import annotations

from collections.abc import Sequence

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf_keras
from effnet_lab.names import UserError, lookup
from effnet_lab.scaling import NetSpec
from effnet_lab.scaling.layers import blocks

POOLED = "pooled_features"


def endpoint_layers(spec: NetSpec) -> dict[str, str]:
    """{endpoint as the original names it: layer of `build_model` that computes it}.

    ``stem``, ``block_i`` (or ``blocks_i``) and ``block_i/expansion_output`` (the activated depthwise convolution),
    ``reduction_1`` to ``reduction_5`` for the last block before each halving of the map, ``features`` (the last block),
    ``head_1x1``, ``pooled_features`` (or ``global_pool``) and ``head``, the logits.
    Source: tensorflow/tpu, models/official/efficientnet/efficientnet_model.py, Model.call.
    """
    found, reduction, run = {"stem": "stem_conv_act"}, 0, blocks(spec)
    for i, block in enumerate(run):
        names = [f"block_{i}", f"blocks_{i}"]
        if i + 1 == len(run) or run[i + 1].stride > 1:
            reduction += 1
            names.append(f"reduction_{reduction}")
        for name in names:
            found[name] = f"{block.name}_add" if block.skip else f"{block.name}_project_bn"
            found[f"{name}/expansion_output"] = f"{block.name}_dwconv_act"
    found["features"] = found[f"block_{len(run) - 1}"]
    return found | {"head_1x1": "head_conv_act", POOLED: "head_pool", "global_pool": "head_pool", "head": "head_dense"}


def features_model(
    model: LoadedModel, endpoints: str | Sequence[str] | None = None, *, features_only: bool = False
) -> tf_keras.Model:
    """Network that shares the weights of `model` and ends earlier.

    Parameters
    ----------
    model : LoadedModel
    endpoints : str or sequence of str, optional
        Names of `endpoint_layers`, or of Keras layers; the pooled features by default.
    features_only : bool
        The pyramid instead: the last map at every stride, ``reduction_1`` to ``reduction_5``, strides 2 to 32.

    Returns
    -------
    tf_keras.Model
        Of images as `model.preprocess` gives them. One output (n, channels) or (n, h, w, channels) for one name, a tuple
        of them, in the order asked for, for several.
    """
    if features_only and endpoints is not None:
        raise UserError("Give either endpoints or features_only, not both.")
    if features_only:
        endpoints = [
            name for name in endpoint_layers(model.family_spec) if name.startswith("reduction_") and "/" not in name
        ]
    names = [endpoints or POOLED] if isinstance(endpoints, str | None) else list(endpoints)
    if not names:
        raise UserError(f"Name at least one endpoint, such as {POOLED!r}.")
    layers = {layer.name: layer.name for layer in model.keras.layers}
    known = {name: layer for name, layer in endpoint_layers(model.family_spec).items() if layer in layers}
    outputs = tuple(model.keras.get_layer(lookup("endpoint", name, known | layers)).output for name in names)
    single = isinstance(endpoints, str | None)
    return tf_keras.Model(
        model.keras.input, outputs[0] if single else outputs, name=f"{model.family_spec.name}_features"
    )
