"""Numbers that can be trusted: accuracy, latency, memory, and what they cost each other."""

from effnet_lab.measure.accuracy import accuracy, confusion, measure_accuracy, per_class, reliability
from effnet_lab.measure.activation_style import activation_style
from effnet_lab.measure.adb import measure_on_device
from effnet_lab.measure.answers import Answers, collect_answers
from effnet_lab.measure.audit import audit_preprocess
from effnet_lab.measure.calibration import calibration_study, enough
from effnet_lab.measure.claims import claims_ledger, measure_claims
from effnet_lab.measure.classify import classify
from effnet_lab.measure.delegates import delegation_table
from effnet_lab.measure.ethosu import ACCELERATORS, ethosu, fallbacks
from effnet_lab.measure.footprint import arena_map, footprint, high_water
from effnet_lab.measure.latency import measure_latency
from effnet_lab.measure.memory import measure_memory
from effnet_lab.measure.paired import compare_answers
from effnet_lab.measure.pareto import BETTER, Needs, choose, on_front, tradeoffs
from effnet_lab.measure.predictor import FilePredictor, KerasPredictor, Predictor, open_predictor, open_predictors
from effnet_lab.measure.profile import profile_ops
from effnet_lab.measure.repair_gain import repair_gain
from effnet_lab.measure.rivals import rivals

__all__ = [
    "ACCELERATORS",
    "BETTER",
    "Answers",
    "FilePredictor",
    "KerasPredictor",
    "Needs",
    "Predictor",
    "accuracy",
    "activation_style",
    "arena_map",
    "audit_preprocess",
    "calibration_study",
    "choose",
    "claims_ledger",
    "classify",
    "collect_answers",
    "compare_answers",
    "confusion",
    "delegation_table",
    "enough",
    "ethosu",
    "fallbacks",
    "footprint",
    "high_water",
    "measure_accuracy",
    "measure_claims",
    "measure_latency",
    "measure_memory",
    "measure_on_device",
    "on_front",
    "open_predictor",
    "open_predictors",
    "per_class",
    "profile_ops",
    "reliability",
    "repair_gain",
    "rivals",
    "tradeoffs",
]
