"""What quantization does to each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import offer

if TYPE_CHECKING:
    from effnet_lab.analysis.channels import layer_channels
    from effnet_lab.analysis.histograms import HistogramOf, layer_histogram
    from effnet_lab.analysis.integer import check_integer, explain, explain_op, walk
    from effnet_lab.analysis.layer_error import LayerErrors, layer_error
    from effnet_lab.analysis.lint import lint
    from effnet_lab.analysis.metrics import sqnr_db
    from effnet_lab.analysis.opening import open_all, open_twins
    from effnet_lab.analysis.twins import Twins
    from effnet_lab.analysis.verdicts import LayerVerdicts, verdicts

__all__ = [
    "HistogramOf",
    "LayerErrors",
    "LayerVerdicts",
    "Twins",
    "check_integer",
    "explain",
    "explain_op",
    "layer_channels",
    "layer_error",
    "layer_histogram",
    "lint",
    "open_all",
    "open_twins",
    "sqnr_db",
    "verdicts",
    "walk",
]
offer(
    __name__,
    {
        "channels": ("layer_channels",),
        "histograms": ("HistogramOf", "layer_histogram"),
        "integer": ("check_integer", "explain", "explain_op", "walk"),
        "layer_error": ("LayerErrors", "layer_error"),
        "lint": ("lint",),
        "metrics": ("sqnr_db",),
        "opening": ("open_all", "open_twins"),
        "twins": ("Twins",),
        "verdicts": ("LayerVerdicts", "verdicts"),
    },
)
