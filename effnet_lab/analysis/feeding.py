"""What a network is fed with: pictures as it takes them, or arrays in the order and shape of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from effnet_lab.analysis.metrics import Array
from effnet_lab.images import ArraySet, Samples
from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.litert import Graph, ModelInfo
from effnet_lab.litert.input_values import input_slots
from effnet_lab.names import UserError

Sample = tuple[Array, ...]  # one image, or what else a network takes: an array per input, without the batch


def samples_for(images: Samples, graph: Graph, info: ModelInfo) -> Iterator[Sample]:
    """What the network takes of each image, or of each sample of arrays, in order."""
    if isinstance(images, ArraySet):
        return images.fitted(input_slots(graph), info.model).samples()
    _require_pictures(graph, info)
    return images.samples(info.preprocess)


def is_picture(source: object) -> bool:
    """Whether a source is the path of one picture."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() in SUFFIXES


def one_picture(path: Path | str, graph: Graph, info: ModelInfo) -> Sample:
    """What the network takes of one PNG or JPEG."""
    try:
        pixels = decode(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"Cannot read the image {str(path)!r}: {error.strerror}. Give a PNG or JPEG.") from None
    _require_pictures(graph, info)
    assert info.preprocess is not None
    return (info.preprocess(pixels),)


def _require_pictures(graph: Graph, info: ModelInfo) -> None:
    if info.preprocess is None:
        shapes = ", ".join(str(graph.tensors[i].shape) for i in graph.inputs)
        raise UserError(
            f"{info.model} takes no pictures: its input is {shapes}. Give arrays instead, --inputs data.npy."
        )
