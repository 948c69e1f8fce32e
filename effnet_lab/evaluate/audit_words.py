"""What the preprocessing audit says in words."""

from __future__ import annotations

import pandas as pd

from effnet_lab.evaluate.pipelines import FACTORS


def describe(row: pd.Series) -> str:
    """One pipeline in a few words."""
    offset = int(row["label_offset"])
    crop = "no crop" if row["crop"] == "none" else f"crop {row['crop']}"
    shift = f", label offset {offset:+d}" if offset else ""
    return f"{row['normalisation']}, {crop}, {row['interpolation']}, {row['channels']}{shift}"


def sentence(table: pd.DataFrame, n: int) -> str:
    """What the user's pipeline (B) loses against the best (A), and by which of its parts."""
    best = table.iloc[0]
    marked = table[table["mark"] == "B"]
    if marked.empty:
        return (
            f"Your pipeline (A) is the best of {len(table)}: {describe(best)}; top-1 {best['top1']:.3f} on {n} images"
        )
    yours = marked.iloc[0]
    lost = 100 * (best["top1"] - yours["top1"])
    if yours["tied"]:
        return (
            f"Your pipeline (B) cannot be told apart from the best (A) on {n} images (p = {yours['p_value']:.2f}): "
            f"{describe(yours)} against {describe(best)}"
        )
    points = f"{lost:.0f} point{'s' if round(lost) != 1 else ''}"
    return f"Your pipeline (B) loses {points} against (A): {' and '.join(_culprits(table, yours))}"


def ties(table: pd.DataFrame, n: int) -> str:
    """Which values of which parts the images cannot tell apart; only pipelines that saw all of them count."""
    equal = _equals(table)
    if len(equal) == 1:
        return f"(A) is better than every other pipeline on {n} images: {describe(table.iloc[0])}"
    open_questions = [
        f"{words} {' or '.join(str(value) for value in equal[column].unique())}"
        for column, words in FACTORS.items()
        if len(equal[column].unique()) > 1
    ]
    return (
        f"{len(equal)} pipelines cannot be told apart on {n} images (exact McNemar test, 5 %): "
        f"{'; '.join(open_questions)}. More images may tell them apart"
    )


def _equals(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(table[table["tied"] & (table["n_images"] == table["n_images"].max())])


def _culprits(table: pd.DataFrame, yours: pd.Series) -> list[str]:
    """Parts in which yours differs from the nearest pipeline that is as good as the best."""
    equal = _equals(table)
    different = equal[list(FACTORS)].ne(yours[list(FACTORS)])
    nearest = different.iloc[int(different.sum(axis=1).to_numpy().argmin())]
    return [words for column, words in FACTORS.items() if nearest[column]]
