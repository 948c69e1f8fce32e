"""What networks say of images: predictions, accuracy, paired comparison, features, the preprocessing audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.evaluate.accuracy import accuracy, confusion, per_class, reliability
    from effnet_lab.evaluate.audit import Audit, audit_preprocess
    from effnet_lab.evaluate.classify import classify
    from effnet_lab.evaluate.compare import compare_all, compare_predictions, describe_difference
    from effnet_lab.evaluate.evaluation import Evaluation, compare, evaluate
    from effnet_lab.evaluate.features import Features, features
    from effnet_lab.evaluate.predictions import Predictions, collect_predictions
    from effnet_lab.evaluate.predictors import FilePredictor, KerasPredictor, Predictor, open_predictor, open_predictors
    from effnet_lab.evaluate.side_by_side import SideBySide, changed_answers, mistakes

__all__ = [
    "Audit",
    "Evaluation",
    "Features",
    "FilePredictor",
    "KerasPredictor",
    "Predictions",
    "Predictor",
    "SideBySide",
    "accuracy",
    "audit_preprocess",
    "changed_answers",
    "classify",
    "collect_predictions",
    "compare",
    "compare_all",
    "compare_predictions",
    "confusion",
    "describe_difference",
    "evaluate",
    "features",
    "mistakes",
    "open_predictor",
    "open_predictors",
    "per_class",
    "reliability",
]
offer(
    __name__,
    {
        "accuracy": ("accuracy", "confusion", "per_class", "reliability"),
        "audit": ("Audit", "audit_preprocess"),
        "classify": ("classify",),
        "compare": ("compare_all", "compare_predictions", "describe_difference"),
        "evaluation": ("Evaluation", "compare", "evaluate"),
        "features": ("Features", "features"),
        "predictions": ("Predictions", "collect_predictions"),
        "predictors": ("FilePredictor", "KerasPredictor", "Predictor", "open_predictor", "open_predictors"),
        "side_by_side": ("SideBySide", "changed_answers", "mistakes"),
    },
)
