"""The repairs one after the other, and the quantized file that each of them leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from effnet_lab.analysis.repair.bias import correct_biases
from effnet_lab.analysis.repair.clip import clip_outliers
from effnet_lab.analysis.repair.equalize import equalize
from effnet_lab.analysis.repair.moments import Moments, measure_moments
from effnet_lab.images import Preprocess, Samples
from effnet_lab.litert import read_graph
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import write_atomically

STEPS = {  # in the order in which they are taken
    "equalize": "cross-layer equalization: the float network stays the same function",
    "clip": "outlying weights are clipped before rounding",
    "bias": "the mean error of each rounded kernel is taken off the bias of the quantized file",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RepairStage:
    """The network after some of the repairs."""

    steps: tuple[str, ...]
    float_content: bytes  # float32 .tflite that was quantized
    quantized: bytes  # .tflite

    @property
    def name(self) -> str:
        """The steps in one word: "equalize+clip", or "none"."""
        return "+".join(self.steps) or "none"


def repair_stages(
    float_content: bytes,
    images: Samples,
    preprocess: Preprocess | None,
    quantize: Callable[[bytes], bytes],
    *,
    steps: Sequence[str] = tuple(STEPS),
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Iterator[RepairStage]:
    """Quantize a float network as it is, then after every further repair; the last stage has them all.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    images : Samples
        For calibration, as the network takes them; never evaluation images.
    preprocess : Preprocess
    quantize : callable
        Float file to quantized file, for example `quantize.requantize` with a scheme; it is called once per stage.
    steps : sequence of "equalize", "clip", "bias"
        Taken in this order, whatever order they are given in.
    progress : callable, optional
        Wraps the calibration images, as `tqdm` does.
    """
    images.require_calibration()
    wanted = [name for name in steps if lookup("repair", name, STEPS)]
    chosen = tuple(name for name in STEPS if name in wanted)
    if (scheme := read_graph(float_content).scheme) != "float32":
        raise UserError(f"Repairs start from a float32 file. Got {scheme}. Export one with --format float32.")
    return _stages(float_content, chosen, quantize, partial(_measure, images, preprocess, progress))


def write_stages(stages: Iterable[RepairStage], folder: Path | str) -> dict[str, Path]:
    """The quantized file of every stage, by its name: "none", "equalize", "equalize+bias"."""
    paths = {}
    for stage in stages:
        paths[stage.name] = Path(folder) / f"repaired.{stage.name}.tflite"
        write_atomically(paths[stage.name], stage.quantized)
    return paths


def _measure(
    images: Samples, preprocess: Preprocess | None, progress: Callable[..., Iterable[Any]] | None, content: bytes
) -> dict[str, Moments]:
    return measure_moments(content, images, preprocess, progress=progress)


def _stages(
    float_content: bytes,
    chosen: tuple[str, ...],
    quantize: Callable[[bytes], bytes],
    measure: Callable[[bytes], dict[str, Moments]],
) -> Iterator[RepairStage]:
    exact = rough = float_content  # the same function as what was given; what is quantized
    quantized = quantize(rough)
    yield RepairStage(steps=(), float_content=rough, quantized=quantized)
    moments: dict[str, Moments] = measure(exact) if chosen else {}
    for i, step in enumerate(chosen):
        if step == "equalize":
            exact = rough = equalize(exact, moments)
            moments = measure(exact)
        elif step == "clip":
            rough = clip_outliers(exact, moments)
        quantized = correct_biases(quantized, exact, moments) if step == "bias" else quantize(rough)
        yield RepairStage(steps=chosen[: i + 1], float_content=rough, quantized=quantized)
