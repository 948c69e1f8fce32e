"""SavedModel and TF Hub module folders: their variables, and the size that their signature takes. No graph is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from effnet_lab.models.loaded import LoadedModel
from effnet_lab.models.quiet_tensorflow import tf
from effnet_lab.models.weights import about, checkpoint, origins
from effnet_lab.models.weights.assemble import assemble
from effnet_lab.models.weights.mapping import fit, reason, variable_shapes
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.scaling import LITE, VARIANTS

ABOUT_FILE = f"assets.extra/{about.KEY}.json"  # TensorFlow keeps this folder for what is not its own
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_OURS = re.compile(r"(?:.*/)?((?:stem_conv|blocks_\d+_[a-z_]+|head_conv|head_dense)(?:_bn)?/[a-z_]+)")
_HUB_SIGNATURES = ("image_feature_vector", "image_classification")


def load(path: Path, variant: str | None = None) -> LoadedModel:
    """Load the variables of a folder that holds saved_model.pb.

    Named as the original names them (TF1 SavedModels and TF Hub modules, under any scope, averages if there are any), or as
    this project does. A feature-vector module has no classifier: its model ends at the pooled features and has no classes.
    """
    signatures = _signatures(path)
    tensors = _variables(path)
    known = _about(path)
    if "stem_conv/kernel" in tensors:
        names, candidates = (lambda spec: {name: name for name in variable_shapes(spec, 1)}), VARIANTS
    else:
        tensors, names, candidates = checkpoint.own_variables(tensors, str(path)), checkpoint.tf1_names, LITE
    if known:
        candidates = {known.spec.name: known.spec}
    spec, found = fit(tensors, names, source=str(path), variant=variant, candidates=candidates, headless=True)
    if known:
        return assemble(known.spec, found, known.preprocess, source=str(path), name=known.name, classes=known.classes)
    is_hub = (path / "tfhub_module.pb").is_file() or any(name in signatures for name in _HUB_SIGNATURES)
    side = next((side for side in signatures.values() if side), None)
    return assemble(spec, found, (origins.hub if is_hub else origins.original)(spec, side), source=str(path))


def write_about(model: LoadedModel, path: Path) -> None:
    """Leave name, specification, preprocessing and classes in an exported SavedModel folder, for `load`."""
    write_atomically(path / ABOUT_FILE, about.to_json(model).encode())


def _about(path: Path) -> about.About | None:
    file = path / ABOUT_FILE
    return about.from_json(file.read_bytes(), str(file)) if file.is_file() else None


def _variables(path: Path) -> dict[str, NDArray[Any]]:
    prefix = path / "variables" / "variables"
    if not prefix.with_name("variables.index").is_file():
        raise UserError(f"{path} is not a SavedModel with weights: {prefix}.index is missing. Copy the whole folder.")
    tensors = checkpoint.read(prefix)
    graph = _object_graph(prefix)
    if graph is None:
        return tensors
    named = {full: tensors[key] for full, key in graph.items() if key in tensors}
    return _without_scope(named)


def _without_scope(named: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Our variables without the scope of a model around them; everything as it is when none is ours."""
    plain = {name: values for name, values in named.items() if _OURS.fullmatch(name) and name.count("/") == 1}
    if plain:
        return plain
    found = {match[1]: values for name, values in named.items() if (match := _OURS.fullmatch(name))}
    return found if "stem_conv/kernel" in found else dict(named)


def _object_graph(prefix: Path) -> dict[str, str] | None:
    """{name that a variable was made with: its key in a TF2 checkpoint}; None for a TF1 checkpoint."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        if not reader.has_tensor(_GRAPH):
            return None
        graph.ParseFromString(reader.get_tensor(_GRAPH))
    except (tf.errors.OpError, DecodeError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"Cannot read {prefix}.index: {reason(error)}. Copy or download the folder again.") from None
    return {a.full_name: a.checkpoint_key for node in graph.nodes for a in node.attributes}


def _signatures(path: Path) -> dict[str, int | None]:
    """Signatures, and the side of the square images that each takes, px; None where it takes any."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise UserError(
            f"Cannot read {path / 'saved_model.pb'}: {reason(error)}. Copy or download the folder again."
        ) from None
    sides: dict[str, int | None] = {}
    for graph in model.meta_graphs:
        for name, signature in graph.signature_def.items():
            shapes = [[dim.size for dim in tensor.tensor_shape.dim] for tensor in signature.inputs.values()]
            images = [shape for shape in shapes if len(shape) == 4 and shape[3] == 3 and shape[1] == shape[2] > 0]
            sides[name] = sides.get(name) or (images[0][1] if images else None)
    return sides
