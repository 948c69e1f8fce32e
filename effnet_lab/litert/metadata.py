"""What a .tflite file says about itself: which network, which scheme, which preprocessing, which labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.frames import MODEL_FILE
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.graph import Graph, graph_of
from effnet_lab.litert.input_values import find_preprocess
from effnet_lab.litert.standard_metadata import ENTRY, Standard, append_labels, read_labels, write_standard
from effnet_lab.names import UserError

KEY = "effnet_lab"  # name of our entry in the file's metadata table
_PLAIN = ("model", "scheme", "backend", "variant", "recipe", "io")  # fields of `ModelInfo` that are text


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationSet:
    """The images that fixed the ranges of the activations."""

    name: str
    split: str
    fingerprint: str  # of the images, see `images.ImageSet`
    n_images: int
    method: str  # how a range follows from what was seen: "minmax", ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What travels with every file; for files from elsewhere, what can be read off them."""

    model: str  # name of the weights, or the file's stem
    scheme: str
    backend: str  # which tool quantized it; "" when not known
    preprocess: Preprocess | None  # None: it takes no pictures
    classes: tuple[str, ...]  # empty when the file names none
    variant: str = ""  # specification of the network: lite0, micro2; "" when not known
    recipe: str = ""  # rules, when layers differ in precision
    io: str = ""  # element type of input and output; "" when not known, or they differ
    calibration: CalibrationSet | None = None  # None: no range was measured, or not known
    versions: Mapping[str, str] = field(default_factory=dict)  # of the tools that wrote it

    @property
    def key(self) -> dict[str, str]:
        """The columns `frames.MODEL_FILE` of every row about this file."""
        return {name: getattr(self, name) for name in MODEL_FILE}


def embed_info(content: bytes, info: ModelInfo) -> bytes:
    """The same model with `info` in its metadata table, and with what TFLite Metadata has a field for."""
    tree = parse(content)
    entries = {decode(entry.name): entry for entry in tree.metadata or []}
    fields = {name: getattr(info, name) for name in _PLAIN} | {
        "preprocess": info.preprocess.as_dict() if info.preprocess else None,
        "classes": list(info.classes),
        "calibration": asdict(info.calibration) if info.calibration else None,
        "versions": dict(info.versions),
    }
    written = [(KEY, json.dumps(fields, sort_keys=True).encode())]
    if info.preprocess is not None:
        written.insert(0, (ENTRY, write_standard(_standard(info, info.preprocess))))
    for name, data in written:
        if name not in entries:
            entries[name] = schema.MetadataT(name=name, buffer=len(tree.buffers))
            tree.buffers.append(schema.BufferT())
        tree.buffers[entries[name].buffer].data = np.frombuffer(data, np.uint8)
    tree.metadata = list(entries.values())
    return append_labels(pack(tree), info.classes)


def _standard(info: ModelInfo, preprocess: Preprocess) -> Standard:
    """The same for TFLite Metadata; a guess is not written there, for nothing could say that it is one."""
    known = preprocess.origin != "guessed"
    return Standard(
        name=info.model,
        description=f"{info.variant or info.model}, {info.scheme}, written by effnet-lab",
        size=preprocess.size,
        grey=preprocess.channels == "grey",
        tone=(preprocess.mean, preprocess.std) if known else None,
        labels=info.classes,
    )


def read_info(model: Path | str) -> ModelInfo:
    """Read our entry; for a file without one, TFLite Metadata, its input quantization and its types.

    What a file from elsewhere does not say follows from its input or its first ops, or is a guess: `Preprocess.origin`.
    """
    return info_of(parse(model), model)


def entries_of(tree: schema.ModelT) -> dict[str, bytes]:
    """The file's metadata table, by name."""
    found = {decode(entry.name): tree.buffers[entry.buffer].data for entry in tree.metadata or []}
    return {name: b"" if data is None else bytes(data) for name, data in found.items()}


def info_of(
    tree: schema.ModelT, model: Path | str, content: bytes | None = None, graph: Graph | None = None
) -> ModelInfo:
    """The same for a file that has been parsed; with `content`, `model` is only what it is called; `graph` as of `graph_of`."""
    entries = entries_of(tree)
    if KEY in entries:
        try:
            return _ours(json.loads(entries[KEY]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, UserError) as error:
            raise UserError(
                f"The {KEY!r} metadata of {str(model)!r} is damaged: {str(error) or type(error).__name__}. Export it again."
            ) from None
    graph = graph or graph_of(tree, str(model))
    types = {graph.tensors[i].dtype.name for i in (*graph.inputs, *graph.outputs)}
    return ModelInfo(
        model=Path(model).stem,
        scheme=graph.scheme,
        backend="",
        preprocess=find_preprocess(graph, entries.get(ENTRY, b"")),
        classes=read_labels(read_bytes(model) if content is None else content),
        io=types.pop() if len(types) == 1 else "",
    )


def tell_apart(infos: Sequence[ModelInfo], sources: Sequence[Path | str]) -> list[ModelInfo]:
    """The infos; where several have one key, their models bear the names of their files too, or else their places."""
    keys, names = [info.key for info in infos], [Path(source).name for source in sources]
    places = [name if names.count(name) == 1 else f"{name}, file {i}" for i, name in enumerate(names, 1)]
    return [
        info if keys.count(info.key) == 1 else replace(info, model=f"{info.model} ({place})")
        for info, place in zip(infos, places, strict=True)
    ]


def _ours(fields: dict[str, Any]) -> ModelInfo:
    calibration = fields.get("calibration")  # files of earlier versions lack what came later
    return ModelInfo(
        **{name: fields[name] for name in _PLAIN if name in fields},
        preprocess=Preprocess.from_dict(fields["preprocess"]) if fields["preprocess"] else None,
        classes=tuple(fields["classes"]),
        calibration=CalibrationSet(**calibration) if calibration else None,
        versions=fields.get("versions", {}),
    )
