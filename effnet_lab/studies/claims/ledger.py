"""Every published number beside our own: what was claimed, by which rule we recount it, and whether the two agree."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.scaling import published
from effnet_lab.studies.claims.accuracies import judge_accuracy
from effnet_lab.studies.claims.recounts import (
    CONTRADICTED,
    COPIED,
    EXPLAINED,
    RECOUNTS,
    REPRODUCED,
    TOLERATED,
    TOTALS,
    UNCHECKED,
    Claim,
    Recount,
)

NEEDS = {  # what checking would take, by the beginning of the quantity
    "latency_ms": "It needs that processor or phone; `bench --adb` measures on one.",
    "plants": "It needs the Plant Village photographs and ST's training.",
    "food101": "It needs the Food-101 photographs and ST's training.",
    "activation_m": "It needs that network's weights, which were not published.",
    "ram_runtime": "It needs ST's runtime library, compiled for that processor.",
    "flash_code": "It needs ST's example program, compiled for that processor.",
}
_OLDER_TOOL = "STM32Cube.AI 7.3"


def claims_ledger(measured: pd.DataFrame | None = None) -> pd.DataFrame:
    """CLAIMS frame: one row per published number.

    A claim is *reproduced* if we have computed it anew by the first rule for its quantity and it is the same within the
    rounding of the publication; *within our tolerance* if it is so within a tolerance that we allow, which is named;
    *copied* if nobody has computed it anew: it is a constant of the original code, or another publication's number;
    *confirmed elsewhere* if others have measured the same; an *explained difference* if another rule gives it, which is
    named; *contradicted* if no rule does; *not checkable here* if this machine cannot make the number, with what it would
    take.

    Parameters
    ----------
    measured : DataFrame, optional
        MEASURED frame: numbers that had to be measured (an allocator's arena), for the claims of the same model and quantity.
    """
    table = published()
    return frames.build(frames.CLAIMS, [_row(claim, table, measured) for claim in table.to_dict("records")])


def _row(row: Mapping[Hashable, Any], table: pd.DataFrame, measured: pd.DataFrame | None) -> dict[str, Any]:
    claim = Claim(**{name: row[name] for name in ("model", "quantity", "source", "value", "rounded_to", "conditions")})
    kept = {name: row[name] for name in ("model", "quantity", "source", "value", "unit", "conditions")}
    if claim.quantity.startswith(("top1", "top5")):
        return kept | judge_accuracy(claim, table)
    for start, words in NEEDS.items():
        if claim.quantity.startswith(start):
            return kept | {"rule": "", "ours": float("nan"), "verdict": UNCHECKED, "explanation": words}
    if claim.quantity in TOTALS:
        return kept | _judge_total(claim, table)
    if claim.quantity == "activation_bytes" and claim.conditions == _OLDER_TOOL:
        words = (
            "It is the planner of another version of that tool; the newer one needs +27 % or -26 % for the same file."
        )
        return kept | {"rule": "", "ours": float("nan"), "verdict": UNCHECKED, "explanation": words}
    recounts = [*_measured(claim, measured), *RECOUNTS.get(claim.quantity, ())]
    return kept | _judge(claim, recounts)


def _measured(claim: Claim, measured: pd.DataFrame | None) -> list[Recount]:
    if measured is None:
        return []
    rows = measured[(measured["model"] == claim.model) & (measured["quantity"] == claim.quantity)]
    return [
        Recount(
            rule=row["rule"],
            value=_always(row["value"]),
            tolerance=row["tolerance"],
            because=row["because"],
            other_meaning=bool(row["because"]),
        )
        for row in rows.to_dict("records")
    ]


def _always(value: float) -> Callable[[Claim], float | None]:
    return lambda _claim: value


def _judge(claim: Claim, recounts: Sequence[Recount]) -> dict[str, Any]:
    """The first rule that gives the number, else the first rule there is."""
    values = [(recount, value) for recount in recounts if (value := recount.value(claim)) is not None]
    if not values:
        words = "It needs a measurement that was not made in this run."
        return {"rule": "", "ours": float("nan"), "verdict": UNCHECKED, "explanation": words}
    for i, (recount, ours) in enumerate(values):
        if recount.agrees(claim, ours):
            verdict = _agreement(recount, claim, ours, first=not i)
            words = "" if verdict == REPRODUCED else recount.words(claim, ours)
            if i:
                words = f"Our {values[0][0].rule} is {_number(values[0][1])}. {words}"
            return {"rule": recount.rule, "ours": ours, "verdict": verdict, "explanation": words}
    recount, ours = values[0]
    tried = ", ".join(f"{other.rule}: {_number(value)}" for other, value in values)
    words = recount.if_not.format(ours=_number(ours)) or f"No rule gives it. Tried {tried}."
    return {"rule": recount.rule, "ours": ours, "verdict": CONTRADICTED, "explanation": words}


def _agreement(recount: Recount, claim: Claim, ours: float, *, first: bool) -> str:
    """What to call it that a rule gives the number."""
    if not first or recount.other_meaning:
        return EXPLAINED
    if not recount.exact(claim, ours):
        return TOLERATED
    return COPIED if recount.taken_over else REPRODUCED


def _judge_total(claim: Claim, table: pd.DataFrame) -> dict[str, Any]:
    """A total against the parts that the same source prints beside it; each of them is rounded."""
    beside = table[(table["model"] == claim.model) & (table["source"] == claim.source)].set_index("quantity")
    parts = beside.loc[list(TOTALS[claim.quantity])]
    ours = float(parts["value"].sum())
    rounding = (claim.rounded_to + float(parts["rounded_to"].sum())) / 2 * 1.001
    said = " + ".join(f"{value:,.0f}" for value in parts["value"])
    fits = abs(ours - claim.value) <= rounding
    words = f"{said} = {ours:,.0f} bytes in the same table" + (
        "." if fits else ": the total is not the sum of its parts."
    )
    return {
        "rule": "sum of the parts that the same table prints", "ours": ours,
        "verdict": REPRODUCED if fits else CONTRADICTED, "explanation": words,
    }  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
