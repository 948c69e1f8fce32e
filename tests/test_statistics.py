"""Intervals and paired comparison against published tables, hand calculations and closed forms. No network runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from effnet_lab.evaluate.compare import difference_interval, images_needed, mcnemar
from effnet_lab.intervals import wilson

# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998, table I, method 3.
NEWCOMBE = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


def pairs(only_first: int, only_second: int, both: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hits of two networks, image by image, with these counts."""
    counts = (only_first, only_second, both, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


@pytest.mark.parametrize(("counted", "published"), NEWCOMBE.items(), ids=str)
def test_wilson_is_newcombes_table(counted, published):
    assert wilson(*counted) == pytest.approx(published, abs=5e-5)


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
