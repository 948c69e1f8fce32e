"""Intervals and paired comparison against published tables, hand calculations and closed forms. No network runs."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from effnet_lab.evaluate.compare import compare_all, compare_predictions, describe_difference, images_needed
from effnet_lab.evaluate.image_stream import StageClock
from effnet_lab.evaluate.predictions import Predictions
from effnet_lab.images import ImageSet, Preprocess
from effnet_lab.intervals import (
    crossed_interval,
    crossed_p_value,
    difference_interval,
    difference_row,
    mcnemar,
    mean_interval,
    quantile_interval,
    share_row,
    wilson,
)
from effnet_lab.litert import ModelInfo
from effnet_lab.names import UserError

# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998, table I, method 3.
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


def pairs(only_first: int, only_second: int, both: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hits of two networks, image by image, with these counts."""
    counts = (only_first, only_second, both, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


@pytest.mark.parametrize(("counted", "published"), NEWCOMBE.items(), ids=str)
def test_wilson_is_newcombes_table(counted, published):
    assert wilson(*counted) == pytest.approx(published, abs=5e-5)


def test_the_cells_of_a_share():
    low, high = NEWCOMBE[15, 148]
    assert share_row(15, 148, "kept") == pytest.approx({"kept": 15 / 148, "kept_lo": low, "kept_hi": high}, abs=5e-5)
    assert all(math.isnan(value) for value in share_row(0, 0).values())
    assert list(share_row(1, 1)) == ["top1", "top1_lo", "top1_hi"]


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        ((6, 0, 0), 2 / 2**6),
        ((10, 2, 5), 2 * (1 + 12 + 66) / 2**12),  # both tails of a fair coin thrown twelve times
        ((2, 10, 5), 2 * (1 + 12 + 66) / 2**12),
        ((5, 7, 700), 0.7744140625),  # R: binom.test(5, 12)
        ((1, 0, 3), 1.0),
        ((0, 1, 3), 1.0),
        ((0, 0, 7, 3), 1.0),
    ],
)
def test_mcnemar_by_hand(counts, p):
    assert mcnemar(*pairs(*counts)) == pytest.approx(p)


@pytest.mark.parametrize("counts", [(40, 90, 800, 70), (90, 40, 800, 70), (300, 300, 400, 0)])
def test_the_difference_has_the_dirichlet_distributions_mean_and_width(counts):
    """Shares of many images are nearly normal, with the moments of the Dirichlet distribution (a textbook's closed form)."""
    first, second, *same = counts
    a = np.array([first, second, sum(same)]) + 0.5
    total = a.sum()
    mean = (a[0] - a[1]) / total
    variance = (a[0] * (total - a[0]) + a[1] * (total - a[1]) + 2 * a[0] * a[1]) / (total**2 * (total + 1))
    low, high = difference_interval(*pairs(*counts))
    assert (low + high) / 2 == pytest.approx(mean, abs=0.06 * math.sqrt(variance))
    assert high - low == pytest.approx(2 * 1.959964 * math.sqrt(variance), rel=0.03)


def test_images_that_nobody_got_differently_still_leave_room():
    """Half an image of each kind: the share of one kind alone is Beta(1/2, n + 1), as Jeffreys has it."""
    from scipy.stats import beta

    low, high = difference_interval(*pairs(0, 0, 100))
    # the difference of two small, nearly independent Beta shares: its upper end lies just below that of one of them
    assert beta.ppf(0.95, 0.5, 101) < high < beta.ppf(0.975, 0.5, 101)
    assert low == pytest.approx(-high, rel=0.1)


def test_images_needed_by_hand():
    """Connor's formula with 1.959964 and 0.841621: three of ten differ, by one in ten."""
    n = ((1.959964 * math.sqrt(0.3) + 0.841621 * math.sqrt(0.3 - 0.1**2)) / 0.1) ** 2
    assert (n, images_needed(*pairs(2, 1, 5, 2))) == (pytest.approx(233.09, abs=0.01), 234)
    assert images_needed(*pairs(1, 2, 5, 2)) == 234
    assert images_needed(*pairs(20, 10, 50, 20)) == 234  # shares count, not numbers
    assert images_needed(*pairs(3, 3, 4)) == math.inf


def test_images_needed_without_a_contrary_one():
    """Where only one of the two is ever better, both shares under the roots are known: 0.2 and 0.2 - 0.04."""
    n = ((1.959964 * math.sqrt(0.2) + 0.841621 * math.sqrt(0.16)) / 0.2) ** 2
    assert images_needed(*pairs(2, 0, 8)) == math.ceil(n)


