"""Keras files of this project: .keras, .h5 and .weights.h5. Weights are read, configurations never brought to life."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.weights import about, origins
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.mapping import fit, reason, variable_shapes
from effnet_lab.names import UserError
from effnet_lab.paths import scratch_folder, write_atomically
from effnet_lab.scaling import VARIANTS, NetSpec

SUFFIXES = (".keras", ".weights.h5", ".h5", ".hdf5")
MOST_BYTES = 2_000_000_000  # of one array, or of one member of a .keras
_MEMBER = f"{about.KEY}.json"
_LAYERS = {  # classes of layers that this project's networks are made of
    "InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Activation", "Add", "Multiply", "Dropout",
    "GlobalAveragePooling2D", "Dense", "Softmax",
}  # fmt: skip
_SNAKE = {"kernel": "conv2d", "depthwise_kernel": "depthwise_conv2d"}  # how Keras' new format calls layers


def save(model: LoadedModel, path: Path) -> None:
    """Write the format that the suffix names, with our metadata inside; Keras reads these files like its own."""
    if model.fake_quantized:
        raise UserError(
            f"Keras cannot load a network with fake quantization. Save it as .safetensors. Got {str(path)!r}."
        )
    with scratch_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras calls .h5 legacy
        file = folder / f"model{_suffix(path)}"
        (model.keras.save_weights if _suffix(path) == ".weights.h5" else model.keras.save)(str(file))
        text = about.to_json(model).encode()
        if _suffix(path) == ".keras":
            with zipfile.ZipFile(file, "a") as archive:
                archive.writestr(_MEMBER, text)
        else:
            with h5py.File(file, "a") as store:
                store.create_dataset(about.KEY, data=np.frombuffer(text, np.uint8))
        write_atomically(path, file.read_bytes())


def load(path: Path, variant: str | None = None) -> LoadedModel:
    """Load one of the three formats.

    A file without our metadata is recognised by the names of its layers, as `build_model` gives them, and taken to want
    the original preprocessing.
    """
    try:
        if _suffix(path) == ".keras":
            with zipfile.ZipFile(path) as archive:
                config, text, store = (
                    _member(archive, name, path) for name in ("config.json", _MEMBER, "model.weights.h5")
                )
            with h5py.File(io.BytesIO(store or b"")) as weights:
                return _load(weights, config, text, path, variant)
        with h5py.File(path) as weights:
            kept = _stored(weights, about.KEY, path)
            text = None if kept is None else bytes(_array(kept, path))
            return _load(weights, weights.attrs.get("model_config"), text, path, variant)
    except (zipfile.BadZipFile, OSError, KeyError, RuntimeError, EOFError) as error:
        raise UserError(f"Cannot read {path} as a Keras file: {reason(error)}. Save or download it again.") from None


def _load(
    weights: h5py.File, config: str | bytes | None, text: bytes | None, path: Path, variant: str | None
) -> LoadedModel:
    side = _check_config(config, path)
    known = about.from_json(text, str(path)) if text else None
    candidates = {known.spec.name: known.spec} if known else VARIANTS
    by_layer = _stored(weights, "layers", path) is None
    tensors = dict(
        _by_name(_stored(weights, "model_weights", path) or weights, path) if by_layer else _by_number(weights, path)
    )
    names = _own_names if by_layer else _numbered_names
    spec, found = fit(tensors, names, source=str(path), variant=variant, candidates=candidates, headless=True)
    if known:
        return assemble(known.spec, found, known.preprocess, source=str(path), name=known.name, classes=known.classes)
    return assemble(spec, found, origins.original(spec, side), source=str(path))


def _check_config(config: str | bytes | None, path: Path) -> int | None:
    """Refuse layers that are not ours; side of the input, if the configuration says it."""
    if config is None:
        return None
    try:
        entries = list(_layers(json.loads(config)))
        kinds = {str(entry.get("class_name")) for entry in entries}
        inputs = [entry["config"] for entry in entries if entry.get("class_name") == "InputLayer"]
        shapes = [values.get("batch_input_shape") or values.get("batch_shape") for values in inputs]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its configuration is damaged: {reason(error)}. Save it again.") from None
    if "Lambda" in kinds:
        raise UserError(
            f"{path} has a Lambda layer, which is code: it is never executed. Save the weights alone instead."
        )
    if foreign := sorted(kinds - _LAYERS):
        raise UserError(
            f"{path} has layers that no network of this project has: {', '.join(foreign[:3])}. Give another file."
        )
    sides = [shape[1] for shape in shapes if isinstance(shape, list) and len(shape) == 4]
    return sides[0] if sides and isinstance(sides[0], int) else None


def _layers(node: object) -> Iterator[dict[str, Any]]:
    """Every layer's entry, at any depth; models inside models are looked into."""
    if isinstance(node, dict):
        inner = node.get("layers")
        for entry in inner if isinstance(inner, list) else ():
            if not (isinstance(entry.get("config"), dict) and "layers" in entry["config"]):
                yield entry
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from _layers(child)


def _by_name(group: h5py.Group, path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Keras' old layout: layer/layer/variable:0."""
    for place, item in _datasets(group):
        if place != about.KEY:
            yield f"{place.split('/')[0]}/{place.rsplit('/', 1)[-1].split(':')[0]}", _array(item, path)


def _by_number(weights: h5py.File, path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Keras' new layout: layers/conv2d_7/vars/0."""
    return ((place, _array(item, path)) for place, item in _datasets(weights["layers"]))


def _stored(group: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset | None:
    """What lies in this very file under a name; links out of it are not followed."""
    link = group.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise UserError(f"{path}: {name!r} is a link to somewhere else, which is never followed. Save it again.")
    return None if link is None else group[name]


def _datasets(group: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    found = []
    group.visititems(lambda place, item: found.append((place, item)) if isinstance(item, h5py.Dataset) else None)
    return found


def _array(item: h5py.Dataset, path: Path) -> NDArray[Any]:
    if item.is_virtual or item.external or item.nbytes > MOST_BYTES or item.dtype.kind not in "fiu":
        raise UserError(f"{path}: {item.name} is not a plain array of numbers stored in this file. Save it again.")
    values: NDArray[Any] = item[()]
    return values


def _own_names(spec: NetSpec) -> dict[str, str]:
    return {name: name for name in variable_shapes(spec, 1)}


def _numbered_names(spec: NetSpec) -> dict[str, str]:
    """Layers of one class are counted in forward order, and the variables of a layer are."""
    names: dict[str, str] = {}
    numbers: dict[str, str] = {}
    seen: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for variable in variable_shapes(spec, 1):
        layer, own = variable.rsplit("/", 1)
        if layer not in numbers:
            kind = "batch_normalization" if layer.endswith("_bn") else "dense" if layer == "head_dense" else _SNAKE[own]
            numbers[layer] = f"{kind}_{seen[kind]}" if seen[kind] else kind
            seen[kind] += 1
        names[variable] = f"{numbers[layer]}/vars/{places[layer]}"
        places[layer] += 1
    return names


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes | None:
    if name not in archive.namelist():
        return None
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise UserError(f"{path}: its member {name} is larger than {MOST_BYTES:,} bytes. Save it again.")
    return archive.read(name)


def _suffix(path: Path) -> str:
    return next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
