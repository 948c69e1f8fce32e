"""The rows of the VERDICTS frame: what is said of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from effnet_lab.analysis.verdicts import faults
from effnet_lab.analysis.verdicts.assign import MARGIN_DB, neighbours_db
from effnet_lab.analysis.verdicts.case import LayerCase
from effnet_lab.analysis.verdicts.coarse import main_cause
from effnet_lab.analysis.verdicts.fault import BAD_DB

WIDE_BITS = 2.0  # worth a note: the values use a quarter of the codes
APART_DB = 15.0  # worth a word: so much worse than the layers around


def row(case: LayerCase, cases: Mapping[str, LayerCase]) -> dict[str, Any]:
    """One row, without the columns that name the file."""
    shared = {
        "layer_index": case.evidence.layer_index, "layer": case.layer, "op": case.evidence.op,
        "sqnr_accumulated_db": case.accumulated_db, "sqnr_local_db": case.local_db,
    }  # fmt: skip
    if case.sick:
        worst, *others = case.findings
        return shared | {
            "verdict": worst.verdict, "bits_lost": worst.bits_lost, "evidence_value": worst.evidence,
            "evidence_unit": worst.unit, "culprit": "", "sentence": worst.sentence, "remedy": worst.remedy,
            "notes": " ".join([f"Also {other.verdict}: {other.sentence}" for other in others] + _notes(case)),
        }  # fmt: skip
    said = _upstream(case, cases[case.culprit]) if case.culprit else _healthy(case, cases)
    return shared | {"bits_lost": float("nan"), "notes": " ".join(_notes(case))} | said


def _upstream(case: LayerCase, culprit: LayerCase) -> dict[str, Any]:
    what = culprit.findings[0].verdict if culprit.findings else "its error"
    carried = culprit.layer in case.carries.values()
    how = f"It hands on what {culprit.layer} brings in" if carried else f"The error comes from {culprit.layer}"
    return {
        "verdict": "upstream", "evidence_value": case.own_db - case.accumulated_db, "evidence_unit": "dB of the error come in",
        "culprit": culprit.layer, "sentence": f"{how} ({what}); {_size(case)}.", "remedy": f"Mend {culprit.layer} first.",
    }  # fmt: skip


def _healthy(case: LayerCase, cases: Mapping[str, LayerCase]) -> dict[str, Any]:
    sentence, remedy = f"Nothing found: {_size(case)}", ""
    if case.accumulated_db < BAD_DB and case.parents and case.own_db - case.accumulated_db >= MARGIN_DB:
        sentence += "; the small errors of the layers before add up"
    around = neighbours_db(case, cases)
    if around - case.own_db >= APART_DB:
        sentence += f"; that is {around - case.own_db:.0f} dB worse than the layers around it"
        remedy = (
            f"Look at it first if the network loses accuracy: {main_cause(case.evidence).attempt} and measure again."
        )
    return {
        "verdict": "healthy", "evidence_value": case.own_db, "evidence_unit": "dB, its own error", "culprit": "",
        "sentence": f"{sentence}.", "remedy": remedy,
    }  # fmt: skip


def _notes(case: LayerCase) -> list[str]:
    """Worth a note, no verdict: channels that training took out, and a range that these images do not use."""
    pruned, notes = faults.pruned_channels(case.evidence), []
    if pruned.mean() >= faults.DEAD_SHARE:
        notes.append(
            f"{pruned.sum()} of {pruned.size} channels have weights of zero and are constant: they can be removed."
        )
    one = case.evidence
    if not case.findings and one.clipped_energy > one.rounding_energy and one.clipped_images:
        notes.append(
            f"On {one.clipped_images} of {one.images} {one.counted} values pass the ends of the codes by a little."
        )
    grid, reach = case.evidence.grid, case.evidence.reach
    said = any(finding.verdict == "wasted range" for finding in case.findings)
    if grid is None or case.evidence.op in faults.FIXED or not reach or said:
        return notes
    spare = np.log2((grid.high - grid.low) / reach)
    return notes + [f"On these {one.counted} the values use 1/{2**spare:.0f} of the range."] * bool(spare >= WIDE_BITS)


def _size(case: LayerCase) -> str:
    return f"own error {decibels_in_words(case.own_db)}, accumulated {decibels_in_words(case.accumulated_db)}"


def decibels_in_words(value: float) -> str:
    """A number with its unit, or that there is none."""
    return "not measured" if np.isnan(value) else f"{value:.1f} dB"
