"""Published accuracies: they need the images and the weights, but two of them can be held against each other."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from effnet_lab.intervals import wilson
from effnet_lab.studies.claims.recounts import CONFIRMED, CONTRADICTED, COPIED, EXPLAINED, UNCHECKED, Claim

IMAGENET = 50_000
_COUNT = re.compile(r"([\d,]+)(?: validation)? images")


def judge_accuracy(claim: Claim, table: pd.DataFrame) -> dict[str, Any]:
    """Columns rule, ours, verdict and explanation of one accuracy.

    Whoever published it first is *not checkable here*. A later number for the same network is held against that one: the
    same number is *copied*, where its source says so, or *confirmed elsewhere*; within the 95 % interval that its images
    allow the two are one number measured twice (*explained difference*), outside they *contradict* each other. A share of
    few images must be a whole number of them. None of it is our own measurement.
    """
    n = _images(claim.conditions)
    if n < IMAGENET:
        return _whole_number(claim, n)
    first = table[(table["model"] == claim.model) & (table["quantity"] == claim.quantity)].iloc[0]
    nothing = {"rule": "", "ours": float("nan")}
    if first["source"] == claim.source:
        words = (
            "It needs ImageNet's 50,000 validation images and the official weights: `evaluate --data` then makes it."
        )
        return nothing | {"verdict": UNCHECKED, "explanation": words}
    rule, other = f"the number of {first['source'].split(',')[0]}", float(first["value"])
    low, high = wilson(round(claim.value * n), n)
    if abs(other - claim.value) < 1e-9:
        copied = "copied" in claim.conditions
        words = f"It is the same number, {'taken over from there' if copied else 'measured by others; not by us'}."
        return {"rule": rule, "ours": other, "verdict": COPIED if copied else CONFIRMED, "explanation": words}
    span = f"{low:.2%} to {high:.2%}, n = {n:,}"
    if low <= other <= high:
        words = (
            f"{claim.value:.2%} and {other:.2%}: the 95 % interval of the first ({span}) holds the second. The images cannot "
            f"tell the two apart; resize, JPEG decoder{', input size' if ' px' in claim.conditions else ''} and export differ."
        )
        return {"rule": rule, "ours": other, "verdict": EXPLAINED, "explanation": words}
    words = (
        f"{claim.value:.2%} here, {other:.2%} there, outside {span}: another recipe, size or head, not another sample."
    )
    return {"rule": rule, "ours": other, "verdict": CONTRADICTED, "explanation": words}


def _whole_number(claim: Claim, n: int) -> dict[str, Any]:
    """Whether the share is one of so many images, as far as its digits go; the accuracy itself needs ST's training."""
    hits = round(claim.value * n)
    fits = abs(hits / n - claim.value) <= claim.rounded_to / 2 * 1.001
    words = f"It is {hits} of {n} images" if fits else f"No whole number of {n} images gives it"
    low, high = wilson(hits, n)
    words += f"; 95 % interval {low:.2%} to {high:.2%}. The weights may run on ST's devices only, and are not run here."
    return {
        "rule": f"a whole number of {n} images", "ours": hits / n, "explanation": words,
        "verdict": UNCHECKED if fits else CONTRADICTED,
    }  # fmt: skip


def _images(conditions: str) -> int:
    found = _COUNT.search(conditions)
    return int(found[1].replace(",", "")) if found else IMAGENET
