"""A study of scaling: equal cost, a ledger that goes on, intervals over seeds and images, the paired tests of triples."""

from __future__ import annotations

import math
import os
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from scipy.stats import t

from effnet_lab import frames
from effnet_lab.intervals import crossed_interval
from effnet_lab.ledger import Ledger
from effnet_lab.names import UserError
from effnet_lab.scaling import get_spec, law_of_the_published, totals, variants
from effnet_lab.scaling.grown import DIRECTIONS, grid_networks, matched_networks
from effnet_lab.studies import scaling_study
from effnet_lab.studies.scaling_study import (
    coefficients,
    gains,
    read_study,
    study,
    summary,
    which_direction,
    which_triple,
)
from effnet_lab.studies.scaling_study.point import hits_of, hits_text
from effnet_lab.view import plot_coefficients, plot_dimensions
from effnet_lab.workers import in_workers

MICRO0 = get_spec("micro0")
SEEDS, IMAGES = 3, 400


@pytest.fixture(scope="module")
def grown():
    return [*matched_networks(MICRO0, 3, 10), *grid_networks(MICRO0, 10)]


def runs_of(grown, top1):
    """A study whose networks recognise what `top1(network, seed)` says, made and not trained."""
    rows = []
    for network in grown:
        spec, cost = network.spec, totals(network.spec, 10)
        for seed in range(SEEDS):
            hits = top1(network, np.random.default_rng([seed, cost.madds]))
            row = {name: getattr(network.compound, name, np.nan) for name in ("alpha", "beta", "gamma")}
            row |= {"model": spec.name, "direction": network.direction, "level": network.level, "base": "micro0"}
            row |= {"seed": seed, "data": "made", "width": spec.width, "depth": spec.depth, "params": cost.params}
            row |= {"resolution_px": spec.resolution, "madds": cost.madds, "arena_bytes": cost.peak_activation_bytes}
            row |= {"n_images": IMAGES, "float_hits": hits_text(hits), "int8_hits": hits_text(hits)}
            rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=list(frames.SCALING_STUDY.columns))
    return frames.require(table, frames.SCALING_STUDY, caller="test")


def test_every_direction_has_the_madds_of_its_level(grown):
    unit = totals(MICRO0, 10).madds
    matched = [network for network in matched_networks(MICRO0, 4, 10) if network.direction != "base"]
    assert len(matched) == 3 * 4
    for network in matched:
        assert totals(network.spec, 10).madds / unit == pytest.approx(network.level, rel=0.05), network.spec.name
    for network in matched:  # one dimension alone
        moved = {
            name for name in ("width", "depth", "resolution") if getattr(network.spec, name) != getattr(MICRO0, name)
        }
        assert moved == ({network.direction} if network.direction != "compound" else {"width", "depth", "resolution"})


def test_the_triples_of_the_grid_double_the_madds(grown):
    triples = {(n.compound.alpha, n.compound.beta, n.compound.gamma) for n in grown if n.direction == "grid"}
    for alpha, beta, gamma in triples:
        assert alpha * beta**2 * gamma**2 == pytest.approx(2.0)
    assert any(alpha == 1.2 and beta == 1.1 for alpha, beta, _ in triples)


def test_recognised_images_come_back_from_text():
    for n in (1, 7, 8, 2000):
        hits = np.random.default_rng(n).random(n) < 0.5
        assert (hits_of(hits_text(hits)) == hits).all()
    for text in ("", "12", "x:AA==", "99:AA==", "8:not base64"):
        with pytest.raises(UserError, match="should read like"):
            hits_of(text)


@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 3), (0.3, 3), (0.3, 8)])
def test_an_interval_over_seeds_and_images_holds_the_truth(spread, seeds):
    rng, held = np.random.default_rng(0), []
    for _ in range(300):  # half of all is the truth, by symmetry
        ease, luck = rng.normal(0, 1.5, 300), rng.normal(0, spread, seeds)
        hits = ease + luck[:, None] + rng.logistic(size=(seeds, 300)) > 0
        _, low, high = crossed_interval(hits)
        held.append(low <= 0.5 <= high)
    assert 0.88 <= np.mean(held) <= 0.99


def test_with_one_seed_it_is_the_t_interval_over_images():
    from scipy import stats

    hits = np.random.default_rng(0).random((1, 500)) < 0.8
    mean, low, high = crossed_interval(hits)
    theirs = stats.t.interval(0.95, 499, loc=hits.mean(), scale=stats.sem(hits[0].astype(float)))
    assert (mean, low, high) == pytest.approx((hits.mean(), *theirs))


