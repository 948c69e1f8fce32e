"""What the project writes beside its weights, in every kind of file: name, specification, preprocessing, classes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.models.loaded import LoadedModel
from effnet_lab.names import UserError
from effnet_lab.scaling import NetSpec, Stage, totals
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats

MOST = {
    "blocks": 1000,
    "channels": 100_000,
    "resolution": 10_000,
}  # of a specification from a file
MOST_PARAMS = 300_000_000  # the largest of the family has 66 million
_TYPES: dict[str, Any] = {"int": int, "float": int | float, "str": str, "bool": bool}
KEY = "effnet_lab"  # under which it stands: metadata key, HDF5 data set, or name of a .json


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """All of a `LoadedModel` but the weights."""

    name: str
    spec: NetSpec
    preprocess: Preprocess
    classes: tuple[str, ...]
    fake_quantized: tuple[str, ...] = ()


def to_json(model: LoadedModel) -> str:
    """One line of JSON; the same model gives the same text."""
    about = {
        "name": model.name,
        "spec": asdict(model.family_spec),
        "preprocess": model.preprocess.as_dict(),
        "classes": list(model.classes),
    }
    return json.dumps(about | ({"fake_quantized": list(model.fake_quantized)} if model.fake_quantized else {}))


def from_json(text: str | bytes, source: str) -> About:
    """Reverse of `to_json`, or a `UserError` about `source`."""
    try:
        about = json.loads(text)
        return About(
            name=_texts("name", [about["name"]])[0],
            spec=spec_from_dict(about["spec"]),
            preprocess=Preprocess.from_dict(about["preprocess"]),
            classes=_texts("classes", about["classes"]),
            fake_quantized=_texts("fake_quantized", about.get("fake_quantized", [])),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, UserError):
            raise UserError(f"{source}: {error}") from None
        raise UserError(f"{source}: its effnet-lab metadata lacks or misnames {error}. Save the model again.") from None


def spec_from_dict(values: Mapping[str, Any]) -> NetSpec:
    """Reverse of ``dataclasses.asdict`` on a specification; a network beyond all measure is refused before it is built."""
    stages = tuple(Stage(**_typed(Stage, stage)) for stage in values["stages"])
    spec = NetSpec(**{**_typed(NetSpec, values), "stages": stages})
    sizes = {"blocks": sum(scaled_repeats(spec)), "channels": max(scaled_channels(spec)), "resolution": spec.resolution}
    negative = min(min(scaled_repeats(spec)), min(scaled_channels(spec))) < 0
    for name, most in MOST.items():
        if negative or not 0 < sizes[name] <= most:
            raise UserError(f"the network {spec.name!r} has {sizes[name]:,} {name}; at most {most:,} are accepted.")
    if (params := totals(spec, 1).params) > MOST_PARAMS:
        raise UserError(f"the network {spec.name!r} has {params:,} parameters; at most {MOST_PARAMS:,} are accepted.")
    return spec


def _typed(kind: type[NetSpec | Stage], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of a file, each of the type that its field declares; JSON may hold anything."""
    for field in fields(kind):
        value, wanted = values.get(field.name), _TYPES.get(str(field.type))
        if field.name in values and wanted is not None:
            right = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
            if not right or (isinstance(value, float) and not math.isfinite(value)):
                raise TypeError(f"{field.name} = {str(value)[:40]!r}")
    return values


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} = {str(values)[:40]!r}")
    return tuple(values)
