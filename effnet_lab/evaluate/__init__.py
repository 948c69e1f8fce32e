"""What networks say of images: predictions, accuracy, paired comparison, features, the preprocessing audit."""

from __future__ import annotations

from effnet_lab.evaluate.accuracy import accuracy, confusion, measure_accuracy, per_class, reliability
from effnet_lab.evaluate.audit import audit_preprocess
from effnet_lab.evaluate.classify import classify
from effnet_lab.evaluate.compare import compare_predictions
from effnet_lab.evaluate.predictions import Predictions, collect_predictions
from effnet_lab.evaluate.predictors import FilePredictor, KerasPredictor, Predictor, open_predictor, open_predictors

__all__ = [
    "FilePredictor",
    "KerasPredictor",
    "Predictions",
    "Predictor",
    "accuracy",
    "audit_preprocess",
    "classify",
    "collect_predictions",
    "compare_predictions",
    "confusion",
    "measure_accuracy",
    "open_predictor",
    "open_predictors",
    "per_class",
    "reliability",
]
