"""What is known of one layer when its turn comes, and what it hands on to the layers that read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effnet_lab.analysis.verdicts import faults
from effnet_lab.analysis.verdicts.defects import STUCK_UNIT
from effnet_lab.analysis.verdicts.evidence import Evidence
from effnet_lab.analysis.verdicts.fault import Fault, constant_channels

STARVING = 0.9  # share of dead channels from which on nothing behind can be judged
SHADOW_BITS = 1.5  # behind a fault that changes the values, a finding has to exceed its limit by this to count
CHANGES_VALUES = ("dead", "outlier channel", "unlike residual")
MAKES_RARE = ("dead", "outlier channel")  # leave values that few images show: a range may be wide for them
SPOILS_CODES = ("clipped", "wasted range", "outlier channel", "bimodal", "unlike residual", "coarse")
WIDENS = ("outlier channel", "bimodal", "unlike residual")  # faults that widen a range for everything behind
# What comes out in a channel is made of the same channel of what goes in.
KEEPS_CHANNELS = (
    "depthwise", "add", "sub", "mul", "mean", "average_pool_2d", "max_pool_2d", "relu", "relu6", "pad", "reshape",
)  # fmt: skip


@dataclass(kw_only=True)
class LayerCase:
    """One layer, its findings, and the verdicts that it passes on."""

    evidence: Evidence
    parents: list[LayerCase]
    accumulated_db: float
    local_db: float  # as measured, or NaN
    findings: list[Fault] = field(default_factory=list)  # worst first
    culprit: str = ""  # another layer, whose fault this one passes on
    carries: dict[str, str] = field(default_factory=dict)  # verdict passed on to what reads this layer -> its origin
    ancestors: frozenset[str] = frozenset()

    @property
    def layer(self) -> str:
        """Its name."""
        return self.evidence.layer

    @property
    def misled_by(self) -> str:
        """The layer whose fault spoils the codes that this one reads: the local error starts from them."""
        carried = (parent.carries.get(verdict, "") for parent in self.parents for verdict in SPOILS_CODES)
        return next(filter(None, carried), "")

    @property
    def own_db(self) -> float:
        """Local error; that of the output's grid where it was not measured, or where an input's codes are at fault."""
        if np.isnan(self.local_db) or self.misled_by:
            return self.evidence.output_sqnr_db
        return self.local_db

    @property
    def sick(self) -> bool:
        """Whether there is a fault of its own."""
        return bool(self.findings) and not self.culprit

    @property
    def starved_by(self) -> str:
        """The dead layer that all inputs come from: what the values look like behind it says nothing."""
        origins = [parent.carries.get("starved", "") for parent in self.parents]
        return origins[0] if origins and all(origins) and len(origins) == len(self.evidence.parents) else ""

    @property
    def inherited_constants(self) -> NDArray[np.bool_]:
        """Channels that must be constant because what they are made from is."""
        n = self.evidence.channel_max.size
        constant = [constant_channels(parent.evidence) for parent in self.parents]
        if not constant or len(self.parents) < len(self.evidence.parents):
            return np.zeros(n, bool)
        if self.evidence.op in KEEPS_CHANNELS and all(c.size == n for c in constant):
            return np.asarray(np.logical_and.reduce(constant))
        return np.full(n, all(c.all() for c in constant))

    @property
    def inputs_stand_still(self) -> NDArray[np.bool_]:
        """Channels that are made of channels of the inputs that move by less than a step there: their codes may not move."""
        n, grids = self.evidence.channel_max.size, [parent.evidence.grid for parent in self.parents]
        moves = [parent.evidence.channel_max - parent.evidence.channel_min for parent in self.parents]
        if self.evidence.op not in KEEPS_CHANNELS or len(moves) != max(1, len(self.evidence.parents)):
            return np.zeros(n, bool)
        still = [
            move < grid.scale for move, grid in zip(moves, grids, strict=True) if grid is not None and move.size == n
        ]
        return np.asarray(np.logical_and.reduce(still)) if len(still) == len(moves) else np.zeros(n, bool)


def shadow(case: LayerCase, cases: Mapping[str, LayerCase], verdict: str = "") -> str:
    """The nearest layer before whose fault has changed the values themselves: behind it, networks behave strangely.

    `verdict` says what it may have caused: the unlike inputs of an addition make values larger, and the range with them.
    """
    changes = MAKES_RARE if verdict == "wasted range" else CHANGES_VALUES
    sick = [cases[name] for name in case.ancestors if cases[name].sick]
    sick = [other for other in sick if other.findings[0].verdict in changes]
    return max(sick, key=lambda other: other.evidence.layer_index).layer if sick else ""


def mild(finding: Fault, behind: str) -> bool:
    """Whether a finding in the shadow of another fault is too small to count."""
    return bool(behind) and finding.margin < SHADOW_BITS


def constants_from(case: LayerCase) -> str:
    """The dead layer that most constant channels come from; empty if they do not."""
    if case.inherited_constants.mean() < faults.DEAD_SHARE:
        return ""
    return next((parent.carries["dead"] for parent in case.parents if "dead" in parent.carries), "")


def handed_on(finding: Fault, case: LayerCase) -> str:
    """The layer whose fault a finding is, where it is a trait of an input that is at fault itself; else empty."""
    if finding.unit == STUCK_UNIT:  # the codes that go in may be stuck already
        return case.misled_by
    return next((origin for parent in case.parents if (origin := _origin(finding, case, parent))), "")


def _origin(finding: Fault, case: LayerCase, parent: LayerCase) -> str:
    verdict, carries = finding.verdict, parent.carries
    if verdict == "unlike residual":
        if parent.layer == finding.small:
            return carries.get("dead") or carries.get("starved", "")
        return next((carries[v] for v in WIDENS if v in carries), "") if parent.layer == finding.large else ""
    if verdict in ("clipped", "wasted range"):
        return carries.get(verdict, "") if case.evidence.grid == parent.evidence.grid else ""
    if verdict in ("dead", "defective", "coarse") or finding.unit == faults.KERNEL_UNIT:
        return ""
    return carries.get(verdict, "") if case.evidence.op in KEEPS_CHANNELS else ""