def test_the_cells_of_a_difference():
    hits = pairs(90, 40, 800, 70)
    low, high = difference_interval(*hits)
    assert difference_row(*hits) == pytest.approx(
        {"difference": 0.05, "difference_lo": low, "difference_hi": high, "p_value": mcnemar(*hits)}
    )


@pytest.mark.parametrize("share", [0.5, 0.9, 0.2])
def test_a_quantile_lies_in_its_interval_as_often_as_it_says(share):
    """Ends are order statistics; the number of values below the quantile is binomial."""
    from scipy.stats import binom

    low, high = quantile_interval(np.arange(1.0, 61.0), share)
    inside = binom.cdf(high - 1, 60, share) - binom.cdf(low - 1, 60, share)
    assert 0.95 <= inside < 0.985


def test_an_end_that_so_few_values_do_not_have_is_nan():
    low, high = quantile_interval(np.arange(1.0, 6.0), 0.5)  # 2 / 2**5 = 6 %: five values have no 95 % interval
    assert math.isnan(low)
    assert math.isnan(high)
    assert quantile_interval(np.arange(1.0, 7.0), 0.5) == (1.0, 6.0)  # six have: 2 / 2**6 = 3 %


def test_students_interval_by_hand():
    assert mean_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert mean_interval(np.array([1.0, 2.0, 3.0]), 0.99) == pytest.approx(
        (2 - 9.924843 / 3**0.5, 2 + 9.924843 / 3**0.5)
    )
    assert mean_interval(np.full(4, 0.7)) == pytest.approx((0.7, 0.7))


# --- a table and a sentence about two networks


def said(hits: np.ndarray, **info: str) -> Predictions:
    """What a network of three classes said, right where `hits` says so; wrong answers are all the same class."""
    labels = np.arange(len(hits)) % 2
    ranked = np.stack([np.where(hits, labels, 2), np.where(hits, 2, labels)], axis=1).astype(np.int32)
    images = ImageSet(
        name="made", split="all", classes=("a", "b", "c"), labels=labels, fingerprint="1" * 16, read=lambda i: None
    )
    known = {"model": "net", "scheme": "int8", "backend": "tool"} | info
    return Predictions(
        info=ModelInfo(preprocess=Preprocess(size_px=8), classes=("a", "b", "c"), **known),
        images=images, ranked=ranked, confidence=np.ones(len(hits), np.float32), clock=StageClock(),
    )  # fmt: skip


def compared(counts: tuple[int, ...], **info: str):
    first, second = pairs(*counts)
    return compare_predictions(said(first, **info), said(second, scheme="float32", backend=""))


def test_the_row_of_a_comparison():
    row = compared((5, 7, 700, 22)).iloc[0]
    assert (row["model"], row["scheme"], row["backend"], row["against"]) == ("net", "int8", "tool", "net float32")
    assert (row["n_images"], row["n_only_this"], row["n_only_other"]) == (734, 5, 7)
    assert row["agreement"] == pytest.approx(722 / 734)
    assert (row["top1"], row["against_top1"]) == pytest.approx((705 / 734, 707 / 734))
    assert row["difference"] == pytest.approx(-2 / 734)
    assert row["p_value"] == pytest.approx(0.7744140625)
    assert row["n_images_needed"] == images_needed(*pairs(5, 7, 700, 22))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        # the p-value is 2 * sum of C(130, k), k to 40, over 2**130
        ((40, 90, 800, 70), r"loses 5\.0 points \(2\.8 to 7\.[23]\): distinguishable on 1,000 images \(p = 1\.4e-05\)"),
        ((90, 40, 800, 70), r"gains 5\.0 points \(2\.8 to 7\.[23]\): distinguishable on 1,000 images \(p = 1\.4e-05\)"),
        # 12 of 734 differ, by 2: ((1.96 sqrt(12/734) + 0.84 sqrt(12/734 - (2/734)**2)) / (2/734))**2 = 17,274
        (
            (5, 7, 700, 22),
            r"loses 0\.3 points \(-0\.[67] to 1\.[23]\): not distinguishable on 734 images; 17,000 would settle it",
        ),
        (
            (0, 0, 80, 20),
            r"is right on the same images as net float32; 100 images exclude a difference of more than 2\.\d points",
        ),
        (
            (3, 3, 74, 20),
            r"is right on as many images as net float32; 100 images exclude a difference of more than [5-7]\.\d points",
        ),
    ],
)
def test_the_sentence_of_a_comparison(counts, words):
    assert re.fullmatch(f"int8 {words}", describe_difference(compared(counts)))


