"""One verdict per layer: the worst fault of its own, or the layer whose fault it suffers from, or healthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab import frames
from effnet_lab.analysis.verdicts import faults
from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.faults import Fault
from effnet_lab.names import UserError

BAD_DB = 20.0  # accumulated error from 10 % of the signal on
MARGIN_DB = 3.0  # more of the error's energy comes in than the layer adds: ten times log10 of 1 + 1
STARVING = 0.9  # share of dead channels from which on nothing behind can be judged
SHADOW_BITS = 1.5  # behind a fault that changes the values, a finding has to exceed its limit by this to count
CHANGES_VALUES = ("dead", "outlier channel", "unlike residual")
WIDE_BITS = 2.0  # worth a note: the values use a quarter of the codes
# What comes out in a channel is made of the same channel of what goes in.
KEEPS_CHANNELS = (
    "depthwise", "add", "sub", "mul", "mean", "average_pool_2d", "max_pool_2d", "relu", "relu6", "pad", "reshape",
)  # fmt: skip


@dataclass(kw_only=True)
class _Case:
    """What is known of one layer when its turn comes."""

    evidence: Evidence
    parents: list[_Case]
    accumulated_db: float
    local_db: float  # as measured, or NaN
    findings: list[Fault] = field(default_factory=list)  # worst first
    culprit: str = ""  # another layer, whose fault this one passes on
    carries: dict[str, str] = field(default_factory=dict)  # verdict passed on to what reads this layer -> its origin
    ancestors: frozenset[str] = frozenset()

    @property
    def layer(self) -> str:
        return self.evidence.layer

    @property
    def own_db(self) -> float:
        """Local error; that of the output's grid where it was not measured, or where an input's codes are at fault.

        The local error is taken from inputs rounded to the codes that the op reads, so it holds their clipping, too.
        """
        misled = np.isnan(self.local_db) or any(parent.sick for parent in self.parents)
        return self.evidence.output_sqnr_db if misled else self.local_db

    @property
    def sick(self) -> bool:
        """Whether there is a fault of its own."""
        return bool(self.findings) and not self.culprit


def verdicts(errors: pd.DataFrame, evidence: Sequence[Evidence]) -> pd.DataFrame:
    """Say of every layer what is wrong with it, how one knows, and what is usually done about it.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR rows of one file, from `layer_error` with the notions "accumulated" and "local". Where the local error
        was not measured, the error of the output's grid stands for it.
    evidence : sequence of Evidence
        From `gather_evidence`, of the same file and images.

    Returns
    -------
    DataFrame
        VERDICTS, one row per layer in forward order. `verdict` is one of `frames.VERDICT_NAMES`:

        - the worst fault of the layer's own, see `faults`, by the bits it costs; smaller ones stand in `notes`;
        - "upstream": a fault of an earlier layer (`culprit`) shows here, in the values themselves (a constant input, an
          outlier channel handed on by an addition), or as accumulated error under 20 dB that is at least 3 dB worse
          than the layer's own;
        - "healthy".

    Raises
    ------
    UserError
        If `errors` holds rows of several files.
    """
    frames.require(errors, frames.LAYER_ERROR, caller="verdicts")
    if len(errors[list(frames.MODEL_FILE)].drop_duplicates()) != 1:
        raise UserError("verdicts judges one file. Select the rows of one model, scheme and backend.")
    measured = errors.set_index("layer")
    cases: dict[str, _Case] = {}
    for one in sorted(evidence, key=lambda one: one.layer_index):
        cases[one.layer] = _examine(one, cases, measured)
    table = frames.build(frames.VERDICTS, [case.evidence.file | _row(case, cases) for case in cases.values()])
    table.attrs["unmatched"] = errors.attrs.get("unmatched", [])
    return table


def _examine(one: Evidence, cases: dict[str, _Case], measured: pd.DataFrame) -> _Case:
    parents = [cases[name] for name in one.parents if name in cases]
    row = measured.loc[one.layer] if one.layer in measured.index else None
    local = float("nan") if row is None else float(row["sqnr_local_db"])
    case = _Case(
        evidence=one,
        parents=parents,
        accumulated_db=float("nan") if row is None else float(row["sqnr_accumulated_db"]),
        local_db=local,
        ancestors=frozenset().union(*(parent.ancestors | {parent.layer} for parent in parents)),
    )
    inherited = _inherited_constants(case)
    found = (
        faults.dead(one, inherited),
        faults.clipped(one),
        faults.wasted_range(one),
        faults.outlier_channel(one),
        faults.outlier_kernel(one),
        faults.bimodal(one),
        faults.unlike_residual(one, [parent.evidence for parent in parents]),
    )
    findings = sorted((f for f in found if f is not None), key=_severity, reverse=True)
    starved = _starved_by(case)
    shadow = "" if starved else _shadow(case, cases)
    case.findings = [f for f in findings if not starved and not _passed_on(f, case) and not _mild(f, shadow)]
    if starved:
        case.carries["starved"] = case.culprit = starved
    elif findings and not case.findings and not case.carries:
        case.culprit = shadow
    elif not case.findings:
        case.culprit = _constant_origin(case, inherited) or next(iter(case.carries.values()), "")
    case.carries |= {finding.verdict: one.layer for finding in case.findings}
    if any(finding.verdict == "dead" and finding.evidence >= STARVING for finding in case.findings):
        case.carries["starved"] = one.layer
    return case


def _starved_by(case: _Case) -> str:
    """The dead layer that all of the layer's inputs come from: what the values look like behind it says nothing."""
    origins = [parent.carries.get("starved", "") for parent in case.parents]
    return origins[0] if origins and all(origins) and len(origins) == len(case.evidence.parents) else ""


