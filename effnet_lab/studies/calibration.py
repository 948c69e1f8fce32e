"""How many images calibrate a network, which ones, and by which rule: what ranges and accuracy owe to the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.evaluate.compare import SIGNIFICANT, paired_difference
from effnet_lab.evaluate.predictions import Predictions, collect_predictions
from effnet_lab.evaluate.predictors import FilePredictor
from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.intervals import share_row
from effnet_lab.litert import Runner, read_graph, read_info
from effnet_lab.litert.flatbuffer import read_bytes
from effnet_lab.names import UserError, lookup
from effnet_lab.paths import scratch_folder

if TYPE_CHECKING:
    from effnet_lab.models.loaded import LoadedModel
    from effnet_lab.quantize.calibration import Statistics

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
DRAWS = 5
BASE = "minmax"  # what every draw is calibrated by, and with all images what the others are compared with
METHODS = {  # rule for activations (see `Statistics.ranges`), and for weights (see `requantize`)
    BASE: ("minmax", "minmax"),
    "moving_average": ("moving_average", "minmax"),
    "percentile": ("percentile", "minmax"),
    "mse": ("mse", "minmax"),
    "octav": ("minmax", "octav"),  # the back end has it for weights only
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """One choice of calibration images."""

    method: str
    number: int  # of the draw, among those of its size
    drawn: str  # "all", "disjoint" or "bootstrap"
    rows: NDArray[Any]  # of the statistics


def calibration_study(
    model: LoadedModel | Path | str,
    pool: ImageSet,
    evaluation: ImageSet,
    *,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
    methods: Sequence[str] = tuple(METHODS),
    scheme: str = "static_wi8_ai8",
    statistics: Statistics | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibrate one network on many choices of images: CALIBRATION_RANGES and CALIBRATION_ACCURACY.

    Activations are collected once; each choice is then a requantization by the AI Edge Quantizer. The first rows are each
    method with the whole pool; then, for every smaller size, min-max with `draws` choices.

    Parameters
    ----------
    model : LoadedModel or path
        Or a float32 .tflite file that carries its metadata.
    pool : ImageSet
        Calibration images; never the evaluation split.
    evaluation : ImageSet
        What top-1 is measured on.
    sizes : sequence of int
        Images per choice; those that the pool does not exceed are left out.
    draws : int
        Choices per size: disjoint subsets if the pool has that many images, else drawn with replacement (bootstrap), which
        repeats images and so gives ranges that are a little too narrow.
    methods : sequence of str
        Of `METHODS`.
    scheme : str
        A static one.
    statistics : Statistics, optional
        Collected before on this network, of the pool.
    workers : int, optional
        Interpreters that share the images; by default one for each free processor.
    progress : callable, optional
        Wraps the calibration images and the choices, as `tqdm` does.

    Raises
    ------
    UserError
        If the pool is of the evaluation split or too small, or a name is not known.
    """
    for method in methods:
        lookup("calibration method", method, METHODS)
    if len(pool) < 2 or draws < 1:
        raise UserError(f"A study needs at least 2 calibration images and 1 draw. Got {len(pool)} and {draws}.")
    with scratch_folder() as folder:
        source = _float_file(model, folder)
        content, info = read_bytes(source), replace(read_info(source), backend="ai_edge_quantizer")
    statistics = _statistics(content, info.preprocess, pool, statistics, progress)
    choices = list(draw_subsets(statistics.n_images, sizes, draws, methods, seed))
    ranges, accuracy, reference = [], [], None
    widest = statistics.ranges()
    for draw in progress(choices) if progress else choices:
        chosen, quantized = _calibrate(content, scheme, statistics, draw)
        info = replace(info, scheme=scheme)
        answers = collect_predictions(FilePredictor(info=info, runner=Runner(quantized)), evaluation, workers=workers)
        reference = reference or answers
        about = {"method": draw.method, "n_calibration": len(draw.rows), "draw": draw.number, "drawn": draw.drawn}
        ranges += _range_rows(info.model, statistics.layers, chosen, widest, about)
        accuracy.append(_accuracy_row(answers, reference, about))
    return frames.build(frames.CALIBRATION_RANGES, ranges), frames.build(frames.CALIBRATION_ACCURACY, accuracy)


def draw_subsets(n: int, sizes: Sequence[int], draws: int, methods: Sequence[str], seed: int) -> Iterator[Draw]:
    """Every choice from n images: all of them by each method, `BASE` first, then `draws` per smaller size."""
    for method in dict.fromkeys((BASE, *methods)):
        yield Draw(method=method, number=0, drawn="all", rows=np.arange(n))
    for size in sorted({int(size) for size in sizes if size < n}):
        if size < 1:
            raise UserError(f"A choice needs at least 1 image. Got size {size}.")
        rng = np.random.default_rng([seed, size])
        disjoint = size * draws <= n
        order = rng.permutation(n)
        for number in range(draws):
            rows = order[number * size : (number + 1) * size] if disjoint else rng.integers(n, size=size)
            yield Draw(method=BASE, number=number, drawn="disjoint" if disjoint else "bootstrap", rows=rows)


