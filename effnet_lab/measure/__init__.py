"""Numbers that can be trusted: accuracy, latency, memory, and what they cost each other."""

from effnet_lab.measure.accuracy import measure_accuracy
from effnet_lab.measure.audit import audit_preprocess
from effnet_lab.measure.classify import classify
from effnet_lab.measure.latency import measure_latency
from effnet_lab.measure.memory import measure_memory
from effnet_lab.measure.pareto import BETTER, on_front, tradeoffs
from effnet_lab.measure.predictor import FilePredictor, KerasPredictor, Predictor, open_predictor

__all__ = [
    "BETTER",
    "FilePredictor",
    "KerasPredictor",
    "Predictor",
    "audit_preprocess",
    "classify",
    "measure_accuracy",
    "measure_latency",
    "measure_memory",
    "on_front",
    "open_predictor",
    "tradeoffs",
]
