"""Where the error of a layer comes from when nothing is broken: its weights, its inputs, or its own steps."""

from __future__ import annotations

from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import BAD_DB, Fault

_CAUSES = {
    "range": ("what its range cuts off", "Calibrate with the extremes. 16 bits over the same range would clip equally."),
    "output": ("the steps of its output", "Give this layer's output 16 bits."),
    "weights": (
        "the rounding of its weights", "Give its weights more bits or a scale per channel, or repair their rounding.",
    ),
    "inputs": ("the rounding of its inputs", "Give the layers that it reads 16 bits."),
}  # fmt: skip


def main_cause(evidence: Evidence) -> str:
    """What makes most of a layer's own error: "range", "output", "weights" or "inputs"."""
    total = float(evidence.local_error2.sum()) if evidence.local_error2.size else 0.0
    total = total or evidence.clipped_energy + evidence.rounding_energy
    if evidence.clipped_energy >= 0.5 * total:
        return "range"
    if evidence.rounding_energy + evidence.clipped_energy >= 0.5 * total:
        return "output"
    weights = 0.0 if evidence.kernel is None else evidence.kernel.whole_difference * evidence.energy
    return "weights" if weights >= 0.3 * total else "inputs"


def coarse(evidence: Evidence, own_db: float) -> Fault | None:
    """An own error under 20 dB that no other fault explains: the steps are too coarse, those of the layer that makes most."""
    if not own_db < BAD_DB or not evidence.energy:
        return None
    total = float(evidence.local_error2.sum()) if evidence.local_error2.size else 0.0
    total = total or evidence.clipped_energy + evidence.rounding_energy
    what, remedy = _CAUSES[main_cause(evidence)]
    return Fault(
        verdict="coarse",
        bits_lost=evidence.bits_of(total),
        evidence=own_db,
        unit="dB, its own error",
        sentence=f"Nothing is broken, yet its own error is {own_db:.1f} dB; most of it comes from {what}.",
        remedy=remedy,
    )
