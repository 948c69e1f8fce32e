"""Questions that need several rooms: trade-offs, calibration, rivals, repairs, activation style, claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.studies.activation_style import activation_style
    from effnet_lab.studies.calibration import calibration_study, enough
    from effnet_lab.studies.choosing import ChosenNetwork, Tradeoffs, choose, tradeoffs
    from effnet_lab.studies.claims import claims_ledger, measure_claims
    from effnet_lab.studies.deployment import Deployment, Deployments
    from effnet_lab.studies.files import bench, ethosu, footprint, profile
    from effnet_lab.studies.fronts import BETTER, standing
    from effnet_lab.studies.grid_effects import grid_effects
    from effnet_lab.studies.mixed_run import MixedPrecision, mixed_precision
    from effnet_lab.studies.op_costs import OpCosts, fit_op_costs, measure_op_costs
    from effnet_lab.studies.repair_gain import repair_gain
    from effnet_lab.studies.repair_run import Repaired, repair
    from effnet_lab.studies.rivals import rivals
    from effnet_lab.studies.scaling_study import ScalingStudy, scaling_study
    from effnet_lab.studies.tradeoffs import Needs, choose_row, join_tradeoffs
    from effnet_lab.studies.twin_accuracy import TwinAccuracy, twin_accuracy

__all__ = [
    "BETTER",
    "ChosenNetwork",
    "Deployment",
    "Deployments",
    "MixedPrecision",
    "Needs",
    "OpCosts",
    "Repaired",
    "ScalingStudy",
    "Tradeoffs",
    "TwinAccuracy",
    "activation_style",
    "bench",
    "calibration_study",
    "choose",
    "choose_row",
    "claims_ledger",
    "enough",
    "ethosu",
    "fit_op_costs",
    "footprint",
    "grid_effects",
    "join_tradeoffs",
    "measure_claims",
    "measure_op_costs",
    "mixed_precision",
    "profile",
    "repair",
    "repair_gain",
    "rivals",
    "scaling_study",
    "standing",
    "tradeoffs",
    "twin_accuracy",
]
offer(
    __name__,
    {
        "activation_style": ("activation_style",),
        "calibration": ("calibration_study", "enough"),
        "choosing": ("ChosenNetwork", "Tradeoffs", "choose", "tradeoffs"),
        "claims": ("claims_ledger", "measure_claims"),
        "deployment": ("Deployment", "Deployments"),
        "files": ("bench", "ethosu", "footprint", "profile"),
        "fronts": ("BETTER", "standing"),
        "grid_effects": ("grid_effects",),
        "mixed_run": ("MixedPrecision", "mixed_precision"),
        "op_costs": ("OpCosts", "fit_op_costs", "measure_op_costs"),
        "repair_gain": ("repair_gain",),
        "repair_run": ("Repaired", "repair"),
        "rivals": ("rivals",),
        "scaling_study": ("ScalingStudy", "scaling_study"),
        "tradeoffs": ("Needs", "choose_row", "join_tradeoffs"),
        "twin_accuracy": ("TwinAccuracy", "twin_accuracy"),
    },
)
