"""Pictures: figures are functions of a frame, widgets choose what they draw."""

from effnet_lab.view.figures import (
    plot_audit,
    plot_candidates,
    plot_counts,
    plot_endpoint,
    plot_family,
    plot_histogram,
    plot_history,
    plot_image,
    plot_layer_error,
    plot_published,
    plot_top,
    plot_tradeoffs,
)
from effnet_lab.view.widgets import EndpointView, LayerErrorView, ScalingView, TradeoffView

__all__ = [
    "EndpointView", "LayerErrorView", "ScalingView", "TradeoffView", "plot_audit", "plot_candidates", "plot_counts",
    "plot_endpoint", "plot_family", "plot_histogram", "plot_history", "plot_image", "plot_layer_error", "plot_published",
    "plot_top", "plot_tradeoffs",
]  # fmt: skip
