"""What a .tflite file says about itself: which network, which scheme, which preprocessing, which labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.frames import MODEL_FILE
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.graph import Graph, Tensor, graph_of
from effnet_lab.litert.standard_metadata import (
    ENTRY,
    Standard,
    append_labels,
    read_labels,
    read_normalisation,
    write_standard,
)
from effnet_lab.names import UserError

KEY = "effnet_lab"  # name of our entry in the file's metadata table
_PLAIN = ("model", "scheme", "backend", "variant", "recipe", "io")  # fields of `ModelInfo` that are text
# (mean, standard deviation) in grey levels
LITE, SYMMETRIC, UNIT, RAW = (127.0, 128.0), (127.5, 127.5), (0.0, 255.0), (0.0, 1.0)


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
    preprocess: Preprocess
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
        "preprocess": info.preprocess.as_dict(),
        "classes": list(info.classes),
        "calibration": asdict(info.calibration) if info.calibration else None,
        "versions": dict(info.versions),
    }
    standard = Standard(
        name=info.model,
        description=f"{info.variant or info.model}, {info.scheme}, written by effnet-lab",
        size_px=info.preprocess.size_px,
        mean=info.preprocess.mean,
        std=info.preprocess.std,
        labels=info.classes,
    )
    for name, data in ((ENTRY, write_standard(standard)), (KEY, json.dumps(fields, sort_keys=True).encode())):
        if name not in entries:
            entries[name] = schema.MetadataT(name=name, buffer=len(tree.buffers))
            tree.buffers.append(schema.BufferT())
        tree.buffers[entries[name].buffer].data = np.frombuffer(data, np.uint8)
    tree.metadata = list(entries.values())
    return append_labels(pack(tree), info.classes)


def read_info(model: Path | str) -> ModelInfo:
    """Read our entry; for a file without one, TFLite Metadata, its input quantization and its types.

    What a file from elsewhere does not say is guessed; `effnet-lab audit-preprocess` tests the guess on labelled images.
    """
    return info_of(parse(model), model)


def info_of(tree: schema.ModelT, model: Path | str) -> ModelInfo:
    """The same for a file that has been parsed."""
    entries = {decode(entry.name): bytes(tree.buffers[entry.buffer].data) for entry in tree.metadata or []}
    if KEY in entries:
        try:
            return _ours(json.loads(entries[KEY]))
        except (ValueError, LookupError, TypeError, AttributeError, UserError) as error:
            raise UserError(
                f"The {KEY!r} metadata of {str(model)!r} is damaged: {str(error) or type(error).__name__}. Export it again."
            ) from None
    graph = graph_of(tree, str(model))
    types = {graph.tensors[i].dtype.name for i in (*graph.inputs, *graph.outputs)}
    return ModelInfo(
        model=Path(model).stem,
        scheme=graph.scheme,
        backend="",
        preprocess=_guess_preprocess(graph, entries.get(ENTRY, b"")),
        classes=read_labels(read_bytes(model)),
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


def _ours(fields: dict) -> ModelInfo:
    calibration = fields.get("calibration")  # files of earlier versions lack what came later
    return ModelInfo(
        **{name: fields[name] for name in _PLAIN if name in fields},
        preprocess=Preprocess.from_dict(fields["preprocess"]),
        classes=tuple(fields["classes"]),
        calibration=CalibrationSet(**calibration) if calibration else None,
        versions=fields.get("versions", {}),
    )


def _guess_preprocess(graph: Graph, standard: bytes) -> Preprocess:
    """Crop and interpolation are the original's; mean and standard deviation are the file's own statement.

    Without one they follow from the input. A float input is taken to want ``(x - 127) / 128``, or values in [0, 1] if the
    graph begins by normalising them. A quantized input says which values it can hold: those of one of the usual
    normalisations, perhaps with a margin.
    """
    tensor = graph.tensors[graph.inputs[0]]
    stated = read_normalisation(standard)
    if stated is not None and stated[1] > 0 and _holds(tensor, *stated):
        mean, std = stated
    elif not tensor.quantized:
        mean, std = UNIT if graph.ops[0].kind in ("mul", "div", "add", "sub") else LITE
    else:
        mean, std = _usual(float(tensor.scale[0]), float(tensor.zero_point[0]) - np.iinfo(tensor.dtype).min)
    return Preprocess(size_px=tensor.shape[1], mean=mean, std=std)


def _holds(tensor: Tensor, mean: float, std: float) -> bool:
    """Whether most grey levels fit a quantized input; where they do not, the statement is about something else."""
    if not tensor.quantized:
        return True
    grey = (np.arange(256) - mean) / std / tensor.scale[0] + tensor.zero_point[0]
    limits = np.iinfo(tensor.dtype)
    return bool(np.mean((grey >= limits.min - 1) & (grey <= limits.max + 1)) > 0.5)


def _usual(scale: float, zero: float) -> tuple[float, float]:
    """Mean and standard deviation, grey levels, of the usual normalisation whose values an input of 256 codes holds."""
    for mean, std in (LITE, SYMMETRIC, UNIT, RAW):
        if abs(scale * std - 1) < 0.002 and abs(zero - mean) <= 0.5:  # the code of a pixel is the pixel
            return mean, std
    low, high = -zero * scale, (255 - zero) * scale
    if low < -0.1 * high:
        return LITE
    return UNIT if high < 2 else RAW
