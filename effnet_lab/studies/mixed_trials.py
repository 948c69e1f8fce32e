"""Files with a chosen precision for each layer: written, measured, and kept, so that a stopped search goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.analysis.precision import (
    FLOAT,
    PRECISIONS,
    Candidates,
    Choice,
    candidates_of,
    sensitivities,
)
from effnet_lab.analysis.precision.costs import SwitchTime
from effnet_lab.bench import measure_latency
from effnet_lab.evaluate.predictions import Predictions, collect_predictions
from effnet_lab.images import ArraySet, ImageSet, Samples, Stated
from effnet_lab.images.imageset import digest
from effnet_lab.litert import allocate, read_graph
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.quantize.float_file import FloatFile
from effnet_lab.quantize.ranges import Ranging
from effnet_lab.quantize.recipes import ALL, Recipe, as_recipe, literal
from effnet_lab.quantize.schemes import AI_EDGE, get_scheme
from effnet_lab.quantize.write import quantizer
from effnet_lab.studies.mixed_times import choices_in_turn, switch_times, uniform_profiles

LOOKED_AT = 12  # calibration images that the sensitivities are measured on
BYTES, MS, ARENA = "bytes", "ms", "arena"
BASE = "int8"  # what a recipe says of all layers, before the exceptions
Progress = Callable[..., Iterable[Any]]


@dataclass(kw_only=True, eq=False)
class Workshop:
    """One network, its calibration, and a folder for what was made of it; what lies there already is not made again.

    The folder is the user's, and may hold other things: each network with its calibration has a folder of its own in it.
    """

    source: FloatFile
    calibration: Samples
    within: Path
    preprocess: Stated = None
    workers: int | None = None
    progress: Progress | None = None

    @cached_property
    def folder(self) -> Path:
        """Where all files of this network lie."""
        found = self.within / digest(self.source.content, self.calibration.fingerprint.encode())
        found.mkdir(parents=True, exist_ok=True)
        return found

    @property
    def _ranging(self) -> Ranging:
        """Statistics are collected once, and kept."""
        return Ranging(images=self.calibration, statistics=self.folder / "statistics.npz")

    @cached_property
    def written(self) -> dict[str, bytes]:
        """The network in one precision throughout, by precision; those that the tool can write."""
        found = {}
        for name in PRECISIONS:
            if name == FLOAT:
                continue
            try:
                found[name] = self.write(as_recipe(get_scheme(name))).read_bytes()
            except UserError:
                if name == BASE:  # nothing can be had of this network
                    raise
        return found

    @cached_property
    def candidates(self) -> Candidates:
        """What each layer can have."""
        graphs = {name: read_graph(content) for name, content in self.written.items()}
        return candidates_of(read_graph(self.source.content), graphs)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """SENSITIVITY frame."""
        path = self.folder / "sensitivity.csv"
        if not path.exists():
            few = self.calibration.take(LOOKED_AT)
            made = sensitivities(
                self.source.content, self.written, self.candidates, few, model=self.source.info.model,
                progress=self.progress,
            )  # fmt: skip
            write_atomically(path, made.to_csv(index=False).encode())
        return pd.read_csv(path, keep_default_na=True)

    @cached_property
    def profiles(self) -> dict[str, pd.DataFrame]:
        """PROFILE frames of the files in one precision throughout, and of the float file, see `uniform_profiles`."""
        files = {name: self.write(as_recipe(get_scheme(name))) for name in self.written} | {FLOAT: self.float_path}
        paths = {name: self.folder / f"profile.{name}.csv" for name in files}
        if not all(path.exists() for path in paths.values()):
            for name, table in uniform_profiles(files).items():
                write_atomically(paths[name], table.to_csv(index=False).encode())
        return {name: pd.read_csv(path, keep_default_na=False) for name, path in paths.items()}

    @property
    def clock_ms(self) -> float:
        """CPU time of the float file when the profiles were taken: what times of other minutes are put on."""
        return float(self.profiles[FLOAT]["uninterrupted_ms"].sum())

    @cached_property
    def switch_ms(self) -> dict[tuple[int, int], SwitchTime]:
        """What conversions take, by the kinds of activations before and after."""
        path = self.folder / "conversions.csv"
        if not path.exists():
            files = {
                chosen: self.write(recipe_of(self.candidates, chosen)) for chosen in choices_in_turn(self.candidates)
            }
            found = switch_times(self.candidates, self.profiles, files, self.float_path)
            rows = [{"before": a, "after": b, **time._asdict()} for (a, b), time in found.items()]
            columns = ["before", "after", *SwitchTime._fields]
            write_atomically(path, pd.DataFrame(rows, columns=columns).to_csv(index=False).encode())
        kept = pd.read_csv(path)
        return {
            (int(a), int(b)): SwitchTime(float(value), float(each))
            for a, b, value, each in kept.itertuples(index=False)
        }

    @cached_property
    def float_path(self) -> Path:
        """The float file."""
        path = self.folder / "float32.tflite"
        if not path.exists():
            write_atomically(path, self.source.content)
        return path

    def write(self, recipe: Recipe) -> Path:
        """The file of a recipe."""
        path = self.folder / f"{recipe.name}.tflite"
        if not path.exists():
            write_atomically(path, quantizer((recipe, AI_EDGE), self._ranging)(self.source.content))
        return path

    def trial(self, choice: Choice) -> MixedFile:
        """The file of a choice; all float is the float file itself."""
        recipe = recipe_of(self.candidates, choice.precisions)
        path = self.float_path if recipe.base.name == FLOAT else self.write(recipe)
        return MixedFile(path=path, recipe=recipe, choice=choice, workshop=self)

    def answers(self, path: Path, images: ImageSet | ArraySet) -> Predictions:
        """What a file says to labelled samples; kept every ten seconds."""
        resume = self.folder / f"{path.stem}.{images.fingerprint}.npz"
        how: dict[str, Any] = {"preprocess": self.preprocess, "workers": self.workers, "progress": self.progress}
        return collect_predictions(path, images, resume=resume, **how)


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedFile:
    """One file."""

    path: Path
    recipe: Recipe
    choice: Choice
    workshop: Workshop

    @cached_property
    def latency(self) -> pd.Series:
        """Its row of LATENCY, in turn with the float file."""
        return measure_latency([self.workshop.float_path, self.path]).iloc[1]

    @cached_property
    def arena_bytes(self) -> int:
        """By the allocator of TensorFlow Lite Micro."""
        return allocate(self.path).total_bytes

    def uses(self, name: str) -> float:
        """What it really takes: bytes of the file, CPU ms of an inference, bytes of the arena of TensorFlow Lite Micro."""
        if name == BYTES:
            return float(self.path.stat().st_size)
        if name == MS:  # by the clock of the float file, as what is predicted
            return float(self.latency["relative_p50"]) * self.workshop.clock_ms
        return float(self.arena_bytes)


def spent(file: MixedFile, limits: Mapping[str, float]) -> str:
    """What a file takes of each limit, for people."""
    spelled = {name: "{:.4g}" if name == MS else "{:,.0f}" for name in limits}
    return ", ".join(
        f"{name} {spelled[name].format(file.uses(name))} of {spelled[name].format(limit)}"
        for name, limit in limits.items()
    )


def recipe_of(candidates: Candidates, precisions: tuple[int, ...]) -> Recipe:
    """A choice as rules: int8, then every layer that has something else."""
    chosen = [PRECISIONS[p] for p in precisions[: len(candidates)]]
    if set(chosen) == {FLOAT}:
        return as_recipe(get_scheme(FLOAT))
    rules = [(ALL, get_scheme(BASE))]
    rules += [
        (literal(name), get_scheme(precision))
        for name, precision in zip(candidates.names, chosen, strict=True)
        if precision != BASE
    ]
    return Recipe(rules=tuple(rules))
