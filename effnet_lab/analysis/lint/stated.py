"""What a file says about itself against what stands in its tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from effnet_lab.analysis.lint.rules import Finding
from effnet_lab.images.preprocess import Grey
from effnet_lab.litert import Graph, ModelInfo, Tensor
from effnet_lab.litert.flatbuffer import Tree
from effnet_lab.litert.input_values import LITE, RAW, SYMMETRIC, UNIT
from effnet_lab.litert.metadata import KEY, entries_of
from effnet_lab.litert.standard_metadata import ENTRY, read_normalisation

_USUAL = (LITE, SYMMETRIC, UNIT, RAW)
_MISSED = 0.1  # share of the grey levels that an input may clip: few calibration images reach black and white
_UNUSED = 0.35  # share of the input's codes that no grey level needs; the bicubic kernel overshoots by up to 0.25


def normalisation(tree: Tree, info: ModelInfo) -> tuple[Grey, Grey] | None:
    """(mean, standard deviation) as the file states them, whether its input can hold that or not; None without a statement."""
    entries = entries_of(tree)
    if KEY in entries:
        return (info.preprocess.mean, info.preprocess.std) if info.preprocess else None
    return read_normalisation(entries[ENTRY]) if ENTRY in entries else None


def check(graph: Graph, info: ModelInfo, stated: tuple[Grey, Grey] | None) -> Iterator[Finding]:
    """M801 to M806.

    `stated`: what `normalisation` reads; without it `info` is a guess, and only its `classes` count.
    """
    image, scores = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if stated is None and info.preprocess is not None:
        yield Finding(id="M801", op=None, evidence="no entry of effnet-lab, no TFLite Metadata")
    outputs = scores.shape[-1] if scores.shape else 0
    if info.classes and len(info.classes) != outputs:
        yield Finding(id="M802", op=None, evidence=f"{len(info.classes)} labels, {outputs} outputs")
    if stated is not None:
        yield from _against_statement(graph, info, image, *stated)
    elif info.preprocess and image.quantized and all(_misfit(image, *usual) for usual in _USUAL):
        yield Finding(id="M806", op=None, evidence=f"the input holds {_span(image)}; tried 4 usual normalisations")


def _against_statement(graph: Graph, info: ModelInfo, image: Tensor, means: Grey, stds: Grey) -> Iterator[Finding]:
    said = info.preprocess
    if image.quantized and np.all(stds):
        mean, std = np.broadcast_arrays(means, stds)
        whys = [_misfit(image, float(m), float(s)) for m, s in zip(mean.flat, std.flat, strict=True)]
        if why := next(filter(None, whys), None):
            yield Finding(id="M803", op=None, evidence=why)
    found, named = graph.scheme, info.scheme
    if found != named and not (found.startswith(named) or named.startswith(found)) and not info.recipe:
        yield Finding(id="M804", op=None, evidence=f"stated {named}, the types say {found}")
    if said and len(image.shape) == 4 and said.size_px not in image.shape[1:]:
        evidence = f"stated {said.size_px} px, the input takes {image.shape[1]}x{image.shape[2]}"
        yield Finding(id="M805", op=None, evidence=evidence)


def _ends(tensor: Tensor) -> tuple[float, float]:
    limits = np.iinfo(tensor.dtype)
    low, high = (float(tensor.scale[0]) * (code - int(tensor.zero_point[0])) for code in (limits.min, limits.max))
    return low, high


def _span(tensor: Tensor) -> str:
    low, high = _ends(tensor)
    return f"{low:.4g} to {high:.4g}"


def _misfit(tensor: Tensor, mean: float, std: float) -> str | None:
    """Why grey levels 0 to 255, normalised so, do not fit the values that the input can hold; None if they do."""
    low, high = _ends(tensor)
    first, last = ((grey - mean) / std for grey in (0.0, 255.0))
    missed = (max(low - first, 0) + max(last - high, 0)) / (last - first)
    unused = (max(first - low, 0) + max(high - last, 0)) / (high - low) if high > low else 1.0
    text = f"(x - {mean:g}) / {std:g} gives {first:.4g} to {last:.4g}, the input holds {_span(tensor)}"
    if missed > _MISSED:
        return f"{text}: {missed:.0%} of the range is clipped"
    if unused > _UNUSED and tensor.dtype.itemsize == 1:  # 16 bits have codes to spare
        return f"{text}: {unused:.0%} of the codes stay unused"
    return None
