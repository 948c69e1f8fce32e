"""One verdict per layer: the worst fault of its own, or the layer whose fault it suffers from, or healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from effnet_lab.analysis.verdicts import case as inheritance
from effnet_lab.analysis.verdicts import faults
from effnet_lab.analysis.verdicts.case import STARVING, LayerCase
from effnet_lab.analysis.verdicts.coarse import coarse
from effnet_lab.analysis.verdicts.defects import defective, usual_difference
from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import BAD_DB, Fault

MARGIN_DB = 3.0  # more of the error's energy comes in than the layer adds: ten times log10 of 1 + 1


def examine_all(
    errors: pd.DataFrame, evidence: Sequence[Evidence], replay: Callable[[str], Fault | None] = lambda _: None
) -> dict[str, LayerCase]:
    """Every layer in forward order, with its findings and the layer whose fault it passes on.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR rows of one file, accumulated and local.
    evidence : sequence of Evidence
    replay : callable
        From the name of a layer to a finding: its arithmetic against the interpreter's. It is slow, and asked only about a
        layer with much error that nothing else explains.
    """
    measured, cases, usual = errors.set_index("layer"), dict[str, LayerCase](), usual_difference(list(evidence))
    before_weights = _before_weights(evidence)
    for one in sorted(evidence, key=lambda one: one.layer_index):
        case = _open(one, cases, measured)
        findings = [
            found for found in _findings(case, usual) if found.verdict != "bimodal" or one.layer in before_weights
        ]
        _settle(case, findings, cases)
        if not case.findings and not case.culprit:
            _settle_rest(case, cases, replay)
        case.carries |= {finding.verdict: one.layer for finding in case.findings}
        if any(finding.verdict == "dead" and finding.evidence >= STARVING for finding in case.findings):
            case.carries["starved"] = one.layer
        cases[one.layer] = case
    return cases


def _before_weights(evidence: Sequence[Evidence]) -> set[str]:
    """Layers that some layer with weights comes behind, into whose bias an offset can go: the answers lie apart by nature."""
    found = set[str]()
    for one in sorted(evidence, key=lambda one: one.layer_index, reverse=True):
        if one.kernel is not None or one.layer in found:
            found |= set(one.parents)
    return found


def _open(one: Evidence, cases: Mapping[str, LayerCase], measured: pd.DataFrame) -> LayerCase:
    parents = [cases[name] for name in one.parents if name in cases]
    nothing = float("nan")
    accumulated, local = nothing, nothing
    if one.layer in measured.index:
        accumulated, local = (
            float(measured[column].to_dict()[one.layer]) for column in ("sqnr_accumulated_db", "sqnr_local_db")
        )
    return LayerCase(
        evidence=one,
        parents=parents,
        accumulated_db=accumulated,
        local_db=local,
        ancestors=frozenset().union(*(parent.ancestors | {parent.layer} for parent in parents)),
    )


def _findings(case: LayerCase, usual: float) -> list[Fault]:
    one = case.evidence
    found = (
        faults.dead(one, case.inherited_constants),
        defective(one, usual, case.inputs_stand_still),
        faults.clipped(one),
        faults.wasted_range(one),
        faults.outlier_channel(one),
        faults.outlier_kernel(one),
        faults.bimodal(one),
        faults.unlike_residual(one, [parent.evidence for parent in case.parents]),
    )
    return sorted((f for f in found if f is not None), key=severity, reverse=True)


def severity(finding: Fault) -> tuple[bool, bool, float]:
    """A dead layer first: whatever else one may say about constant values is of no use. Then what no calibration mends."""
    return finding.verdict == "dead", finding.verdict == "defective", finding.bits_lost


def _settle(case: LayerCase, findings: Sequence[Fault], cases: Mapping[str, LayerCase]) -> None:
    """Which findings are the layer's own; where none is, whose they are."""
    behind = case.starved_by
    if behind:
        case.culprit, case.carries["starved"] = behind, behind
        case.findings = [finding for finding in findings if finding.verdict == "defective"]
        case.culprit = "" if case.findings else behind
        return
    behind = inheritance.shadow(case, cases)
    origins = [(finding, inheritance.handed_on(finding, case)) for finding in findings]
    case.carries |= {finding.verdict: origin for finding, origin in origins if origin}
    case.findings = [
        f for f, origin in origins if not origin and not inheritance.mild(f, inheritance.shadow(case, cases, f.verdict))
    ]
    if case.findings:
        return
    if findings:
        case.culprit = next(iter(case.carries.values()), behind)
        return
    constants = inheritance.constants_from(case)
    if constants:
        case.culprit = case.carries["dead"] = constants


def _settle_rest(case: LayerCase, cases: Mapping[str, LayerCase], replay: Callable[[str], Fault | None]) -> None:
    """Much error of a layer in which nothing was found: it comes in with the codes, or is nobody else's."""
    if case.local_db < BAD_DB and case.misled_by and not case.evidence.output_sqnr_db < BAD_DB:
        case.culprit = case.misled_by
        return
    if case.own_db < BAD_DB and (found := replay(case.layer) or coarse(case.evidence, case.own_db)):
        case.findings = [found]
        return
    sick = [cases[name] for name in case.ancestors if cases[name].sick]
    comes_in = case.accumulated_db < BAD_DB and case.own_db - case.accumulated_db >= MARGIN_DB
    if comes_in and sick:
        case.culprit = max(sick, key=lambda other: (other.evidence.layer_index, other.layer)).layer


def neighbours_db(case: LayerCase, cases: Mapping[str, LayerCase], reach: int = 3) -> float:
    """Middle of the own errors of the layers around; NaN where there are fewer than three."""
    index = case.evidence.layer_index
    around = [
        other.own_db
        for other in cases.values()
        if other is not case and abs(other.evidence.layer_index - index) <= reach and np.isfinite(other.own_db)
    ]
    return float(np.median(around)) if len(around) >= 3 else float("nan")
