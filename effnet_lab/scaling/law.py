"""Expected top-1 of a network that nobody trained: a law in width, depth and resolution, fitted to a study."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.names import UserError, lookup
from effnet_lab.scaling.compound import DIMENSIONS
from effnet_lab.scaling.family import spec_of
from effnet_lab.scaling.rounding import scaled_channels, scaled_repeats
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.scaling.trained import study_of, trained_otherwise
from effnet_lab.scaling.variants import get_spec

LEVEL = 0.95
# What grows by one when the MAdds double along one dimension: they go with the square of channels and of pixels.
_PER_DOUBLING = {"width": 0.5, "depth": 1.0, "resolution": 0.5}
OTHER = "another recipe"  # in place of the direction in which a network of the study grew
_INTERVAL = {"": "mean", "_lo": "obs_ci_lower", "_hi": "obs_ci_upper"}  # statsmodels' names of a prediction's


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """Logit of top-1 as a polynomial in log2 of channels, blocks and pixels, by least squares over the networks of a study."""

    form: str  # of FORMS
    result: Any  # statsmodels' RegressionResults
    centre: NDArray[np.float64]  # features of the base
    low: NDArray[np.float64]  # smallest features seen
    high: NDArray[np.float64]
    leverage: float  # the largest among the networks seen
    task: str
    n_networks: int
    n_seeds: tuple[int, int]  # of a network: fewest and most
    others: Mapping[
        str, float
    ]  # top-1 of variants that were trained by another recipe: they have an offset of their own

    def expect(self, features: NDArray[np.float64]) -> pd.DataFrame:
        """Columns expected_top1 with the ends of its 95 % prediction interval, and whether the network lies inside.

        Inside means: no feature beyond those seen, and no further from their middle than the furthest network that was
        seen (its leverage), so that a corner of the box where nothing was trained is outside.

        Parameters
        ----------
        features : float (n, 3)
            Rows of `features_of`.
        """
        terms = self._terms(features - self.centre)
        found = self.result.get_prediction(terms).summary_frame(alpha=1 - LEVEL)
        boxed = ((features >= self.low - 1e-9) & (features <= self.high + 1e-9)).all(axis=1)
        values = {f"expected_top1{end}": _share(found[name].to_numpy()) for end, name in _INTERVAL.items()}
        return pd.DataFrame(values | {"inside": boxed & (_leverages(terms, self.result) <= self.leverage + 1e-9)})

    def gain(self, spec: NetSpec) -> pd.DataFrame:
        """Where the next MAdd is best spent: SLOPES frame, top-1 per doubling of the MAdds along each dimension.

        The slope of the law at the network along each dimension, with the 95 % interval of the slope.
        """
        from scipy.stats import t

        at = (features_of(spec) - self.centre)[None]
        expected = _share(self._terms(at) @ self.result.params)[0]
        half, rows = float(t.ppf((1 + LEVEL) / 2, self.result.df_resid)), []
        for i, dimension in enumerate(DIMENSIONS):
            step = np.zeros_like(at)
            step[0, i] = 1e-4
            slope = (self._terms(at + step) - self._terms(at - step))[0] / 2e-4 * _PER_DOUBLING[dimension]
            slope = slope * expected * (1 - expected)
            gain, error = float(slope @ self.result.params), float(np.sqrt(slope @ self.result.cov_params() @ slope))
            rows.append(
                {"direction": dimension, "gain": gain, "gain_lo": gain - half * error, "gain_hi": gain + half * error}
            )
        return frames.build(frames.SLOPES, rows)

    def at(self, **settings: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What `expect` and `gain` say of the network that the keywords of `spec_of` make."""
        spec = spec_of(**settings)
        return self.expect(features_of(spec)[None]), self.gain(spec)

    def of(self, spec: NetSpec) -> float:
        """Expected top-1 of a network; NaN where it lies outside what was measured."""
        expected = self.expect(features_of(spec)[None]).iloc[0]
        return float(expected["expected_top1"]) if expected["inside"] else float("nan")

    @property
    def sentence(self) -> str:
        """What the law was fitted to."""
        fewest, most = self.n_seeds
        seeds = f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' if most > 1 else ''}"
        others = f", and {len(self.others)} more that were trained by another recipe" if self.others else ""
        return f"a {self.form} law of {self.n_networks} networks ({seeds} each), trained alike on {self.task}{others}"

    def _terms(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of networks trained by the recipe of the study."""
        return _with_recipe(_terms(x, self.form), np.zeros(len(x)), self.others)


FORMS = {"linear": 4, "quadratic": 7, "interactions": 10}  # and how many coefficients each has


def features_of(spec: NetSpec) -> NDArray[np.float64]:
    """log2 of the geometric mean of the channels, of the blocks and of the side, as they are after rounding; float (3,)."""
    return np.array(
        [
            np.log2(scaled_channels(spec)).mean(),
            np.log2(sum(scaled_repeats(spec))),
            np.log2(spec.resolution),
        ]
    )


def fit_law(study: pd.DataFrame, form: str | None = None, others: Mapping[str, float] | None = None) -> Law:
    """Fit a law to the float top-1 of a study, and of what else was trained for its task.

    Without a form it is the simplest whose squared error on networks left out lies within one standard error of the least.
    Source of the rule: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", section 7.10.

    Parameters
    ----------
    study : DataFrame
        SCALING_STUDY. Seeds of one network are averaged: they are no independent networks.
    form : str, optional
        Of FORMS: "linear", "quadratic" (with squares), "interactions" (with products as well).
    others : mapping, optional
        Float top-1 by variant, of networks that were trained by another recipe. They share one offset for it: they say what
        width, depth and resolution do, not how good the study's recipe is.

    Raises
    ------
    UserError
        If the study has too few networks.
    """
    seen = _networks(study, others or {})
    n = int((seen["other"] == 0).sum())
    if form is None:
        form = _simplest(seen)
    lookup("form of a law", form, FORMS)
    if n < FORMS[form] + 2:
        raise UserError(f"A {form} law needs at least {FORMS[form] + 2} networks. The study has {n}.")
    return _fit(seen, form)


def left_out(study: pd.DataFrame, form: str, others: Mapping[str, float] | None = None) -> pd.DataFrame:
    """LEFT_OUT frame: each network expected by a law that never saw it; then each direction by one that never saw any of it."""
    seen = _networks(study, others or {})
    rows, grown = [_one_out(seen, form)], [name for name in seen["direction"].unique() if name not in ("base", OTHER)]
    for direction in grown:
        rest = seen[seen["direction"] != direction]
        if (rest["other"] == 0).sum() >= FORMS[form] + 2:
            rows.append(_held_out(rest, seen[seen["direction"] == direction], form, "one direction left out"))
    table = pd.concat(rows, ignore_index=True)[list(frames.LEFT_OUT.columns)]
    return frames.require(table, frames.LEFT_OUT, caller="left_out")


@functools.cache
def law_of(task: str = "scenes") -> Law:
    """The law of a study that comes with the package, and of the other networks that do."""
    return fit_law(study_of(task), others=trained_otherwise(task))


def law_of_the_published(variants: pd.DataFrame) -> pd.DataFrame:
    """The same law in MAdds alone, fitted to published accuracies: each network expected from the others.

    Parameters
    ----------
    variants : DataFrame
        VARIANTS; rows without a published top-1 are left out.

    Returns
    -------
    DataFrame
        LEFT_OUT. Of five networks each is expected from four, with two degrees of freedom left.
    """
    from statsmodels.api import OLS

    seen = variants[variants["published_top1"].notna()].reset_index(drop=True)
    x = np.log2(seen["madds"].to_numpy(float))
    top1 = seen["published_top1"].to_numpy(float)
    y = np.log(top1 / (1 - top1))
    terms = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    rows = []
    for i, model in enumerate(seen["model"]):
        others = np.arange(len(x)) != i
        found = OLS(y[others], terms[others]).fit().get_prediction(terms[[i]]).summary_frame(alpha=1 - LEVEL).iloc[0]
        ends = {f"expected_top1{end}": float(_share(found[name])) for end, name in _INTERVAL.items()}
        inside = x[others].min() <= x[i] <= x[others].max()
        rows.append(
            {"rule": "one network left out", "model": model, "direction": "compound", "float_top1": top1[i],
             "error": top1[i] - ends["expected_top1"], "inside": bool(inside)} | ends
        )  # fmt: skip
    return frames.build(frames.LEFT_OUT, rows)


def _networks(study: pd.DataFrame, others: Mapping[str, float]) -> pd.DataFrame:
    """One row per network: its features, its mean top-1, the directions it stands for (the first is kept); last the others."""
    rows = []
    for (_, _, _), runs in study.groupby(["params", "madds", "resolution_px"], sort=False):
        first = runs.iloc[0]
        spec = replace(
            get_spec(first["base"]), width=first["width"], depth=first["depth"], resolution=int(first["resolution_px"])
        )
        row = {name: first[name] for name in ("model", "direction", "data")}
        row |= dict(zip(DIMENSIONS, features_of(spec), strict=True))
        rows.append(row | {"float_top1": runs["float_top1"].mean(), "n_seeds": runs["seed"].nunique(), "other": 0.0})
    for model, top1 in others.items():
        row = {"model": model, "direction": OTHER, "float_top1": top1, "other": 1.0}
        rows.append(row | dict(zip(DIMENSIONS, features_of(get_spec(model)), strict=True)))
    return pd.DataFrame(rows)


def _fit(seen: pd.DataFrame, form: str) -> Law:
    from statsmodels.api import OLS

    features, top1 = seen[list(DIMENSIONS)].to_numpy(float), seen["float_top1"].to_numpy(float)
    centre, other = features[0], seen["other"].to_numpy()
    study, others = seen[other == 0], seen[other == 1].set_index("model")["float_top1"].to_dict()
    terms = _terms(features - centre, form)
    result = OLS(np.log(top1 / (1 - top1)), _with_recipe(terms, other, others)).fit()
    return Law(
        form=form, result=result, centre=centre, low=features.min(axis=0), high=features.max(axis=0),
        leverage=float(_leverages(_with_recipe(terms, np.zeros(len(seen)), others), result).max()), others=others,
        task=str(study["data"].iloc[0]), n_networks=len(study),
        n_seeds=(int(study["n_seeds"].min()), int(study["n_seeds"].max())),
    )  # fmt: skip


def _leverages(terms: NDArray[np.float64], result: Any) -> NDArray[np.float64]:
    """How far networks lie from the middle of those that a law was fitted to, one per row of `terms`."""
    return np.asarray(np.einsum("ij,jk,ik->i", terms, result.normalized_cov_params, terms))


def _one_out(seen: pd.DataFrame, form: str) -> pd.DataFrame:
    ours = seen.index[seen["other"] == 0][1:]  # the base is what the law is centred at
    parts = [_held_out(seen.drop(index=i), seen.loc[[i]], form, "one network left out") for i in ours]
    return pd.concat(parts, ignore_index=True)


def _held_out(rest: pd.DataFrame, out: pd.DataFrame, form: str, rule: str) -> pd.DataFrame:
    expected = _fit(rest, form).expect(out[list(DIMENSIONS)].to_numpy(float))
    known = out[["model", "direction", "float_top1"]].reset_index(drop=True)
    table = pd.concat([known, expected], axis=1).assign(rule=rule)
    return table.assign(error=table["float_top1"] - table["expected_top1"])


def _simplest(seen: pd.DataFrame) -> str:
    squared = {
        form: _one_out(seen, form)["error"].to_numpy() ** 2 for form in _possible(int((seen["other"] == 0).sum()))
    }
    least = min(squared.values(), key=np.mean)
    limit = least.mean() + least.std(ddof=1) / np.sqrt(len(least))
    return next(form for form, errors in squared.items() if errors.mean() <= limit)


def _possible(n: int) -> Iterable[str]:
    found = [form for form, coefficients in FORMS.items() if n - 1 >= coefficients + 2]
    if not found:
        raise UserError(f"A law needs at least {FORMS['linear'] + 3} networks. The study has {n}.")
    return found


def _terms(x: NDArray[np.float64], form: str) -> NDArray[np.float64]:
    columns: Sequence[NDArray[np.float64]] = [np.ones(len(x)), *x.T]
    if form != "linear":
        columns = [*columns, *(x**2).T]
    if form == "interactions":
        columns = [*columns, *(x[:, i] * x[:, j] for i, j in ((0, 1), (0, 2), (1, 2)))]
    return np.stack(columns, axis=1)


def _with_recipe(
    terms: NDArray[np.float64], other: NDArray[np.float64], others: Mapping[str, float]
) -> NDArray[np.float64]:
    """With a column for what another recipe changes, where there are networks of one."""
    return np.column_stack([terms, other]) if others else terms


def _share(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logit)))
