"""The law of a study: against statsmodels' own formulas, a law that is known, and the networks it was made from."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from effnet_lab.names import UserError
from effnet_lab.scaling import Grid, get_spec, law_of, search, study_of, totals
from effnet_lab.scaling.compound import DIMENSIONS
from effnet_lab.scaling.grown import grid_networks, matched_networks
from effnet_lab.scaling.law import FORMS, features_of, fit_law, left_out
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


def slope_of(law, spec, i):
    """Derivative of the terms of a quadratic law along one feature, times what a doubling of the MAdds moves it."""
    x = features_of(spec) - law.centre
    terms = np.zeros(7)
    terms[1 + i], terms[4 + i] = 1.0, 2 * x[i]
    return terms * (0.5, 1.0, 0.5)[i]


def test_the_interval_of_a_gain_is_that_of_statsmodels_contrast():
    law = fit_law(study(lambda x, _: known(x) + 0.02 * np.sin(1000 * x.sum())), "quadratic")
    spec = replace(MICRO0, width=0.2, resolution=48)
    top1 = law.expect(features_of(spec)[None])["expected_top1"].iloc[0]
    for i, row in enumerate(law.gain(spec).itertuples()):
        theirs = law.result.t_test(slope_of(law, spec, i))
        low, high = theirs.conf_int(alpha=0.05)[0]
        share = top1 * (1 - top1)
        assert row.direction == DIMENSIONS[i]
        assert (row.gain, row.gain_lo, row.gain_hi) == pytest.approx(
            (float(theirs.effect[0]) * share, low * share, high * share), rel=1e-6
        )


def test_every_form_has_its_terms():
    """A law with squares and products is found exactly by the form that has them, and by no simpler one."""

    def curved(x, _seed):
        w, d, r = x - features_of(MICRO0)
        logit = 0.1 + 0.4 * w - 0.05 * d + 0.3 * r - 0.03 * w * w + 0.01 * d * d - 0.02 * r * r
        return 1 / (1 + np.exp(-(logit + 0.05 * w * d - 0.04 * w * r + 0.03 * d * r)))

    law = fit_law(study(curved), "interactions")
    assert law.result.params.tolist() == pytest.approx(
        [0.1, 0.4, -0.05, 0.3, -0.03, 0.01, -0.02, 0.05, -0.04, 0.03], abs=1e-9
    )
    assert [len(fit_law(study(curved), form).result.params) for form in FORMS] == [4, 7, 10] == list(FORMS.values())
    with pytest.raises(UserError, match="quadratic"):
        fit_law(study(curved), "quadratc")


def test_a_form_needs_two_networks_more_than_it_has_coefficients():
    table = study(known).drop_duplicates(["params", "madds", "resolution_px"]).sample(frac=1, random_state=0)
    for form, coefficients in FORMS.items():
        assert fit_law(table[: coefficients + 2], form).n_networks == coefficients + 2
        with pytest.raises(UserError, match=f"at least {coefficients + 2} networks. The study has {coefficients + 1}"):
            fit_law(table[: coefficients + 1], form)
    assert fit_law(table[:7]).form == "linear"  # one is left out, so that seven are needed to choose
    with pytest.raises(UserError, match=r"at least 7 networks\. The study has 6"):
        fit_law(table[:6])


def test_the_simplest_form_within_one_standard_error_is_taken():
    """By the rule itself, on errors of networks left out that are counted here."""
    table = study(lambda x, seed: known(x) + 0.03 * np.sin(1000 * x.sum()))
    squared = {
        form: left_out(table, form).query("rule == 'one network left out'")["error"].to_numpy() ** 2 for form in FORMS
    }
    least = min(squared.values(), key=np.mean)
    limit = least.mean() + np.std(least, ddof=1) / np.sqrt(len(least))
    assert fit_law(table).form == next(form for form in FORMS if squared[form].mean() <= limit)


def test_a_network_is_left_out_by_hand():
    table = study(lambda x, _: known(x) + 0.02 * np.sin(1000 * x.sum()))
    found = left_out(table, "linear")
    one = found[found["rule"] == "one network left out"]
    distinct = table.drop_duplicates(["params", "madds", "resolution_px"]).reset_index(drop=True)
    assert one["model"].tolist() == distinct["model"].tolist()[1:]  # the base is the centre
    for row in one.itertuples():
        alone = distinct[distinct["model"] == row.model].iloc[0]
        law = fit_law(distinct[distinct["model"] != row.model], "linear")
        spec = replace(MICRO0, width=alone["width"], depth=alone["depth"], resolution=int(alone["resolution_px"]))
        expected = law.expect(features_of(spec)[None]).iloc[0]
        assert row.expected_top1 == pytest.approx(expected["expected_top1"])
        assert row.error == pytest.approx(alone["float_top1"] - expected["expected_top1"])
        assert row.inside == expected["inside"]
    grown = found[found["rule"] == "one direction left out"].groupby("direction").size()
    assert grown.to_dict() == distinct[distinct["direction"] != "base"].groupby("direction").size().to_dict()
    few = distinct[distinct["direction"].isin(("base", "width", "compound"))]  # without either only four are left
    assert set(left_out(few, "linear")["rule"]) == {"one network left out"}
    one_more = pd.concat([few, distinct[distinct["direction"] == "resolution"].head(1)])  # five, and seven without it
    by_direction = left_out(one_more, "linear").query("rule == 'one direction left out'")
    assert set(by_direction["direction"]) == {"resolution"}


def test_what_a_law_says_of_itself():
    law = fit_law(study(known), "linear")
    assert law.sentence == f"a linear law of {law.n_networks} networks (1 seed each), trained alike on made"
    three = study(known, seeds=3)
    assert "(3 seeds each)" in fit_law(three, "linear").sentence
    fewer = three[(three["seed"] == 0) | (three["direction"] != "grid")]
    assert "(1 to 3 seeds each)" in fit_law(fewer, "linear").sentence
    assert np.isnan(law.of(get_spec("lite0")))
    assert law.of(MICRO0) == law.expect(features_of(MICRO0)[None])["expected_top1"].iloc[0]
    expected, gains = law.at(width=0.05, depth=0.3, resolution_px=32, fixed_ends=False)
    assert expected["expected_top1"].iloc[0] == pytest.approx(law.of(MICRO0))
    pd.testing.assert_frame_equal(gains, law.gain(MICRO0))


def test_another_recipe_is_an_offset_and_nothing_else():
    def noisy(x, _=0):
        return known(x) + 0.002 * np.sin(1000 * x.sum())

    better = {name: known(features_of(get_spec(name))) for name in ("micro0", "micro1", "micro2", "micro3")}
    better = {name: 1 / (1 + (1 - share) / share * np.exp(-0.7)) for name, share in better.items()}
    law = fit_law(study(noisy), "quadratic", better)
    assert law.result.params[-1] == pytest.approx(0.7, abs=0.05)
    assert law.of(MICRO0) == pytest.approx(known(features_of(MICRO0)), abs=0.01)  # as the study would have trained it
    assert law.sentence.endswith("trained alike on made, and 4 more that were trained by another recipe")
    assert law.n_networks == fit_law(study(noisy), "quadratic").n_networks
    gain = fit_law(study(noisy), "quadratic").gain(MICRO0)["gain"].to_numpy()
    assert law.gain(MICRO0)["gain"].to_numpy() == pytest.approx(gain, abs=0.01)
    table = left_out(study(noisy), "quadratic", better)
    assert not set(table["model"]) & set(better)
    assert set(table["direction"]) == {"width", "depth", "resolution", "compound", "grid"}


def test_what_else_was_trained_helps_with_a_direction_that_is_left_out():
    law = law_of("scenes")
    assert set(law.others) == {"micro0", "micro1", "micro2", "micro3"}
    alone = fit_law(study_of("scenes"))
    tables = left_out(study_of("scenes"), alone.form), left_out(study_of("scenes"), law.form, law.others)
    missing = [table.loc[table["rule"] == "one direction left out", "error"] for table in tables]
    assert [np.sqrt((errors**2).mean()) for errors in missing] == pytest.approx([0.267, 0.151], abs=0.001)


def test_a_box_has_three_sides():
    """A network is outside where any one feature lies beyond what was seen, on either side."""
    table = study(known)
    law = fit_law(table, "linear")
    for i in range(3):
        for end, sign in ((law.low, -1), (law.high, 1)):
            x = law.centre.copy()
            x[i] = end[i]
            at_the_end = law.expect(x[None])["inside"].iloc[0]
            x[i] = end[i] + sign * 1e-6
            assert not law.expect(x[None])["inside"].iloc[0]
            assert at_the_end or i < 2 or sign > 0  # an end may lie too far out, but not the smallest picture


def test_the_leverage_is_that_of_the_hat_matrix():
    law = fit_law(study(known), "linear")
    assert law.leverage == pytest.approx(law.result.get_influence().hat_matrix_diag.max())


def test_the_studies_that_come_with_the_package_are_named():
    with pytest.raises(UserError, match=r"task of a scaling study.*scenes"):
        study_of("flower")
    law = law_of()
    assert law.task == "scenes"
    assert law is law_of("scenes") or law.n_networks == law_of("scenes").n_networks
    assert law.n_seeds == (1, study_of()["seed"].nunique())


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
