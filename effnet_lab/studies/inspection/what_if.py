"""What if a layer had another precision: the file is quantized again, what changed is run again, and the answers compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.twins import Twins
from effnet_lab.board import estimated_arena
from effnet_lab.decibels import decibels
from effnet_lab.evaluate.class_order import class_order
from effnet_lab.images import ArraySet, ImageSet, Source, open_samples
from effnet_lab.intervals import share_row
from effnet_lab.litert import embed_info, read_graph
from effnet_lab.litert.flatbuffer import marked
from effnet_lab.litert.rerun import Rerun, Rerunner
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.calibration import Statistics
from effnet_lab.quantize.float_file import float_card
from effnet_lab.quantize.ranges import METHOD, Ranging, calibration_images
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import AI_EDGE, FLOAT32, FORMATS, SCHEMES
from effnet_lab.quantize.switches import Switches
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies.inspection.op_times import OpTimes
from effnet_lab.studies.inspection.own_ranges import own_ranges

N_IMAGES = 16
Check = Callable[[], None]  # called in between; what it raises ends the work
Calibration: TypeAlias = Statistics | ImageSet | ArraySet | str | Path | None

_NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeOutcome:
    """What a recipe gives."""

    recipe: str
    content: bytes = field(repr=False)  # the file, as `export` writes it
    sqnr_db: float  # of the logits, against the float network
    n_images: int
    agreement: float  # share of images with the float network's first answer; NaN where there is one output value
    top1: float  # NaN where the images are not labelled; with its 95 % interval
    top1_lo: float
    top1_hi: float
    size_bytes: int
    arena_bytes: int  # what the planner expects of TensorFlow Lite Micro
    n_ops: int
    n_run: int  # ops that had to be run; the values of the others were there
    seconds: dict[str, float] = field(default_factory=dict)  # of CPU: quantize, run, count

    @property
    def cpu_s(self) -> float:
        """All of it."""
        return sum(self.seconds.values())


class WhatIf:
    """Switches over the layers of a network, and what each state gives.

    Parameters
    ----------
    network : Twins, or path of a quantized .tflite file
        What is inspected.
    images : name, path, ImageSet or ArraySet
        What the answers are compared on.
    float_model : as for `Twins`
        The float network that is quantized again; None: the twin that has the file's own weights.
    calibration : Statistics, or images by name, path or as they are, optional
        What fixes the ranges; None: they stay those of the quantized file.
    recipe : Recipe, Scheme or str, optional
        Where to begin; by default the scheme of the file, or int8.
    method : str
        How ranges follow from the statistics.
    limit : int
        At most so many images.
    kernels : str
        See `litert.KERNELS`; where `network` is a pair that is open already, its kernels count.

    Examples
    --------
    >>> session = WhatIf("int8.tflite", "scenes")  # doctest: +SKIP
    >>> session.flip(["stem_conv"], "float32").sqnr_db  # doctest: +SKIP
    """

    def __init__(
        self, network: Twins | Path | str, images: Source, *, float_model: Path | str | bytes | None = None,
        calibration: Calibration = None, recipe: Recipe | str = "", method: str = METHOD, limit: int = N_IMAGES,
        kernels: str = "xnnpack",
    ) -> None:  # fmt: skip
        self.twins = network if isinstance(network, Twins) else Twins(network, float_model, kernels=kernels)
        self.images: ImageSet | ArraySet = open_samples(images, limit=limit).take(limit)
        self.float_content = _with_card(self.twins)
        self.calibration_images: ImageSet | None = None  # where they are pictures that can be shown
        self.statistics = self._statistics(calibration, method)
        self.method = method
        graph = read_graph(self.float_content)
        self.switches = Switches(graph, self.quantize, recipe or _first_recipe(self.twins))
        at = {switch.tensor: switch.layer for switch in self.switches.layers}
        self.layer_of = {pair.layer: at[pair.reference.name] for pair in self.twins.pairs if pair.reference.name in at}
        samples = list(self.twins.samples(self.images))
        self._rerunner = Rerunner(samples, kernels=self.twins.kernels)
        self._float = Rerunner(samples, kernels=self.twins.kernels, kept_bytes=0).run(self.float_content).logits
        self._order = self._class_order()
        self._known: dict[str, RecipeOutcome] = {}
        self.times = OpTimes(self.quantize, self.switches)
        given = self.twins.quantized_source
        self.given = self._judge("", marked(given.content, given.file), {}, lambda: None)

    def outcome(self, check: Check = lambda: None) -> RecipeOutcome:
        """What the state of the switches gives.

        Parameters
        ----------
        check : callable
            Called between two pieces of work; what it raises ends the work.
        """
        recipe = self.switches.recipe
        if recipe.text not in self._known:
            start = time.thread_time()
            content = self.quantize(recipe)
            check()
            seconds = {"quantize": time.thread_time() - start}
            self._known[recipe.text] = self._judge(recipe.text, content, seconds, check)
        return self._known[recipe.text]

    def known(self, recipe: Recipe) -> RecipeOutcome | None:
        """What a recipe gave, if that has been asked before."""
        return self._known.get(recipe.text)

    def flip(self, layers: Sequence[str], format: str) -> RecipeOutcome:
        """Give layers another precision, see `Switches.flip`, and see what it gives; refused where it cannot run."""
        self.switches.flip(layers, format)
        return self._tried()

    def set(self, recipe: Recipe | str) -> RecipeOutcome:
        """Another recipe, and what it gives."""
        self.switches.set(recipe)
        return self._tried()

    def undo(self) -> RecipeOutcome:
        """What the state before gave."""
        self.switches.undo()
        return self.outcome()

    def redo(self) -> RecipeOutcome:
        """What was taken back."""
        self.switches.redo()
        return self.outcome()

    def range_setters(self, layer: str) -> tuple[int, int] | None:
        """Which calibration images had the lowest and the highest value of a layer; None where none are known."""
        if self.calibration_images is None or layer not in self.statistics.layers:
            return None
        at = self.statistics.layers.index(layer)
        return int(self.statistics.low[:, at].argmin()), int(self.statistics.high[:, at].argmax())

    def _tried(self) -> RecipeOutcome:
        try:
            return self.outcome()
        except UserError:
            self.switches.undo()
            raise

    def export(self, folder: Path | str) -> list[Path]:
        """Write the file, and what `effnet-lab export --recipe` needs to write the same again: see `command`."""
        folder = Path(folder)
        paths = [folder / name for name in ("float.tflite", "recipe.txt", "statistics.npz", "quantized.tflite")]
        write_atomically(paths[0], self.float_content)
        write_atomically(paths[1], f"{self.switches.recipe.text}\n".encode())
        self.statistics.save(paths[2])
        write_atomically(paths[3], self.outcome().content)
        return paths

    def command(self, folder: Path | str) -> list[str]:
        """The words of the batch command that writes the same file from what `export` has put into a folder."""
        at = Path(folder)
        return [
            "effnet-lab", "export", "--weights", str(at / "float.tflite"), "--recipe", str(at / "recipe.txt"),
            "--statistics", str(at / "statistics.npz"), "--method", self.method, "--backend", AI_EDGE,
            "--out", str(at / "again.tflite"),
        ]  # fmt: skip

    def quantize(self, recipe: Recipe) -> bytes:
        """The file of a recipe, as `export` writes it."""
        if set(recipe.schemes) == {FLOAT32}:
            return self.float_content
        ranging = Ranging(statistics=self.statistics, method=self.method)
        return quantizer((recipe, AI_EDGE), ranging)(self.float_content)

    def _statistics(self, calibration: Calibration, method: str) -> Statistics:
        if calibration is None:
            if method != METHOD:
                raise UserError(f"The ranges of a file are what they are. Got the method {method!r}: give images.")
            return own_ranges(self.twins, self.float_content)
        if isinstance(calibration, Statistics):
            return calibration
        if Path(str(calibration)).suffix == ".npz" and isinstance(calibration, str | Path):
            return Statistics.load(Path(calibration))
        given = calibration_images(calibration)
        self.calibration_images = given if isinstance(given, ImageSet) else None
        ranging = Ranging(images=given).fitted(self.float_content, self.twins.info)
        return ranging.measure(self.float_content, self.twins.info.preprocess)

    def _judge(self, recipe: str, content: bytes, seconds: dict[str, float], check: Check) -> RecipeOutcome:
        start = time.thread_time()
        found = self._rerunner.run(content, check=check)
        ran = time.thread_time()
        outcome = self._counted(recipe, content, found)
        return replace(outcome, seconds=seconds | {"run": ran - start, "count": time.thread_time() - ran})

    def _counted(self, recipe: str, content: bytes, found: Rerun) -> RecipeOutcome:
        a, b = self._float.astype(np.float64), found.logits.astype(np.float64)
        same = a.argmax(axis=1) == b.argmax(axis=1)
        top1 = share_row(0, 0)
        if self._order is not None:
            hits = self._order[b.argmax(axis=1)] == self.images.labels[: len(b)]
            top1 = share_row(int(hits.sum()), len(hits))
        return RecipeOutcome(
            recipe=recipe, content=content, n_images=len(b), size_bytes=len(content), n_ops=found.n_ops, n_run=found.n_run,
            sqnr_db=decibels(float(np.square(a).sum()), float(np.square(a - b).sum())),
            agreement=float(same.mean()) if a.shape[1] > 1 else _NAN,
            arena_bytes=estimated_arena(found.graph).total_bytes,
            top1=top1["top1"], top1_lo=top1["top1_lo"], top1_hi=top1["top1_hi"],
        )  # fmt: skip

    def _class_order(self) -> NDArray[np.int64] | None:
        if not self.images.labelled or self._float.shape[1] < 2:
            return None
        try:
            return class_order(self.twins.info.classes, self.images, self._float.shape[1])
        except UserError:
            return None


def _first_recipe(twins: Twins) -> str:
    """What the file says of itself, where that is a precision that every layer can have."""
    info = twins.info
    if info.recipe:
        return info.recipe
    scheme = SCHEMES.get(info.scheme)
    return scheme.format if scheme and scheme.calibrated and AI_EDGE in scheme.backends else FORMATS["int8"].format


def _with_card(twins: Twins) -> bytes:
    """The float file with what is known of its input."""
    content = marked(twins.reference_source.content, twins.reference_source.file)
    if not twins.is_own_twin:
        return content
    return embed_info(content, float_card(twins.info))
