"""What a .tflite file says about itself: which network, which scheme, which preprocessing, which labels."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.frames import MODEL_FILE
from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.graph import Graph, graph_of

KEY = "effnet_lab"  # name of our entry in the file's metadata table
# (mean, standard deviation) in grey levels
LITE, SYMMETRIC, UNIT, RAW = (127.0, 128.0), (127.5, 127.5), (0.0, 255.0), (0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What travels with every file; for files from elsewhere, what can be read off them."""

    model: str  # variant name, or the file's stem
    scheme: str
    backend: str  # which tool quantized it; "" when not known
    preprocess: Preprocess
    classes: tuple[str, ...]  # empty when the file names none

    @property
    def key(self) -> dict[str, str]:
        """The columns `frames.MODEL_FILE` of every row about this file."""
        return {name: getattr(self, name) for name in MODEL_FILE}


def embed_info(content: bytes, info: ModelInfo) -> bytes:
    """The same model with `info` in its metadata table."""
    tree = parse(content)
    text = json.dumps(
        {
            "model": info.model,
            "scheme": info.scheme,
            "backend": info.backend,
            "preprocess": info.preprocess.as_dict(),
            "classes": list(info.classes),
        },
        sort_keys=True,
    )
    entry = schema.MetadataT(name=KEY, buffer=len(tree.buffers))
    tree.buffers.append(schema.BufferT(data=np.frombuffer(text.encode(), np.uint8)))
    tree.metadata = [*(tree.metadata or []), entry]
    return pack(tree)


def read_info(model: Path | str) -> ModelInfo:
    """Read our entry; for a file without one, its input quantization, its associated labels and its types.

    What a file from elsewhere does not say is guessed; `effnet-lab audit-preprocess` tests the guess on labelled images.
    """
    tree = parse(model)
    for entry in tree.metadata or []:
        if decode(entry.name) == KEY:
            fields = json.loads(bytes(tree.buffers[entry.buffer].data))
            return ModelInfo(
                model=fields["model"],
                scheme=fields["scheme"],
                backend=fields["backend"],
                preprocess=Preprocess.from_dict(fields["preprocess"]),
                classes=tuple(fields["classes"]),
            )
    graph = graph_of(tree, str(model))
    return ModelInfo(
        model=Path(model).stem,
        scheme=graph.scheme,
        backend="",
        preprocess=_guess_preprocess(graph),
        classes=_associated_labels(read_bytes(model)),
    )


def _guess_preprocess(graph: Graph) -> Preprocess:
    """Crop and interpolation are the original's; mean and standard deviation follow from the input.

    A float input is taken to want ``(x - 127) / 128``, or values in [0, 1] if the graph begins by normalising them. A
    quantized input says which values it can hold: those of one of the usual normalisations, perhaps with a margin.
    """
    tensor = graph.tensors[graph.inputs[0]]
    if not tensor.quantized:
        mean, std = UNIT if graph.ops[0].kind in ("mul", "div", "add", "sub") else LITE
    else:
        mean, std = _usual(float(tensor.scale[0]), float(tensor.zero_point[0]) - np.iinfo(tensor.dtype).min)
    return Preprocess(size_px=tensor.shape[1], mean=mean, std=std)


def _usual(scale: float, zero: float) -> tuple[float, float]:
    """Mean and standard deviation, grey levels, of the usual normalisation whose values an input of 256 codes holds."""
    for mean, std in (LITE, SYMMETRIC, UNIT, RAW):
        if abs(scale * std - 1) < 0.002 and abs(zero - mean) <= 0.5:  # the code of a pixel is the pixel
            return mean, std
    low, high = -zero * scale, (255 - zero) * scale
    if low < -0.1 * high:
        return LITE
    return UNIT if high < 2 else RAW


def _associated_labels(content: bytes) -> tuple[str, ...]:
    """TFLite Metadata appends a zip archive of associated files; the labels are the first .txt in it."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return ()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        return tuple(archive.read(names[0]).decode("utf-8").split("\n")) if names else ()