def _shadow(case: _Case, cases: dict[str, _Case]) -> str:
    """The nearest layer before whose fault has changed the values themselves: behind it, networks behave strangely."""
    sick = [cases[name] for name in case.ancestors if cases[name].sick]
    sick = [other for other in sick if other.findings[0].verdict in CHANGES_VALUES]
    return max(sick, key=lambda other: other.evidence.layer_index).layer if sick else ""


def _mild(finding: Fault, shadow: str) -> bool:
    return bool(shadow) and finding.verdict != "clipped" and finding.margin < SHADOW_BITS


def _severity(finding: Fault) -> tuple[bool, float]:
    """A dead layer first: whatever else one may say about constant values is of no use."""
    return finding.verdict == "dead", finding.bits_lost


def _inherited_constants(case: _Case) -> NDArray[np.bool_]:
    """Channels that must be constant because what they are made from is."""
    n = case.evidence.channel_max.size
    constant = [faults.constant_channels(parent.evidence) for parent in case.parents]
    if not constant or len(case.parents) < len(case.evidence.parents):
        return np.zeros(n, bool)
    if case.evidence.op in KEEPS_CHANNELS and all(c.size == n for c in constant):
        return np.logical_and.reduce(constant)
    return np.full(n, all(c.all() for c in constant))


def _constant_origin(case: _Case, inherited: NDArray[np.bool_]) -> str:
    if inherited.mean() < faults.DEAD_SHARE:
        return ""
    case.carries |= {v: o for parent in case.parents for v, o in parent.carries.items() if v == "dead"}
    return case.carries.get("dead", "")


def _passed_on(finding: Fault, case: _Case) -> bool:
    """Whether the finding is a trait of an input that is at fault itself; then the layer carries it on."""
    for parent in case.parents:
        origin = parent.carries.get(finding.verdict)
        if finding.verdict == "unlike residual":
            if parent.layer == finding.small and parent.carries.keys() & {"dead", "starved"}:
                origin = parent.carries.get("dead") or parent.carries["starved"]
            elif parent.layer == finding.large:
                origin = next((parent.carries[v] for v in _WIDENS if v in parent.carries), None)
            else:
                origin = None
        elif finding.verdict in ("clipped", "wasted range"):
            origin = origin if case.evidence.grid == parent.evidence.grid else None
        elif finding.verdict == "dead" or case.evidence.op not in KEEPS_CHANNELS or finding.unit == faults.KERNEL_UNIT:
            origin = None
        if origin is not None:
            case.carries[finding.verdict] = origin
            return True
    return False


_WIDENS = ("outlier channel", "bimodal", "unlike residual")  # faults that widen a range for everything behind


def _row(case: _Case, cases: dict[str, _Case]) -> dict:
    shared = {
        "layer_index": case.evidence.layer_index, "layer": case.layer, "op": case.evidence.op,
        "sqnr_accumulated_db": case.accumulated_db, "sqnr_local_db": case.local_db,
    }  # fmt: skip
    if case.sick:
        worst, *others = case.findings
        return shared | {
            "verdict": worst.verdict, "bits_lost": worst.bits_lost, "evidence_value": worst.evidence,
            "evidence_unit": worst.unit, "culprit": "", "sentence": worst.sentence, "remedy": worst.remedy,
            "notes": " ".join([f"Also {other.verdict}: {other.sentence}" for other in others] + _wide(case)),
        }  # fmt: skip
    return shared | {"bits_lost": float("nan"), "notes": " ".join(_wide(case))} | _not_its_own(case, cases)


def _not_its_own(case: _Case, cases: dict[str, _Case]) -> dict:
    """Upstream or healthy."""
    size = f"own error {_db(case.own_db)}, accumulated {_db(case.accumulated_db)}"
    sick = [cases[name] for name in case.ancestors if cases[name].sick]
    bad = case.accumulated_db < BAD_DB and case.own_db - case.accumulated_db >= MARGIN_DB
    if not case.culprit and not (sick and bad):
        low, noisy = case.accumulated_db < BAD_DB, case.own_db < BAD_DB
        what = "None of the known faults, yet much error" if noisy else "Nothing found"
        remedy = "Open its histogram and its weights, or give it 16 bits." if noisy else ""
        more = "; the roundings of the layers before add up" if low else ""
        return {
            "verdict": "healthy", "evidence_value": case.own_db, "evidence_unit": "dB, its own error", "culprit": "",
            "sentence": f"{what}: {size}{more}.", "remedy": remedy,
        }  # fmt: skip
    culprit = (
        cases[case.culprit] if case.culprit else max(sick, key=lambda other: (other.evidence.layer_index, other.layer))
    )
    what = culprit.findings[0].verdict
    how = f"It hands on what {culprit.layer} brings in" if case.culprit else f"The error comes from {culprit.layer}"
    return {
        "verdict": "upstream", "evidence_value": case.own_db - case.accumulated_db, "evidence_unit": "dB of the error come in",
        "culprit": culprit.layer, "sentence": f"{how} ({what}); {size}.", "remedy": f"Mend {culprit.layer} first.",
    }  # fmt: skip


def _wide(case: _Case) -> list[str]:
    """A note, no verdict: calibration may have seen an image that these are not like."""
    grid, reach = case.evidence.grid, case.evidence.reach
    said = any(finding.verdict == "wasted range" for finding in case.findings)
    if grid is None or case.evidence.op in faults.FIXED or not reach or said:
        return []
    spare = np.log2((grid.high - grid.low) / reach)
    return [f"On these images the values use 1/{2**spare:.0f} of the range."] if spare >= WIDE_BITS else []


def _db(value: float) -> str:
    return "not measured" if np.isnan(value) else f"{value:.1f} dB"
