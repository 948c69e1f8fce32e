"""Pictures: figures are functions of a frame, widgets choose what they draw."""

from effnet_lab.view.figures import (
    plot_candidates,
    plot_counts,
    plot_family,
    plot_histogram,
    plot_history,
    plot_layer_error,
    plot_published,
    plot_tradeoffs,
)
from effnet_lab.view.widgets import LayerErrorView, ScalingView, TradeoffView

__all__ = [
    "LayerErrorView", "ScalingView", "TradeoffView", "plot_candidates", "plot_counts", "plot_family", "plot_histogram",
    "plot_history", "plot_layer_error", "plot_published", "plot_tradeoffs",
]  # fmt: skip
