"""Figures: pure functions from a frame to a plotly Figure."""

from effnet_lab.view.figures.layer_error import plot_histogram, plot_layer_error
from effnet_lab.view.figures.maps import plot_endpoint
from effnet_lab.view.figures.pictures import plot_audit, plot_image, plot_top
from effnet_lab.view.figures.scaling import plot_candidates, plot_counts, plot_family
from effnet_lab.view.figures.tradeoffs import plot_published, plot_tradeoffs
from effnet_lab.view.figures.training import plot_history

__all__ = [
    "plot_audit", "plot_candidates", "plot_counts", "plot_endpoint", "plot_family", "plot_histogram", "plot_history",
    "plot_image", "plot_layer_error", "plot_published", "plot_top", "plot_tradeoffs",
]  # fmt: skip
