"""Where the error of a layer comes from when nothing is broken: its weights, its inputs, or its own steps."""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import BAD_DB, Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """What makes most of a layer's own error, in the words of a sentence, and what is done about it."""

    what: str  # the error comes from ...
    remedy: str  # a sentence, for a layer that is at fault
    attempt: str  # the same for one that is not: ... and measure again
    gain: str  # ... would help


CAUSES = {
    "range": Cause(
        what="what its range cuts off",
        remedy="Calibrate with the extremes. 16 bits over the same range would clip equally.",
        attempt="calibrate it with a wider range",
        gain="a wider range",
    ),
    "output": Cause(
        what="the steps of its output",
        remedy="Give this layer's output 16 bits.",
        attempt="give its output more bits",
        gain="16 bits for its output",
    ),
    "weights": Cause(
        what="the rounding of its weights",
        remedy="Give its weights more bits or a scale per channel, or repair their rounding.",
        attempt="give its weights more bits",
        gain="finer weights",
    ),
    "inputs": Cause(
        what="the rounding of its inputs",
        remedy="Give the layers that it reads 16 bits.",
        attempt="give the layers that it reads more bits",
        gain="16 bits for its inputs",
    ),
}


def main_cause(evidence: Evidence) -> Cause:
    """What makes most of a layer's own error: its range, its output, its weights or its inputs."""
    return CAUSES[_name_of_cause(evidence)]


def _name_of_cause(evidence: Evidence) -> str:
    total = _own_error(evidence)
    if evidence.clipped_energy >= 0.5 * total:
        return "range"
    if evidence.rounding_energy + evidence.clipped_energy >= 0.5 * total:
        return "output"
    weights = 0.0 if evidence.kernel is None else evidence.kernel.whole_difference * evidence.energy
    return "weights" if weights >= 0.3 * total else "inputs"


def _own_error(evidence: Evidence) -> float:
    """Energy of what the op makes of the float inputs; without it, of what its grid does."""
    total = float(evidence.local_error2.sum()) if evidence.local_error2.size else 0.0
    return total or evidence.clipped_energy + evidence.rounding_energy


def coarse(evidence: Evidence, own_db: float) -> Fault | None:
    """An own error under 20 dB that no other fault explains: the steps are too coarse, those of the layer that makes most."""
    if not own_db < BAD_DB or not evidence.energy:
        return None
    cause = main_cause(evidence)
    return Fault(
        verdict="coarse",
        bits_lost=evidence.bits_of(_own_error(evidence)),
        evidence=own_db,
        unit="dB, its own error",
        sentence=f"Nothing is broken, yet its own error is {own_db:.1f} dB; most of it comes from {cause.what}.",
        remedy=cause.remedy,
    )