def enough(ranges: pd.DataFrame, accuracy: pd.DataFrame, *, within: float = 0.05) -> str:
    """How many calibration images are enough, in one sentence with its numbers.

    The rule: the smallest size from which on

    - the worst layer's median width, over the draws, is at least ``1 - within`` of that with all images: what is narrower
      clips images to come, whether or not these evaluation images show it; and
    - no draw's top-1 can be told apart from that with all images (McNemar's test, Bonferroni's correction for the draws):
      only accuracy says whether a cut range matters.

    Sizes above half of the pool cannot testify: they share too many images with it to differ from it.

    Parameters
    ----------
    ranges, accuracy : DataFrame
        From `calibration_study`, of one model.
    within : float
        Fraction of the width; 0.05 are 13 of the 255 steps.
    """
    frames.require(ranges, frames.CALIBRATION_RANGES, caller="enough")
    frames.require(accuracy, frames.CALIBRATION_ACCURACY, caller="enough")
    whole = accuracy[accuracy["drawn"] == "all"].iloc[0]
    sizes = sorted(size for size in accuracy["n_calibration"].unique() if 2 * size <= whole["n_calibration"])
    if not sizes:
        raise UserError(f"No size is at most half of the {whole['n_calibration']} images. Give smaller sizes.")
    judged = {size: _judge(ranges, accuracy, size) for size in sizes}
    passed = [size for size in sizes if all(judged[later].holds(within) for later in sizes if later >= size)]
    found = judged[passed[0] if passed else sizes[-1]]
    against = f"with all {whole['n_calibration']}"
    width = f"the worst layer ({found.layer}) has {found.width:.0%} of its width {against}"
    top1 = f"top-1 is {found.low:.1%} to {found.high:.1%} against {whole['top1']:.1%}"
    told = "cannot be told apart" if found.alike else f"can be told apart (p = {found.p_value:.2g})"
    seen = f"{width}, and {top1} in {found.draws} draws, which {told} on {whole['n_images']:,} images"
    seen += f" (the intervals of the difference reach down to {100 * found.lowest:+z.1f} points)"
    if passed:
        return f"{passed[0]} images are enough: {seen}."
    settled = [size for size in sizes if all(judged[later].alike for later in sizes if later >= size)]
    alone = f" Top-1 alone is settled from {settled[0]} on." if settled else ""
    return f"{whole['n_calibration']} images are not shown to be enough: with {sizes[-1]}, {seen}. Collect more.{alone}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Size:
    """What one size of calibration set gives, over its draws."""

    layer: str  # the worst
    width: float  # its median width, relative
    low: float  # top-1, least and most
    high: float
    draws: int
    p_value: float  # smallest, corrected
    lowest: float  # end of the draws' intervals of the difference

    @property
    def alike(self) -> bool:
        return self.p_value >= SIGNIFICANT

    def holds(self, within: float) -> bool:
        return self.width >= 1 - within and self.alike


def _judge(ranges: pd.DataFrame, accuracy: pd.DataFrame, size: int) -> _Size:
    widths = ranges[(ranges["n_calibration"] == size) & (ranges["drawn"] != "all")]
    files = accuracy[(accuracy["n_calibration"] == size) & (accuracy["drawn"] != "all")]
    medians = widths.groupby("layer", sort=False)["relative_width"].median()
    return _Size(
        layer=str(medians.idxmin()),
        width=float(medians.min()),
        low=files["top1"].min(),
        high=files["top1"].max(),
        draws=len(files),
        p_value=min(1.0, float(files["p_value"].min()) * len(files)),
        lowest=float(files["difference_lo"].min()),
    )


def _float_file(model: LoadedModel | Path | str, folder: Path) -> Path:
    if isinstance(model, str | Path):
        if (scheme := read_graph(model).scheme) != "float32":
            raise UserError(f"{model} is {scheme}. A study starts from a float32 file, or from weights.")
        return Path(model)
    from effnet_lab.quantize import export

    return export(model, folder, format="float32").files[0]


def _statistics(
    content: bytes,
    preprocess: Preprocess | None,
    pool: ImageSet,
    statistics: Statistics | None,
    progress: Callable[..., Iterable[Any]] | None,
) -> Statistics:
    from effnet_lab.quantize.ranges import Ranging

    ranging = Ranging(images=pool, statistics=statistics)
    ranging.require_images("The study")
    return ranging.measure(content, preprocess, progress)


def _calibrate(
    content: bytes, scheme: str, statistics: Statistics, draw: Draw
) -> tuple[dict[str, tuple[float, float]], bytes]:
    from effnet_lab.quantize import get_scheme, requantize

    method, clipping = METHODS[draw.method]
    chosen = statistics.ranges(method, draw.rows)
    return chosen, requantize(content, get_scheme(scheme), chosen, clipping=clipping)


def _range_rows(
    model: str, layers: Sequence[str], chosen: dict[str, Any], widest: dict[str, Any], about: dict[str, Any]
) -> list[dict[str, Any]]:
    rows = []
    for i, (layer, tensor) in enumerate(zip(layers, chosen, strict=True)):
        (low, high), (least, most) = chosen[tensor], widest[tensor]
        width = (high - low) / (most - least) if most > least else float("nan")  # a dead layer has none
        row = {"model": model, "layer_index": i, "layer": layer, "low": low, "high": high, "relative_width": width}
        rows.append(row | about)
    return rows


def _accuracy_row(answers: Predictions, reference: Predictions, about: dict[str, Any]) -> dict[str, Any]:
    n = len(answers)
    row = answers.info.key | {"data": answers.images.name, "n_images": n} | about
    row |= share_row(int(answers.hits.sum()), n)
    if answers is not reference:
        row |= paired_difference(answers, reference)
    return row