def test_a_better_triple_is_told_from_the_papers_and_an_equal_one_is_not(grown):
    fixed = np.random.default_rng(7).random(IMAGES)

    def better(network, rng):
        share = (
            0.9
            if network.direction == "grid" and network.compound.alpha == 1.0 and network.compound.beta == 1.0
            else 0.6
        )
        return fixed + rng.normal(0, 0.02, IMAGES) < share

    table = coefficients(runs_of(grown, better)).set_index(["alpha", "beta", "level"]).sort_index()
    assert (table.loc[(1.0, 1.0), "difference"] > 0.2).all()
    assert (table.loc[(1.0, 1.0), "p_adjusted"] < 1e-6).all()
    assert table.loc[(1.2, 1.1), "p_adjusted"].isna().all()  # the paper's own, against itself
    others = table.drop(index=[(1.0, 1.0), (1.2, 1.1)])["p_adjusted"]
    assert (others > 0.05).all()
    assert "can be told apart" in which_triple(table.reset_index())


def test_when_all_are_equal_the_sentence_says_so(grown):
    fixed = np.random.default_rng(7).random(IMAGES)
    sentence = which_triple(coefficients(runs_of(grown, lambda _, rng: fixed + rng.normal(0, 0.05, IMAGES) < 0.6)))
    assert "the paper's triple is the best" in sentence or "cannot be told apart with this data" in sentence


def test_a_study_without_a_grid_says_so(grown):
    matched = [network for network in grown if network.direction != "grid"]
    table = coefficients(runs_of(matched, lambda _, rng: rng.random(IMAGES) < 0.6))
    assert table.empty
    assert (
        which_triple(table) == "This study trained no grid of alpha, beta and gamma: effnet-lab study scaling --grid."
    )


def test_the_gain_is_points_per_doubling_of_the_cost(grown):
    def by_madds(network, _rng):
        return np.arange(IMAGES) < IMAGES * (0.5 + 0.1 * np.log2(network.level))

    runs = runs_of([network for network in grown if network.direction != "grid"], by_madds)
    for row in gains(runs).itertuples():
        assert row.gain == pytest.approx(0.1, rel=0.05)  # rounding leaves some MAdds
    arena = gains(runs, "arena_bytes").set_index(["direction", "level"])["gain"]
    assert arena["width", 2.0] == np.inf  # the first maps decide, and they stay as they are
    assert arena["resolution", 2.0] == pytest.approx(
        0.1, rel=0.1
    )  # a picture of twice the pixels needs twice the memory
    with pytest.raises(UserError, match="cost"):
        gains(runs, "euros")


def test_the_table_has_every_network_once(grown):
    table = summary(runs_of(grown, lambda _, rng: rng.random(IMAGES) < 0.7))
    assert len(table) == len(grown)
    assert (table["n_seeds"] == SEEDS).all()
    assert ((table["float_top1_lo"] < table["float_top1"]) & (table["float_top1"] < table["float_top1_hi"])).all()
    assert table.loc[0, "madds_ratio"] == 1.0


def test_an_unfinished_study_is_read_as_far_as_it_is(tmp_path, grown):
    assert read_study(grown, Ledger(tmp_path), seeds=range(2)).empty
    with pytest.raises(UserError, match="no finished run of its base"):
        summary(read_study(grown, Ledger(tmp_path), seeds=range(2)))


def test_a_study_goes_on_and_repeats_nothing(tmp_path, monkeypatch):
    """The real thing, small: the base alone, one epoch; a second seed is added, and it alone is trained."""
    asked = []

    def in_this_process(call, tasks, workers):
        asked.extend(tasks)
        return ((task, call(task)) for task in tasks)

    monkeypatch.setattr(study, "in_workers", in_this_process)  # the others give way to all that runs beside the tests
    how = {"levels": 1, "epochs": 1}
    Ledger(tmp_path).begin("of a run that was killed")
    with Ledger(tmp_path).held("study"), pytest.raises(UserError, match="Another study is at work"):
        scaling_study("scenes?n=64", tmp_path, **how)
    first = scaling_study("scenes?n=64", tmp_path, seeds=1, **how)
    assert [task.seed for task in asked] == [0]
    assert not list((tmp_path / "work").iterdir())
    assert first.table["relative_p50"].tolist() == pytest.approx([1.0])  # the base against itself
    both = scaling_study("scenes?n=64", tmp_path, seeds=2, **how)
    assert [task.seed for task in asked] == [0, 1]
    assert both.table["n_seeds"].tolist() == [2]
    pd.testing.assert_frame_equal(both.runs.iloc[[0]], first.runs)
    assert both.runs["float_hits"].nunique() == 2  # another seed is another network
    with pytest.raises(UserError, match=r"holds a study of 'scenes\?n=64', 1 epochs"):
        scaling_study("scenes?n=64", tmp_path, levels=1, epochs=2)


