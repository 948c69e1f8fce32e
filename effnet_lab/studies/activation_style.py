"""What EfficientNet-Lite took out, measured: int8 with swish and squeeze-and-excitation against ReLU6 and none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.evaluate.compare import paired_difference
from effnet_lab.evaluate.predictions import Predictions, collect_predictions
from effnet_lab.evaluate.predictors import FilePredictor
from effnet_lab.images import ImageSet
from effnet_lab.intervals import share_row
from effnet_lab.litert import Graph, Runner, read_graph, read_info
from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.scaling import get_spec

SCHEMES = {"channel": "static_wi8_ai8", "tensor": "static_wi8_ai8_per_tensor"}  # by granularity of the weights
_BOUNDS = {"relu6": (0.0, 6.0), "logistic": (0.0, 1.0), "softmax": (0.0, 1.0)}

Ranges = dict[str, tuple[float, float]]


def activation_style(
    float_files: Sequence[Path | str],
    images: ImageSet,
    calibration: ImageSet,
    *,
    widenings: Sequence[float] = (1.0,),
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """ACTIVATION_STYLE frame: float and int8 top-1 of each network, per granularity of the weights and widening.

    A widening of k multiplies every calibrated range by k, as far as the activation allows: what ReLU6 gives stays within
    [0, 6], a sigmoid within [0, 1]. Small networks on easy images have narrow ranges; widened to what was published for
    EfficientNet, [-168, 204], they show what such a range costs each style.

    Parameters
    ----------
    float_files : sequence of path
        float32 .tflite files of named variants, see `scaling.STYLES`.
    images, calibration : ImageSet
        All evaluation images are used; calibration is min-max.
    widenings : sequence of float
        1 are the network's own ranges.
    workers : int, optional
        Interpreters that share the images; by default one for each free processor.
    progress : callable, optional
        Wraps the files, as `tqdm` does.

    References
    ----------
    "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, March 2020.
    """
    from effnet_lab.quantize.ranges import Ranging

    rows = []
    for path in progress(float_files) if progress else float_files:
        reference = collect_predictions(path, images, workers=workers)
        own = Ranging(images=calibration).measure(read_bytes(path), reference.info.preprocess, workers=workers).ranges()
        for widening in widenings:
            ranges = widen(read_graph(path), own, widening)
            for granularity in SCHEMES:
                rows.append(_row(path, reference, ranges, granularity, workers) | {"widening": float(widening)})
    return frames.build(frames.ACTIVATION_STYLE, rows)


def widen(graph: Graph, ranges: Ranges, factor: float) -> Ranges:
    """Ranges times `factor`, within what the op that computes the tensor can give; the image keeps its own."""
    made, wide = dict(computing(graph)), {}
    for tensor, (low, high) in ranges.items():
        kind = made[tensor].kind if tensor in made else "input"
        bounds = _BOUNDS.get("relu6" if "relu6" in tensor.split(";")[0].lower() else kind)
        if bounds:
            wide[tensor] = (max(bounds[0], factor * low), min(bounds[1], factor * high))
        else:
            wide[tensor] = (low, high) if kind == "input" else (factor * low, factor * high)
    return wide


def _row(
    path: Path | str, reference: Predictions, ranges: Ranges, granularity: str, workers: int | None
) -> dict[str, Any]:
    from effnet_lab.quantize.ai_edge import requantize
    from effnet_lab.quantize.schemes import get_scheme

    info, names = read_info(path), layer_names(read_graph(path))
    content = requantize(read_bytes(path), get_scheme(SCHEMES[granularity]), ranges)
    answers = collect_predictions(FilePredictor(info=info, runner=Runner(content)), reference.images, workers=workers)
    spec, n = get_spec(info.variant), len(answers)
    widest = max((tensor for tensor in ranges if tensor in names), key=lambda name: ranges[name][1] - ranges[name][0])
    row: dict[str, Any] = {"model": info.model, "granularity": granularity, "activation": spec.activation}
    row |= {"squeeze_excite": bool(spec.se_ratio), "n_images": n}
    for kind, seen in (("float", reference), ("int8", answers)):
        row |= share_row(int(seen.hits.sum()), n, f"{kind}_top1")
    row |= paired_difference(answers, reference)
    return row | {"widest_layer": names[widest], "range_min": ranges[widest][0], "range_max": ranges[widest][1]}
