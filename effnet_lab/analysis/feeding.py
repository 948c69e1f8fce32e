"""One sample of what a network takes, and one from a single picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from effnet_lab.analysis.metrics import Array
from effnet_lab.images import ImageSet
from effnet_lab.images.decode import SUFFIXES, decode
from effnet_lab.litert import Graph, ModelInfo, fit_samples
from effnet_lab.names import UserError

Sample = tuple[Array, ...]  # one image, or what else a network takes: an array per input, without the batch


def is_picture(source: object) -> bool:
    """Whether a source is the path of one picture."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() in SUFFIXES


def one_picture(path: Path | str, graph: Graph, info: ModelInfo) -> Sample:
    """What the network takes of one PNG or JPEG."""
    try:
        pixels = decode(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"Cannot read the image {str(path)!r}: {error.strerror}. Give a PNG or JPEG.") from None
    picture = ImageSet(
        name=str(path), split="all", classes=(), labels=np.zeros(1, np.int64), read=lambda _: pixels, fingerprint=""
    )
    return next(iter(fit_samples(picture, graph, info).samples(info.preprocess)))