def test_workers_are_polite_and_answer_each_task():
    assert sorted(in_workers(math.sqrt, [4.0, 9.0, 16.0], 2)) == [(4.0, 2.0), (9.0, 3.0), (16.0, 4.0)]
    ((_, priority),) = in_workers(os.nice, [0], 1)
    assert priority == 19


def test_a_worker_ends_with_its_parent(tmp_path):
    """Killed without a chance to clean up, the parent leaves no process behind."""
    code = (
        "import time; from effnet_lab.workers import in_workers\n"
        "if __name__ == '__main__': list(in_workers(time.sleep, [600.0], 1))"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = psutil.Popen([sys.executable, str(script)])
    workers = until(lambda: [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())])
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(workers, timeout=120)[1] == []


def until(found):
    """Ask again until there is something: how long a new process takes depends on what else runs."""
    while not (answer := found()):
        time.sleep(0.05)
    return answer


def test_bad_numbers_are_refused(tmp_path):
    for wrong in ({"seeds": 0}, {"workers": 0}, {"levels": 0}, {"base": "micro9"}):
        with pytest.raises(UserError):
            scaling_study("digits", tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_the_figures_draw_the_numbers_of_their_tables(grown):
    runs = runs_of(grown, lambda network, rng: rng.random(IMAGES) < 0.5 + 0.1 * np.log2(network.level))
    table = summary(runs)
    fig = plot_dimensions(table, "int8", "params")
    assert [trace.name for trace in fig.data] == list(DIRECTIONS)
    width = table[table["direction"].isin(("base", "width"))].sort_values("level")
    assert list(fig.data[0].y) == width["int8_top1"].tolist()
    assert list(fig.data[0].error_y.array) == pytest.approx((width["int8_top1_hi"] - width["int8_top1"]).tolist())
    triples = coefficients(runs)
    fig = plot_coefficients(triples)
    assert sum(symbol == "star" for trace in fig.data for symbol in trace.marker.symbol) == 2  # the paper's, per level
    assert sorted(x for trace in fig.data for x in trace.x) == sorted(triples["float_top1"])
    with pytest.raises(UserError, match="cost"):
        plot_dimensions(table, x="top1")


def test_the_sentence_compares_all_three_with_the_best_single_dimension(grown):
    fixed = np.linspace(0, 1, IMAGES, endpoint=False)
    share = {"base": 0.5, "width": 0.55, "depth": 0.5, "resolution": 0.6, "compound": 0.8, "grid": 0.5}
    sentence = which_direction(runs_of(grown, lambda network, _: fixed < share[network.direction]))
    assert sentence.startswith("With 4 times the MAdds: compound 80.0%, resolution 60.0%, width 55.0%, depth 50.0%.")
    assert "less resolution alone: +20.0 points (" in sentence
    assert sentence.endswith("the two can be told apart.")
    few = [network for network in grown if network.direction in ("base", "width")]
    assert "No level" in which_direction(runs_of(few, lambda _, rng: rng.random(IMAGES) < 0.5))


def test_the_published_law_expects_each_network_from_the_others():
    table = law_of_the_published(variants()).set_index("model")
    assert list(table.index) == ["lite0", "lite1", "lite2", "lite3", "lite4"]
    known = variants().set_index("model").loc[table.index]
    others = known.drop(index="lite2")
    slope, start = np.polyfit(
        np.log2(others["madds"]), np.log(others["published_top1"] / (1 - others["published_top1"])), 1
    )
    expected = 1 / (1 + np.exp(-(start + slope * np.log2(known.loc["lite2", "madds"]))))
    assert table.loc["lite2", "expected_top1"] == pytest.approx(expected)
    assert table.loc["lite2", "error"] == pytest.approx(0.776 - expected)
    assert set(table["rule"]) == {"one network left out"}
    x, y = np.log2(others["madds"]), np.log(others["published_top1"] / (1 - others["published_top1"]))
    at = np.log2(known.loc["lite2", "madds"])
    left = (
        float(np.square(y - start - slope * x).sum()) / 2
    )  # the textbook's interval of a new value on a line, 2 degrees
    reach = t.ppf(0.975, 2) * math.sqrt(left * (1 + 1 / 4 + (at - x.mean()) ** 2 / np.square(x - x.mean()).sum()))
    ends = [1 / (1 + math.exp(-(start + slope * at + sign * reach))) for sign in (-1, 1)]
    assert table.loc["lite2", ["expected_top1_lo", "expected_top1_hi"]].tolist() == pytest.approx(ends)
    assert table["inside"].tolist() == [False, True, True, True, False]
