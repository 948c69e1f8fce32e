"""A precision for each layer: the least expected loss within a budget, or the least cost within a drop, by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.precision import FLOAT, Choice
from effnet_lab.evaluate.compare import paired_difference
from effnet_lab.images import ArraySet, ImageSet, Source, Stated, open_samples
from effnet_lab.models.catalog import require_source
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import remove_parts, working_folder
from effnet_lab.quantize.ranges import as_taken, calibration_images
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.studies.mixed_keeping import Keeper
from effnet_lab.studies.mixed_search import Search
from effnet_lab.studies.mixed_trials import ARENA, BYTES, MS, MixedFile, Workshop, recipe_of, spent
from effnet_lab.studies.start import as_answered, start_from

if TYPE_CHECKING:
    from effnet_lab.quantize.float_file import Network

LOOKED_AT = 3  # one image of so many chooses among the points of the front; the others test the one that was chosen
TESTS = 2  # files that may be tested; each interval leaves 2.5 % below it, so all of them together at most 5 %
ONLY_FEW = 40  # images to test with at least
_COLUMNS = {BYTES: "size_bytes", MS: "measured_ms", ARENA: "arena_bytes"}
_PREDICTED = {BYTES: "predicted_bytes", MS: "predicted_ms", ARENA: "predicted_arena_bytes"}


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedPrecision:
    """What was found."""

    table: pd.DataFrame  # PRECISIONS: every network that was considered, the chosen one with what was shown of it
    sensitivity: pd.DataFrame  # SENSITIVITY: what each layer costs at the logits in each precision
    recipe: Recipe  # of the chosen file, as `export` takes it
    met: bool  # whether everything that was asked for was shown
    sentence: str
    file: Path | None


def mixed_precision(
    weights: Network,
    data: Source,
    out: Path | str | None = None,
    *,
    calibration: Source = "scenes",
    max_drop: float | None = None,
    max_bytes: int | None = None,
    max_ms: float | None = None,
    max_arena: int | None = None,
    minimise: str = BYTES,
    limit: int | None = 200,
    limit_data: int | None = None,
    variant: str | None = None,
    preprocess: Stated = None,
    resume: Path | str | None = None,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> MixedPrecision:
    """Choose for each layer one of int8, int8 per tensor, int4 weights, int16 activations and float.

    With a budget: the least expected loss within it, and the budget is met by the file itself. With a drop: the least cost
    whose top-1 is at most so many points below the float network's, by a paired test on images that played no part. `out` is
    written as soon as there is a file that does, and replaced when there is a better one.

    Parameters
    ----------
    weights : name, path, LoadedModel or Keras model
    data : name, path, ImageSet or ArraySet
        Labelled images, or arrays; without labels, the answers of the float network count as right. With a drop, a third of
        them chooses and the others test.
    out : path, optional
        The .tflite file.
    calibration : name, path, ImageSet or ArraySet
        Never evaluation images.
    max_drop : float, optional
        Points of top-1.
    max_bytes, max_ms, max_arena : number, optional
        Of the file; of an inference here, CPU time of one thread; of the arena of TensorFlow Lite Micro.
    minimise : "bytes", "ms" or "arena"
        The cost, with a drop alone.
    limit, limit_data : int, optional
        Images at most of a named source or a path: for calibration, and of `data`.
    resume : path, optional
        A folder that keeps what is finished; by default it stands beside `out`: the same call goes on there.
    workers : int, optional
        Interpreters that share the images of `data`; by default one for each free processor.
    variant, preprocess, progress
        As for `export`.
    """
    limits = _limits({BYTES: max_bytes, MS: max_ms, ARENA: max_arena}, max_drop, minimise)
    if out is not None and Path(out).suffix != ".tflite":
        raise UserError(f"The file must end in .tflite. Got {str(out)!r}.")
    if out is not None:
        remove_parts(Path(out))
    require_source(weights)
    images = open_samples(data, limit=None if isinstance(data, ImageSet | ArraySet) else limit_data)
    if max_drop is not None and len(images) < ONLY_FEW:
        raise UserError(f"A drop is tested on at least {ONLY_FEW} images. {images.name} holds {len(images)}.")
    calibrating = calibration_images(calibration, limit=limit)
    source = start_from(weights, variant, preprocess, measures="a choice of precisions", shown=calibrating)
    if not images.labelled:
        images = as_answered(images, source, preprocess, workers)
    beside = Path(out).with_suffix(".search") if out is not None else None
    with working_folder(Path(resume) if resume is not None else beside) as folder:
        workshop = Workshop(
            source=source, calibration=as_taken(calibrating, source.content, source.info), within=folder,
            preprocess=preprocess, workers=workers, progress=progress,
        )  # fmt: skip
        question = repr((limits, max_drop, minimise, images.fingerprint))
        keeper = Keeper(out=None if out is None else Path(out), mark=workshop.folder / "kept.json", question=question)
        search = Search(
            workshop=workshop, resources=tuple(dict.fromkeys((*limits, minimise, BYTES))), keep=keeper.better
        )
        asked = _Question(search=search, images=images, limits=limits, max_drop=max_drop, minimise=minimise)
        chosen, shown = asked.least_cost() if max_drop is not None and not limits else asked.least_loss()
        keeper.last(chosen)
        return asked.result(chosen, shown, keeper.out)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """What a test on images said of a file, against the float network."""

    row: Mapping[str, float]
    n_images: int
    words: str
    met: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Question:
    """The question, and the search that answers it."""

    search: Search
    images: ImageSet | ArraySet
    limits: Mapping[str, float]
    max_drop: float | None
    minimise: str

    def least_loss(self) -> tuple[MixedFile, _Shown]:
        """Within the budget; the images play no part in the choice, so all of them test it."""
        trial = self.search.within(self.limits)
        return trial, self._test(trial, self.images)

    def least_cost(self) -> tuple[MixedFile, _Shown]:
        """Within the drop: the float file first, then the point of the front that a third of the images lets pass."""
        assert self.max_drop is not None
        whole = self.search.trial(self.search.uniform(FLOAT))
        self.search.keep(whole)
        looked, tested = _split(self.images)
        front = self.search.front(self.minimise)
        place = self._cheapest(front, looked)
        failed: list[str] = []
        for _ in range(TESTS):
            if place < 0:
                break
            trial = self.search.trial(front[place])
            shown = self._test(trial, tested)
            if shown.met:
                return trial, shown
            failed.append(shown.words)
            place = (place + 1) // 2 - 1  # half the way back: with few images the neighbour mostly fails, too
        words = f"No cheaper file is shown to stay within {self.max_drop:g} points; the float file does. " + (
            f"The nearest: {failed[-1]}" if failed else "Every point of the front drops more on the images that choose."
        )
        none = {"difference": 0.0, "difference_lo": 0.0, "difference_hi": 0.0}
        return whole, _Shown(row=none, n_images=len(tested), words=words, met=False)

    def _cheapest(self, front: list[Choice], images: ImageSet | ArraySet) -> int:
        """The last point whose drop on these images is at most half of what is allowed; the front gets worse along it."""
        assert self.max_drop is not None
        low, high = -1, len(front) - 1  # `low` passes, or is before the first
        while low < high:
            middle = (low + high + 1) // 2
            found = self._difference(self.search.trial(front[middle]), images)["difference"]
            low, high = (middle, high) if -100 * found <= self.max_drop / 2 else (low, middle - 1)
        return low

    def _difference(self, trial: MixedFile, images: ImageSet | ArraySet) -> dict[str, float]:
        """Top-1 less the float network's, on the same images."""
        work = self.search.workshop
        exact, found = (work.answers(path, images) for path in (work.float_path, trial.path))
        return {"top1": float(found.hits.mean()), **paired_difference(found, exact)}

    def _test(self, trial: MixedFile, images: ImageSet | ArraySet) -> _Shown:
        row = self._difference(trial, images)
        drop, low, high = (-100 * row[name] + 0.0 for name in ("difference", "difference_hi", "difference_lo"))
        met = self.max_drop is None or high <= self.max_drop
        words = f"top-1 drops by {drop:z.2f} points ({low:z.2f} to {high:z.2f}) on {len(images):,} images that played no part"
        if self.max_drop is not None:
            words += f": at most {self.max_drop:g} is {'shown' if met else 'not shown'} with 95 % confidence"
        return _Shown(row=row, n_images=len(images), words=words + ".", met=met)

    def result(self, chosen: MixedFile, shown: _Shown, out: Path | None) -> MixedPrecision:
        """The tables, and what they say."""
        used = spent(chosen, self.limits)
        model, size = self.search.workshop.source.info.model, chosen.path.stat().st_size
        cost = used or f"{model} takes {size:,} bytes, {self._float_size:,} in float"
        return MixedPrecision(
            table=self._table(chosen, shown), sensitivity=self.search.workshop.sensitivity, recipe=chosen.recipe,
            met=shown.met, file=out, sentence=f"{cost}. {shown.words[0].upper()}{shown.words[1:]}",
        )  # fmt: skip

    @property
    def _float_size(self) -> int:
        return self.search.workshop.float_path.stat().st_size

    def _table(self, chosen: MixedFile, shown: _Shown) -> pd.DataFrame:
        cost = next(iter(self.limits), self.minimise)
        names = {self.search.uniform(name).precisions: name for name in (*self.search.workshop.written, FLOAT)}
        every = {precisions: self.search.uniform(name) for precisions, name in names.items()}
        every |= {choice.precisions: choice for choice in self.search.front(cost)}
        every |= {trial.choice.precisions: trial.choice for trial in self.search.trials.values()}
        rows = {}
        for choice in every.values():
            recipe = recipe_of(self.search.workshop.candidates, choice.precisions)
            row: dict[str, Any] = {
                "model": self.search.workshop.source.info.model,
                "choice": names.get(choice.precisions, recipe.name),
                "recipe": recipe.text,
            }
            row |= {"predicted_noise": choice.loss, "guarantee": "", "guard": "", "data": self.images.name}
            row |= {_PREDICTED[name]: used for name, used in self.search.predicted(choice).items()}
            rows[row["choice"]] = row | self._measured(choice, chosen, shown)
        table = frames.build(frames.PRECISIONS, rows.values())
        return table.sort_values("predicted_noise", kind="stable", ignore_index=True)

    def _measured(self, choice: Choice, chosen: MixedFile, shown: _Shown) -> dict[str, Any]:
        trial = self.search.trials.get(choice.precisions)
        if trial is None:
            written = self.search.workshop.written
            size = next(
                (
                    len(file)
                    for name, file in written.items()
                    if self.search.uniform(name).precisions == choice.precisions
                ),
                None,
            )
            return {} if size is None else {"size_bytes": size}
        row: dict[str, Any] = {_COLUMNS[name]: trial.uses(name) for name in dict.fromkeys((*self.limits, BYTES))}
        if MS in self.limits:
            row["guard"] = str(trial.latency["guard"])
        if trial is chosen:
            row |= {name: value for name, value in shown.row.items() if name != "p_value"}
            row |= {"n_images": shown.n_images, "guarantee": shown.words}
        return row


def _limits(wanted: Mapping[str, float | None], max_drop: float | None, minimise: str) -> dict[str, float]:
    lookup("cost", minimise, dict.fromkeys(wanted))
    limits = {name: float(limit) for name, limit in wanted.items() if limit is not None}
    if not limits and max_drop is None:
        raise UserError("Say what may be used: --max-drop, --max-bytes, --max-ms or --max-arena.")
    for name, limit in {**limits, "drop": max_drop}.items():
        if limit is not None and not (np.isfinite(limit) and limit > 0):
            raise UserError(f"--max-{name} must be a number above 0. Got {limit:g}.")
    return limits


def _split(images: ImageSet | ArraySet) -> tuple[ImageSet | ArraySet, ImageSet | ArraySet]:
    """Images that choose, and those that test; the same ones every time."""
    order = np.random.default_rng(0).permutation(len(images))
    n = len(images) // LOOKED_AT
    return images.pick(np.sort(order[:n])), images.pick(np.sort(order[n:]))
