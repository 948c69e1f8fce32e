"""The law of a study: against statsmodels' own formulas, a law that is known, and the networks it was made from."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from effnet_lab.names import UserError
from effnet_lab.scaling import Grid, get_spec, law_of, search, study_of, totals
from effnet_lab.scaling.grown import grid_networks, matched_networks
from effnet_lab.scaling.law import DIMENSIONS, features_of, fit_law, left_out
from effnet_lab.studies.scaling_study.point import hits_of

MICRO0 = get_spec("micro0")


GROWN = {levels: [*matched_networks(MICRO0, levels, 10), *grid_networks(MICRO0, 10)] for levels in (1, 4)}


def study(top1, *, seeds=1, levels=4):
    """A study whose float top-1 is `top1(features, seed)`."""
    rows = []
    for grown in GROWN[levels]:
        spec, cost = grown.spec, totals(grown.spec, 10)
        for seed in range(seeds):
            rows.append(
                {
                    "model": spec.name,
                    "direction": grown.direction,
                    "seed": seed,
                    "base": "micro0",
                    "data": "made",
                    "width": spec.width,
                    "depth": spec.depth,
                    "resolution_px": spec.resolution,
                    "params": cost.params,
                    "madds": cost.madds,
                    "float_top1": top1(features_of(spec), seed),
                }
            )
    return pd.DataFrame(rows)


def known(x, _seed=0):
    """A law with squares, from which no noise hides the coefficients."""
    w, d, r = x - features_of(MICRO0)
    return 1 / (1 + np.exp(-(0.2 + 0.5 * w + 0.1 * d + 0.9 * r - 0.2 * r**2)))


def straight(x):
    w, d, r = x - features_of(MICRO0)
    return 1 / (1 + np.exp(-(0.2 + 0.5 * w + 0.1 * d + 0.3 * r)))


def test_features_are_of_the_rounded_network():
    widened = replace(MICRO0, width=MICRO0.width * 1.01)  # rounds to the same channels
    assert features_of(widened).tolist() == features_of(MICRO0).tolist()
    # micro0: stem 8, stages 8 8 8 8 8 16 16, head 64; repeats 1 1 1 1 1 2 1; 32 px
    assert features_of(MICRO0).tolist() == pytest.approx([np.log2([8] * 6 + [16, 16, 64]).mean(), 3.0, 5.0])


def test_a_known_law_is_found_and_chosen():
    table = study(lambda x, _: known(x) + 0.002 * np.sin(1000 * x.sum()))
    assert fit_law(table).form != "linear"
    assert fit_law(study(lambda x, _: straight(x) + 0.002 * np.sin(1000 * x.sum()))).form == "linear"
    law = fit_law(table, "quadratic")
    assert law.result.params[:4].tolist() == pytest.approx([0.2, 0.5, 0.1, 0.9], abs=0.05)
    unseen = replace(MICRO0, width=0.1, depth=0.6, resolution=48)
    expected = law.expect(features_of(unseen)[None]).iloc[0]
    assert expected["expected_top1"] == pytest.approx(known(features_of(unseen)), abs=0.01)
    assert expected["expected_top1_lo"] < known(features_of(unseen)) < expected["expected_top1_hi"]


def test_the_prediction_interval_is_statsmodels_own():
    import statsmodels.formula.api as smf

    table = study(lambda x, _: known(x) + 0.02 * np.sin(1000 * x.sum()))
    law = fit_law(table, "linear")
    seen = table.groupby(["params", "madds", "resolution_px"], sort=False).first().reset_index()
    features = np.stack(
        [
            features_of(replace(MICRO0, width=row.width, depth=row.depth, resolution=int(row.resolution_px)))
            for row in seen.itertuples()
        ]
    )
    data = pd.DataFrame(features, columns=list(DIMENSIONS)).assign(
        y=np.log(seen["float_top1"] / (1 - seen["float_top1"]))
    )
    theirs = smf.ols("y ~ width + depth + resolution", data).fit().get_prediction(data).summary_frame(alpha=0.05)
    ours = law.expect(features)
    for name, column in (
        ("expected_top1", "mean"),
        ("expected_top1_lo", "obs_ci_lower"),
        ("expected_top1_hi", "obs_ci_upper"),
    ):
        assert ours[name].tolist() == pytest.approx((1 / (1 + np.exp(-theirs[column]))).tolist(), rel=1e-9)


def test_what_was_trained_is_inside_and_a_phone_network_is_not():
    table = study(known)
    law = fit_law(table)
    seen = [
        features_of(replace(MICRO0, width=r.width, depth=r.depth, resolution=int(r.resolution_px)))
        for r in table.itertuples()
    ]
    assert law.expect(np.array(seen))["inside"].all()
    corner = np.max(seen, axis=0)  # as wide, as deep and as fine as the extremes, all at once
    outside = law.expect(np.array([features_of(get_spec("lite0")), corner]))
    assert outside["inside"].tolist() == [False, False]


def test_the_gain_is_the_slope_of_the_law():
    law = fit_law(study(known), "quadratic")
    gains = law.gain(MICRO0).set_index("direction")["gain"]
    at, h = features_of(MICRO0), 1e-6
    for i, (dimension, per_doubling) in enumerate(zip(DIMENSIONS, (0.5, 1.0, 0.5), strict=True)):
        step = np.eye(3)[i] * h
        assert gains[dimension] == pytest.approx(
            per_doubling * (known(at + step) - known(at - step)) / (2 * h), rel=1e-4
        )


def test_left_out_networks_are_expected_by_a_law_that_never_saw_them():
    def spoiled(x, _seed):
        return (
            0.2
            if x[1] == features_of(next(n.spec for n in GROWN[4] if n.spec.name == "micro0_depth_x8"))[1]
            else known(x)
        )

    table = left_out(study(spoiled), "linear")
    one = table[table["rule"] == "one network left out"].set_index("model")
    assert one.loc["micro0_depth_x8", "error"] < -0.2  # seen, it would pull the law to itself
    assert not one.loc["micro0_depth_x8", "inside"]
    assert set(table[table["rule"] == "one direction left out"]["direction"]) == {
        "width",
        "depth",
        "resolution",
        "compound",
        "grid",
    }


def test_seeds_of_one_network_are_no_independent_networks():
    once = study(known)
    thrice = study(lambda x, seed: known(x) + (seed - 1) * 0.01, seeds=3)
    assert fit_law(thrice, "linear").n_networks == fit_law(once, "linear").n_networks
    assert fit_law(thrice, "linear").result.df_resid == fit_law(once, "linear").result.df_resid


def test_too_few_networks_are_refused():
    few = study(known, levels=1)
    with pytest.raises(UserError, match=r"at least 7 networks\. The study has 1"):
        fit_law(few[few["direction"] == "base"])


def test_search_by_accuracy_puts_what_was_never_tried_last():
    small = Grid(widths=(0.05, 0.1, 1.0), depths=(0.3, 0.6), resolutions=(32, 48, 64, 224))
    found = search(classes=10, scale_ends=True, grid=small, by="accuracy")
    assert found["inside"].tolist() == sorted(found["inside"], reverse=True)
    assert not found.set_index("width").loc[1.0, "inside"].any()  # lite0's channels: no such network was trained
    inside = found[found["inside"]]
    assert inside["expected_top1"].is_monotonic_decreasing
    base = found[(found["width"] == 0.05) & (found["depth"] == 0.3) & (found["resolution_px"] == 32)].iloc[0]
    assert base["expected_top1"] == pytest.approx(law_of("scenes").of(MICRO0))
    assert set(zip(found["width"], found["depth"], found["resolution_px"], strict=True)) == {
        (w, d, r) for w, d, r in itertools.product(small.widths, small.depths, small.resolutions)
    }
    with pytest.raises(UserError, match="evenness"):
        search(by="evennes")
    with pytest.raises(UserError, match="scenes"):
        search(grid=small, by="accuracy", task="scene")


def test_the_study_that_comes_with_the_package_is_whole():
    table = study_of("scenes")
    assert (table["n_images"] == 2000).all()
    for row in table.itertuples():
        for scheme in ("float", "int8"):
            hits = hits_of(getattr(row, f"{scheme}_hits"))
            assert hits.mean() == pytest.approx(getattr(row, f"{scheme}_top1"))
        spec = replace(MICRO0, width=row.width, depth=row.depth, resolution=row.resolution_px)
        assert (totals(spec, 10).params, totals(spec, 10).madds) == (row.params, row.madds)
