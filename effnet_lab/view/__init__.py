"""Pictures: figures are functions of a frame, widgets choose what they draw."""

from effnet_lab.view.figures import (
    plot_activation_style,
    plot_answers,
    plot_arena,
    plot_audit,
    plot_calibration_accuracy,
    plot_calibration_methods,
    plot_calibration_ranges,
    plot_candidates,
    plot_channel_ranges,
    plot_claims,
    plot_confusion,
    plot_counts,
    plot_delegates,
    plot_endpoint,
    plot_ethosu,
    plot_evidence,
    plot_family,
    plot_formats,
    plot_gallery,
    plot_histogram,
    plot_history,
    plot_image,
    plot_layer_error,
    plot_moved_codes,
    plot_notions,
    plot_precisions,
    plot_profile,
    plot_published,
    plot_reliability,
    plot_repair,
    plot_rivals,
    plot_rounding,
    plot_sensitivity,
    plot_stages,
    plot_top,
    plot_tradeoffs,
    plot_verdicts,
)
from effnet_lab.view.findings import findings_by_kind
from effnet_lab.view.inspector import InspectorView
from effnet_lab.view.sentences import (
    changed_sentence,
    claims_sentence,
    cost_sentence,
    fit_sentence,
    npu_sentence,
    repair_sentence,
    style_sentence,
    worst_layer,
    worst_layer_sentence,
)
from effnet_lab.view.table import Table, one_row, table
from effnet_lab.view.widgets import AnswerView, DeployView, EndpointView, LayerErrorView, ScalingView, TradeoffView

__all__ = [
    "AnswerView", "DeployView", "EndpointView", "InspectorView", "LayerErrorView", "ScalingView", "Table", "TradeoffView",
    "changed_sentence", "claims_sentence", "cost_sentence", "findings_by_kind", "fit_sentence", "npu_sentence", "one_row",
    "plot_activation_style", "plot_answers", "plot_arena", "plot_audit", "plot_calibration_accuracy",
    "plot_calibration_methods", "plot_calibration_ranges", "plot_candidates", "plot_channel_ranges", "plot_claims",
    "plot_confusion", "plot_counts", "plot_delegates", "plot_endpoint", "plot_ethosu", "plot_evidence", "plot_family",
    "plot_formats", "plot_gallery", "plot_histogram", "plot_history", "plot_image", "plot_layer_error",
    "plot_moved_codes", "plot_notions", "plot_precisions", "plot_profile", "plot_published", "plot_reliability",
    "plot_repair", "plot_rivals", "plot_rounding", "plot_sensitivity", "plot_stages", "plot_top", "plot_tradeoffs",
    "plot_verdicts", "repair_sentence", "style_sentence", "table", "worst_layer", "worst_layer_sentence",
]  # fmt: skip
