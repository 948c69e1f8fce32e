"""Questions that need several rooms: trade-offs, calibration, rivals, repairs, activation style, claims."""

from __future__ import annotations

from effnet_lab.studies.activation_style import activation_style
from effnet_lab.studies.calibration import calibration_study, enough
from effnet_lab.studies.claims import claims_ledger, measure_claims
from effnet_lab.studies.deployment import Deployment, Deployments
from effnet_lab.studies.fronts import BETTER, standing
from effnet_lab.studies.mixed_run import MixedPrecision, mixed_precision
from effnet_lab.studies.op_costs import OpCosts, fit_op_costs, measure_op_costs
from effnet_lab.studies.repair_gain import repair_gain
from effnet_lab.studies.repair_run import Repaired, repair
from effnet_lab.studies.rivals import rivals
from effnet_lab.studies.scaling_study import ScalingStudy, scaling_study
from effnet_lab.studies.tradeoffs import Needs, choose, tradeoffs
from effnet_lab.studies.twin_accuracy import TwinAccuracy, twin_accuracy

__all__ = [
    "BETTER",
    "Deployment",
    "Deployments",
    "MixedPrecision",
    "Needs",
    "OpCosts",
    "Repaired",
    "ScalingStudy",
    "TwinAccuracy",
    "activation_style",
    "calibration_study",
    "choose",
    "claims_ledger",
    "enough",
    "fit_op_costs",
    "measure_claims",
    "measure_op_costs",
    "mixed_precision",
    "repair",
    "repair_gain",
    "rivals",
    "scaling_study",
    "standing",
    "tradeoffs",
    "twin_accuracy",
]
