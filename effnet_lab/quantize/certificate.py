"""How sure a calibration is: what the file would have been with other images of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.decibels import decibels
from effnet_lab.images import Preprocess, Samples
from effnet_lab.intervals import LEVEL
from effnet_lab.litert import Runner, read_graph
from effnet_lab.litert.samples import Sample, ran
from effnet_lab.names import UserError
from effnet_lab.quantize.ai_edge import requantize
from effnet_lab.quantize.calibration import Statistics
from effnet_lab.quantize.recipes import Recipe
from effnet_lab.quantize.schemes import Scheme

DRAWS = 30  # calibrations that are drawn anew, half of the images each
SHOWN = 24  # images that each of their files is run on
FEWEST = 4  # images of a calibration that can be drawn anew
HELPS_DB = 0.5  # of median SQNR: what twice as many images must bring to be advised
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
            if row["n_advised"] > row["n_calibration"]
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

    The float network is not run again but for the images that are shown: ranges follow from the statistics. The images are
    split in two halves, many times. The mean squared difference of a half's file from the file itself is the variance of the
    jackknife that takes out half of the sample. No image stands twice in a half, as it would in a bootstrap, whose extremes vary
    too little; what a half lacks beside all images, a fresh set may have beyond them.

    The interval is one of tolerance: with a confidence of 95 % it holds 95 % of all calibrations. The file itself is one of
    them: it may lie off their middle by 1.96 times the spread, and 95 % of the others lie within 1.64 times the spread on the
    far side; both from Student's t, for the spread is an estimate. The first class of an image may change, or not, where the
    lead of the float network's first class over the next is within as many times the spread of that lead; images are
    whole, so one more may at either end.

    References
    ----------
    Politis and Romano, "Large sample confidence regions based on subsamples", Annals of Statistics 22, 1994; Shao and Wu, "A
    general theory for jackknife variance estimation", Annals of Statistics 17, 1989 (half of a sample is taken out, for
    statistics such as extremes); Wald and Wolfowitz, "Tolerance limits for a normal distribution", Annals of Mathematical
    Statistics 17, 1946.

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
        Files, two for each split.
    """
    n = statistics.n_images
    require_enough(n)
    shown = list(images.take(SHOWN).samples(preprocess))
    exact = _ends(float_content, shown)
    rng = np.random.default_rng(seed)
    splits = [np.split(rng.permutation(n), [n // 2]) for _ in range(max(draws // 2, 2))]
    rows = [np.arange(n), *(half for split in splits for half in split)]
    found = []
    for chosen in progress(rows) if progress else rows:
        content = requantize(float_content, recipe, statistics.ranges(method, chosen))
        found.append(_compared(exact, _ends(content, shown)))
    draws_table = pd.DataFrame(
        [{"n_calibration": len(chosen), **one.numbers} for chosen, one in zip(rows, found, strict=True)]
    )
    return Certificate(table=_table(statistics, found), draws=draws_table)


def require_enough(n_images: int) -> None:
    """Refuse a calibration of which no half can be drawn anew."""
    if n_images < FEWEST:
        raise UserError(f"A certificate needs at least {FEWEST} calibration images. Got {n_images}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class _BesideFloat:
    """A file beside the float one."""

    sqnr_db: float  # of the logits, over all images
    leads: Array  # (images,): of the float file's first class over the next in this file; below 0 it has another

    @property
    def numbers(self) -> dict[str, float]:
        return {"sqnr_outputs_db": self.sqnr_db, "agreement": float(np.mean(self.leads >= 0))}


def _table(statistics: Statistics, found: Sequence[_BesideFloat]) -> pd.DataFrame:
    itself, halves, n = found[0], found[1:], statistics.n_images
    sqnr = np.array([half.sqnr_db for half in halves])
    reach, gain = _reach(sqnr - itself.sqnr_db), itself.sqnr_db - float(sqnr.mean())
    leads = itself.leads
    sway = _reach(np.stack([half.leads for half in halves]) - leads)
    row = {
        "data": statistics.data, "n_calibration": n, "n_draws": len(halves), "n_images": len(leads), **itself.numbers,
        "sqnr_low_db": itself.sqnr_db - reach, "sqnr_high_db": itself.sqnr_db + reach,
        "agreement_low": max(int(np.sum(leads >= sway)) - 1, 0) / len(leads),
        "agreement_high": min(int(np.sum(leads >= -sway)) + 1, len(leads)) / len(leads),
        "gain_db": gain, "n_advised": 2 * n if gain > HELPS_DB else n,
    }  # fmt: skip
    return frames.build(frames.CERTIFICATE, [row])


def _reach(differences: Array) -> Any:
    """How far others may lie from the file itself, from what the halves, two of each split, differ from it."""
    from scipy.stats import t

    splits = len(differences) // 2
    return np.sqrt(np.mean(np.square(differences), axis=0)) * (t.ppf((1 + LEVEL) / 2, splits) + t.ppf(LEVEL, splits))


def _ends(content: bytes, shown: Sequence[Sample]) -> list[tuple[Array, int]]:
    """Logits and first class for each image."""
    graph = read_graph(content)
    place = graph.logits

    def end(runner: Runner, _sample: Sample) -> tuple[Array, int]:
        logits = runner.activation(runner.graph.tensors[place]).astype(np.float64).reshape(-1)
        return logits, int(runner.activation(runner.outputs[0]).argmax())

    return ran(content, shown, end, graph=graph, keep_all=True, workers=1)


def _compared(exact: Sequence[tuple[Array, int]], found: Sequence[tuple[Array, int]]) -> _BesideFloat:
    signal = sum(float(a @ a) for a, _ in exact)
    noise = sum(float((a - b) @ (a - b)) for (a, _), (b, _) in zip(exact, found, strict=True))
    leads = np.array([_lead(logits, first) for (_, first), (logits, _) in zip(exact, found, strict=True)])
    return _BesideFloat(sqnr_db=decibels(signal, max(noise, np.finfo(float).tiny)), leads=leads)


def _lead(logits: Array, first: int) -> float:
    """Of a class over the next best; of a single output there is no other."""
    others = np.delete(logits, first)
    return float(logits[first] - others.max()) if len(others) else 0.0
