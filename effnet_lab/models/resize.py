"""The same weights at another size of image."""

from __future__ import annotations

from dataclasses import replace

from effnet_lab.models.build import network
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.variables import assign, variables
from effnet_lab.names import UserError


def at_size(model: LoadedModel, size_px: int | None) -> LoadedModel:
    """A copy that takes images of this side, px; the model itself where it does already, or None is asked for.

    Crop and interpolation stay what they were: at another size the same part of an image is seen.
    """
    if size_px is None or size_px == model.preprocess.size_px:
        return model
    if model.spec is None or model.fake_quantized:
        raise UserError(f"{model.name} cannot be opened at {size_px} px: its input size is fixed. Leave --size out.")
    spec = replace(model.spec, resolution=size_px)
    keras = network(spec, len(model.classes))
    assign(keras, {name: variable.numpy() for name, variable in variables(model.keras).items()}, model.name)
    return replace(model, spec=spec, keras=keras, preprocess=replace(model.preprocess, size_px=size_px))
