"""The repairs one after the other, and the quantized file that each of them leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effnet_lab.analysis.repair.bias import correct_biases
from effnet_lab.analysis.repair.clip import clip_outliers
from effnet_lab.analysis.repair.equalize import equalize
from effnet_lab.analysis.repair.held_out import Gain, HeldOut
from effnet_lab.analysis.repair.kept_layers import KeptLayers
from effnet_lab.analysis.repair.moments import Moments, measure_moments
from effnet_lab.analysis.repair.round_walk import Precision, RoundedLayer, RoundWalk
from effnet_lab.analysis.repair.rounded_file import with_rounded_kernels, write_rounded
from effnet_lab.images import Preprocess, Samples
from effnet_lab.images.imageset import digest
from effnet_lab.litert import Op, read_graph
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import write_atomically

STEPS = {  # in the order in which they are taken
    "equalize": "cross-layer equalization: the float network stays the same function",
    "clip": "outlying weights are clipped before rounding",
    "round": "every weight is rounded by what it does to the layer's output, with scales and biases that follow",
    "bias": "the mean error of each rounded kernel is taken off the bias of the quantized file",
}
INT8 = Precision(bits=8)


@dataclass(frozen=True, kw_only=True, eq=False)
class RepairStage:
    """The network after some of the repairs."""

    steps: tuple[str, ...]
    float_content: bytes  # float32 .tflite that was quantized
    quantized: bytes  # .tflite
    step: str = ""  # the last of the steps, which was tried here
    gain: Gain | None = None  # of this step, on the held-out images; None: not judged
    layers: Mapping[int, RoundedLayer] = field(default_factory=dict)  # by op, where this step is rounding

    @property
    def name(self) -> str:
        """The steps in one word: "equalize+clip", or "none"."""
        return "+".join(self.steps) or "none"

    @property
    def taken(self) -> bool:
        """Whether the steps behind start from here."""
        return self.gain is None or self.gain.helps


def repair_stages(
    float_content: bytes,
    images: Samples,
    preprocess: Preprocess | None,
    quantize: Callable[[bytes], bytes],
    *,
    steps: Sequence[str] = tuple(STEPS),
    precision: Callable[[Op], Precision] = lambda _op: INT8,
    held_out: Samples | None = None,
    kept: KeptLayers | None = None,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Iterator[RepairStage]:
    """Quantize a float network as it is, then after every further repair; the last stage that was taken has them all.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    images : Samples
        For calibration, as the network takes them; never evaluation images.
    preprocess : Preprocess
    quantize : callable
        Float file to quantized file, for example `quantize.requantize` with a scheme; it is called once per stage.
    steps : sequence of "equalize", "clip", "round", "bias"
        Taken in this order, whatever order they are given in.
    precision : callable
        Of the layers of the float network in the quantized file, for "round".
    held_out : Samples, optional
        Calibration images that judge each step: one that does not help by more than its noise is left out. By default every
        step is taken.
    kept : KeptLayers, optional
        Where rounded layers are kept, for a run that may be interrupted.
    workers : int, optional
        Interpreters that share the images, see `workers_for`.
    progress : callable, optional
        Wraps the calibration images, and the ops that are rounded, as `tqdm` does.
    """
    for samples in (images, held_out):
        if samples is not None:
            samples.require_calibration()
    wanted = [name for name in steps if lookup("repair", name, STEPS)]
    chosen = tuple(name for name in STEPS if name in wanted)
    if (scheme := read_graph(float_content).scheme) != "float32":
        raise UserError(f"Repairs start from a float32 file. Got {scheme}. Export one with --format float32.")
    work = _Repairs(images=images, preprocess=preprocess, quantize=quantize, precision=precision, kept=kept,
                    workers=workers, progress=progress)  # fmt: skip
    return work.run(float_content, chosen, held_out)


def write_stages(stages: Iterable[RepairStage], folder: Path | str) -> dict[str, Path]:
    """The quantized file of every stage, by its name: "none", "equalize", "equalize+bias"."""
    paths = {}
    for stage in stages:
        paths[stage.name] = Path(folder) / f"repaired.{stage.name}.tflite"
        write_atomically(paths[stage.name], stage.quantized)
    return paths


@dataclass(frozen=True, kw_only=True, eq=False)
class _State:
    """Where the next step starts."""

    steps: tuple[str, ...]
    exact: bytes  # the same function as what was given
    rough: bytes  # what is quantized
    quantized: bytes


@dataclass(kw_only=True)
class _Repairs:
    """What every step needs."""

    images: Samples
    preprocess: Preprocess | None
    quantize: Callable[[bytes], bytes]
    precision: Callable[[Op], Precision]
    kept: KeptLayers | None
    workers: int | None
    progress: Callable[..., Iterable[Any]] | None
    layers: Mapping[int, RoundedLayer] = field(default_factory=dict)  # of the last rounding
    measured: tuple[bytes, Mapping[str, Moments]] | None = None  # the network that was looked at last

    def run(self, content: bytes, chosen: tuple[str, ...], held_out: Samples | None) -> Iterator[RepairStage]:
        """Every stage in turn."""
        quantized = self.quantize(content)
        yield RepairStage(steps=(), float_content=content, quantized=quantized)
        if not chosen:
            return
        judge = None if held_out is None else HeldOut(content, held_out, self.preprocess, self.workers)
        lost = None if judge is None else judge.losses(quantized)
        state = _State(steps=(), exact=content, rough=content, quantized=quantized)
        for step in chosen:
            tried = self._tried(step, state)
            gain = None
            if judge is not None and lost is not None:
                after = judge.losses(tried.quantized)
                gain = Gain.of(lost, after)
            stage = RepairStage(steps=tried.steps, float_content=tried.rough, quantized=tried.quantized, step=step,
                                gain=gain, layers=self.layers if step == "round" else {})  # fmt: skip
            yield stage
            if stage.taken:
                state = tried
                lost = None if gain is None else after

    def _tried(self, step: str, state: _State) -> _State:
        exact, rough, steps = state.exact, state.rough, (*state.steps, step)
        if step == "equalize":
            exact = rough = equalize(exact, self._moments(exact))
            quantized = self.quantize(rough)
        elif step == "clip":
            rough = clip_outliers(exact, self._moments(exact))
            quantized = self.quantize(rough)
        elif step == "round":  # it chooses its own scales, and so clips by itself
            steps = tuple(name for name in steps if name != "clip")
            rough, quantized = self._round(exact)
        else:
            quantized = correct_biases(state.quantized, exact, self._moments(exact))
        return _State(steps=steps, exact=exact, rough=rough, quantized=quantized)

    def _round(self, exact: bytes) -> tuple[bytes, bytes]:
        samples = list(self.images.samples(self.preprocess))
        walk = RoundWalk(exact, self.precision)
        if self.kept is not None:
            bits = [str(self.precision(op)) for op in read_graph(exact).ops]
            self.kept.begin(digest(exact, self.images.fingerprint.encode(), *(each.encode() for each in bits)))
        try:
            self.layers = walk.run(samples, kept=self.kept, progress=self.progress)
        finally:
            if self.kept is not None:
                self.kept.save()
        if not self.layers:
            raise UserError("There is nothing to round: no layer has a kernel of its own that gets integers.")
        rough = with_rounded_kernels(exact, self.layers)
        return rough, write_rounded(rough, self.layers, self.quantize)

    def _moments(self, content: bytes) -> Mapping[str, Moments]:
        """Measured once for the network that several steps start from."""
        if self.measured is None or self.measured[0] != content:
            self.measured = (
                content,
                measure_moments(content, self.images, self.preprocess, workers=self.workers, progress=self.progress),
            )
        return self.measured[1]
