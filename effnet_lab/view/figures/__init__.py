"""Figures: pure functions from a frame to a plotly Figure."""

from effnet_lab.view.figures.accuracy import plot_confusion, plot_reliability
from effnet_lab.view.figures.activation_style import plot_activation_style
from effnet_lab.view.figures.answers import plot_answers, plot_gallery, plot_mistakes, plot_pictures
from effnet_lab.view.figures.calibration import (
    plot_calibration_accuracy,
    plot_calibration_methods,
    plot_calibration_ranges,
)
from effnet_lab.view.figures.claims import plot_claims
from effnet_lab.view.figures.deploy import plot_delegates, plot_formats
from effnet_lab.view.figures.ethosu import plot_ethosu
from effnet_lab.view.figures.layer_error import plot_histogram, plot_layer_error, plot_notions
from effnet_lab.view.figures.maps import plot_endpoint
from effnet_lab.view.figures.memory import plot_arena
from effnet_lab.view.figures.pictures import plot_audit, plot_image, plot_top
from effnet_lab.view.figures.precision import (
    plot_moved_codes,
    plot_precisions,
    plot_rounding,
    plot_sensitivity,
)
from effnet_lab.view.figures.profile import plot_profile
from effnet_lab.view.figures.repair import plot_channel_ranges, plot_repair
from effnet_lab.view.figures.scaling import plot_candidates, plot_counts, plot_family
from effnet_lab.view.figures.scaling_study import plot_coefficients, plot_dimensions, plot_gain, plot_left_out
from effnet_lab.view.figures.stages import plot_stages
from effnet_lab.view.figures.sweeps import plot_grid_front, plot_interactions, plot_layer_grid, point_names
from effnet_lab.view.figures.tradeoffs import plot_published, plot_rivals, plot_tradeoffs
from effnet_lab.view.figures.training import plot_history
from effnet_lab.view.figures.verdicts import plot_evidence, plot_verdicts

__all__ = [
    "plot_activation_style", "plot_answers", "plot_arena", "plot_audit", "plot_calibration_accuracy",
    "plot_calibration_methods", "plot_calibration_ranges", "plot_candidates", "plot_channel_ranges", "plot_claims",
    "plot_coefficients", "plot_confusion", "plot_counts", "plot_delegates", "plot_dimensions", "plot_endpoint",
    "plot_ethosu", "plot_evidence", "plot_family", "plot_formats", "plot_gain", "plot_gallery", "plot_grid_front",
    "plot_histogram", "plot_history", "plot_image", "plot_interactions", "plot_layer_error", "plot_layer_grid",
    "plot_left_out", "plot_mistakes", "plot_moved_codes", "plot_notions", "plot_pictures", "plot_precisions",
    "plot_profile", "plot_published", "plot_reliability", "plot_repair", "plot_rivals", "plot_rounding",
    "plot_sensitivity", "plot_stages", "plot_top", "plot_tradeoffs", "plot_verdicts", "point_names",
]  # fmt: skip
