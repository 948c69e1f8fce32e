"""How sure a calibration is: what the file would have been with other images of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.images import Preprocess, Samples
from effnet_lab.intervals import LEVEL
from effnet_lab.litert import Graph, Runner, read_graph
from effnet_lab.litert.graph import CHANGES_OF_TYPE
from effnet_lab.litert.samples import Sample, ran
from effnet_lab.names import UserError
from effnet_lab.quantize.ai_edge import requantize
from effnet_lab.quantize.calibration import Statistics
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import Scheme

DRAWS = 30  # calibrations that are drawn anew
SHOWN = 24  # images that each of their files is run on
FEWEST = 4  # images of a calibration that can be drawn anew
UNSEEN = 1.5  # how much wider than the draws fresh calibrations may lie: 80 of 100 of micro2's were within the draws' own width
HELPS_DB = 0.5  # of median SQNR: what twice as many images must bring to be advised
_TINY = 1e-9  # of rounding, where whole images are counted
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """What other calibration images of the same kind would have made of the file."""

    table: pd.DataFrame  # CERTIFICATE, one row
    draws: pd.DataFrame  # one row per calibration that was drawn: n_calibration, sqnr_outputs_db, agreement

    @property
    def sentence(self) -> str:
        """For people."""
        row = self.table.iloc[0]
        said = (
            f"With {row['n_calibration']} other images of this kind the logits' SQNR would be {row['sqnr_low_db']:.1f} to "
            f"{row['sqnr_high_db']:.1f} dB and the first class that of the float file for {row['agreement_low']:.1%} to "
            f"{row['agreement_high']:.1%} (95 %)."
        )
        more = (
            f" Give it {row['n_advised']} images: half as many lost {row['gain_db']:.1f} dB."
            if row["n_advised"]
            else ""
        )
        return said + more


def certify(
    float_content: bytes,
    recipe: Recipe | Scheme,
    statistics: Statistics,
    images: Samples,
    preprocess: Preprocess | None,
    *,
    method: str = "minmax",
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Certificate:
    """Draw the calibration images anew from the collected statistics, write each file, and see how the outputs vary.

    The float network is not run again but for the images that are shown: ranges follow from the statistics. Images are drawn
    with replacement, and half as many without: a set drawn with replacement repeats images, and so is as narrow as one of
    about 63 % of the size, while a fresh set would also hold values that none of these images has. The interval therefore
    spans both kinds of draws on both sides of the file itself, by Student's t, and `UNSEEN` times as wide, for no draw has
    the extremes of images that are not here; that of the agreement also reaches to what noise at the low end would change.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    recipe : Recipe or Scheme
        A static one.
    statistics : Statistics
        Of this network.
    images : Samples
        To run the files on, as the network takes them: some of the calibration images do.
    preprocess : Preprocess
    method : str
        See `Statistics.ranges`.
    draws : int
        Of the full size; half as many of half the size.
    """
    n = statistics.n_images
    if n < FEWEST:
        raise UserError(f"A certificate needs at least {FEWEST} calibration images. Got {n}.")
    shown = list(images.take(SHOWN).samples(preprocess))
    exact = _ends(float_content, shown)
    rng = np.random.default_rng(seed)
    rows = [np.arange(n), *(rng.integers(n, size=n) for _ in range(draws))]
    rows += [rng.permutation(n)[: n // 2] for _ in range(max(draws // 2, 2))]
    found = []
    for chosen in progress(rows) if progress else rows:
        content = requantize(float_content, recipe, statistics.ranges(method, chosen))
        sqnr, agreement = _compared(exact, _ends(content, shown))
        found.append({"n_calibration": len(chosen), "sqnr_outputs_db": sqnr, "agreement": agreement})
    return _certificate(pd.DataFrame(found), statistics, [logits for logits, _ in exact])


def _certificate(draws: pd.DataFrame, statistics: Statistics, exact: Sequence[Array]) -> Certificate:
    n, itself = statistics.n_images, draws.iloc[0]
    drawn, halves = draws[1:][draws["n_calibration"][1:] == n], draws[1:][draws["n_calibration"][1:] < n]
    gain = float(drawn["sqnr_outputs_db"].median() - halves["sqnr_outputs_db"].median())
    low, high = _interval(draws["sqnr_outputs_db"].to_numpy(float), float(itself["sqnr_outputs_db"]))
    least, most = _interval(draws["agreement"].to_numpy(float), float(itself["agreement"]))
    n_shown = len(exact)
    fewest = n_shown * min(least, 1 - _most_changed(exact, low) / n_shown) - 1  # one image more or less
    most_equal = n_shown * most + 1
    row = {
        "data": statistics.data, "n_calibration": n, "n_draws": len(draws) - 1, "n_images": n_shown,
        "sqnr_outputs_db": float(itself["sqnr_outputs_db"]), "sqnr_low_db": low, "sqnr_high_db": high,
        "agreement": float(itself["agreement"]), "agreement_low": max(math.floor(fewest + _TINY) / n_shown, 0.0),
        "agreement_high": min(math.ceil(most_equal - _TINY) / n_shown, 1.0), "gain_db": gain,
        "n_advised": 2 * n if gain > HELPS_DB else 0,
    }  # fmt: skip
    return Certificate(table=frames.build(frames.CERTIFICATE, [row]), draws=draws)


def _interval(values: Array, itself: float) -> tuple[float, float]:
    """For one more of the kind, about the file itself, which is one of them too."""
    from scipy.stats import t

    spread = float(np.sqrt(np.mean(np.square(values - itself)) + np.var(values)))
    reach = UNSEEN * float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * spread
    return min(itself - reach, float(values.min())), max(itself + reach, float(values.max()))


def _most_changed(exact: Sequence[Array], sqnr_db: float) -> float:
    """How many first classes noise of this size changes at most (97.5 %): those whose lead over the next one is small.

    Few files are drawn, and a change is rare, so counting those that changed would miss what a fresh file can do.
    """
    from scipy.stats import norm, poisson

    if len(exact[0]) < 2:
        return 0.0
    noise = np.sqrt(np.mean([logits @ logits / len(logits) for logits in exact]) / 10 ** (sqnr_db / 10))
    leads = np.array([np.diff(np.sort(logits)[-2:])[0] for logits in exact])
    expected = float(norm.sf(leads / max(np.sqrt(2) * noise, np.finfo(float).tiny)).sum())
    return float(poisson.ppf((1 + LEVEL) / 2, expected))


def _ends(content: bytes, shown: Sequence[Sample]) -> list[tuple[Array, int]]:
    """Logits and first class for each image."""
    graph = read_graph(content)
    place = _logits(graph)

    def end(runner: Runner, _sample: Sample) -> tuple[Array, int]:
        logits = runner.activation(runner.graph.tensors[place]).astype(np.float64).reshape(-1)
        return logits, int(runner.activation(runner.outputs[0]).argmax())

    return ran(content, shown, end, graph=graph, keep_all=True, workers=1)


def _logits(graph: Graph) -> int:
    """What the last softmax or sigmoid takes; the first output itself where there is none."""
    made = {i: op for op in graph.ops for i in op.outputs}
    index = graph.outputs[0]
    while index in made and made[index].kind in (*CHANGES_OF_TYPE, "softmax", "logistic"):
        index = made[index].inputs[0]
    return index


def _compared(exact: list[tuple[Array, int]], found: list[tuple[Array, int]]) -> tuple[float, float]:
    """SQNR of the logits over all images, dB, and the share of equal first classes."""
    signal = sum(float(a @ a) for a, _ in exact)
    noise = sum(float((a - b) @ (a - b)) for (a, _), (b, _) in zip(exact, found, strict=True))
    agreement = float(np.mean([a == b for (_, a), (_, b) in zip(exact, found, strict=True)]))
    return float(10 * np.log10(signal / max(noise, np.finfo(float).tiny))), agreement
