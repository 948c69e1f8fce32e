"""What a .tflite file says about itself: which network, which scheme, which preprocessing, which labels."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.litert.flatbuffer import decode, pack, parse, read_bytes
from effnet_lab.litert.graph import Tensor, read_graph

KEY = "effnet_lab"  # name of our entry in the file's metadata table


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What travels with every file; for files from elsewhere, what can be read off them."""

    model: str  # variant name, or the file's stem
    scheme: str
    backend: str  # which tool quantized it; "" when not known
    preprocess: Preprocess
    classes: tuple[str, ...]  # empty when the file names none


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

    In a quantized file from elsewhere a pixel is taken to *be* its code (uint8), or its code plus 128 (int8), which gives
    mean and standard deviation; a float input is taken to want the original ``(x - 127) / 128``.
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
    graph = read_graph(model)
    return ModelInfo(
        model=Path(model).stem,
        scheme=graph.scheme,
        backend="",
        preprocess=_guess_preprocess(graph.tensors[graph.inputs[0]]),
        classes=_associated_labels(read_bytes(model)),
    )


def _guess_preprocess(tensor: Tensor) -> Preprocess:
    size_px = tensor.shape[1]
    if not tensor.quantized:
        return Preprocess(size_px=size_px)
    first_code = np.iinfo(tensor.dtype).min
    return Preprocess(
        size_px=size_px, mean=float(tensor.zero_point[0] - first_code), std=round(1.0 / float(tensor.scale[0]), 3)
    )


def _associated_labels(content: bytes) -> tuple[str, ...]:
    """TFLite Metadata appends a zip archive of associated files; the labels are the first .txt in it."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return ()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        return tuple(archive.read(names[0]).decode("utf-8").split("\n")) if names else ()