def test_another_network_is_named_and_not_its_scheme():
    assert describe_difference(compared((40, 90, 800, 70), model="nets")).startswith("nets loses")


def test_a_p_value_of_five_percent_exactly_shows_nothing():
    """Six tosses of one side: 2 / 2**6 = .031; a p-value at the bound itself cannot occur, so the bound is set to one."""
    compare = importlib.import_module("effnet_lab.evaluate.compare")  # the room has a function of that name

    counts = (6, 0, 94)
    assert " distinguishable on 100" in describe_difference(compared(counts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "SIGNIFICANT", 2 / 2**6)
        assert "not distinguishable" in describe_difference(compared(counts))


def test_other_images_are_refused():
    one, other = said(pairs(1, 2, 3)[0]), said(pairs(1, 2, 3)[1])
    with pytest.raises(UserError, match="on the same images"):
        compare_predictions(one, said(pairs(1, 2, 4)[1]))
    with pytest.raises(UserError, match="on the same images"):
        compare_predictions(one, replace(other, images=replace(other.images, fingerprint="2" * 16)))


def test_every_pair_that_saw_the_same_images_is_compared():
    first, second = pairs(1, 2, 3)
    answers = [said(first, model="a"), said(second, model="b"), said(first, model="c")]
    others = said(pairs(1, 2, 4)[0], model="d")
    table = compare_all([*answers, others])
    assert list(zip(table["model"], table["against"].str[0], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert compare_all([others]).empty


# --- seeds and images


def by_loops(values: np.ndarray) -> tuple[float, float]:
    """Half of the interval and its degrees of freedom, by the sums of squares of a two-way layout without repetition."""
    seeds, images = values.shape
    mean, of_image, of_seed = values.mean(), values.mean(axis=0), values.mean(axis=1)
    ms_images = seeds * sum((m - mean) ** 2 for m in of_image) / (images - 1)
    ms_seeds = images * sum((m - mean) ** 2 for m in of_seed) / (seeds - 1)
    left = sum((values[s, i] - of_seed[s] - of_image[i] + mean) ** 2 for s in range(seeds) for i in range(images))
    more = max(0.0, ms_seeds - left / ((seeds - 1) * (images - 1)))
    freedom = (ms_images + more) ** 2 / (ms_images**2 / (images - 1) + more**2 / (seeds - 1))
    return float(stats.t.ppf(0.975, freedom) * np.sqrt((ms_images + more) / values.size)), freedom


@pytest.mark.parametrize("apart", [0.0, 3.0], ids=["seeds alike", "seeds apart"])
def test_seeds_and_images_are_two_sources_of_chance(apart):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 7)) + rng.normal(size=7) + apart * np.arange(4)[:, None]
    mean, low, high = crossed_interval(values)
    half, freedom = by_loops(values)
    assert (mean, low, high) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))
    assert freedom < 6 or apart == 0.0  # with seeds that differ, it is the few seeds that count


def test_one_seed_leaves_the_images():
    values = np.array([[1.0, 0.0, 1.0, 1.0, 0.0]])
    interval = stats.ttest_1samp(values[0], 0.0).confidence_interval(0.95)
    assert crossed_interval(values) == pytest.approx((0.6, interval.low, interval.high))
    assert crossed_interval(values, 0.5)[2] == pytest.approx(
        stats.ttest_1samp(values[0], 0.0).confidence_interval(0.5).high
    )


def test_values_that_are_all_alike_have_no_interval():
    assert crossed_interval(np.ones((3, 5))) == (1.0, 1.0, 1.0)
    assert crossed_p_value(np.ones((3, 5))) == 0.0
    assert crossed_p_value(np.zeros((3, 5))) == 1.0


def test_the_p_value_is_one_less_the_level_at_which_the_interval_ends_at_zero():
    rng = np.random.default_rng(1)
    for seeds in (1, 2, 5):
        values = rng.normal(0.3, 1.0, (seeds, 30))
        _, low, high = crossed_interval(values, 1 - crossed_p_value(values))
        assert min(abs(low), abs(high)) == pytest.approx(0.0, abs=1e-12)
        assert crossed_p_value(-values) == pytest.approx(crossed_p_value(values))
    assert crossed_p_value(values[:1]) == pytest.approx(stats.ttest_1samp(values[0], 0.0).pvalue)
