"""What quantization does to each layer."""

from effnet_lab.analysis.channels import layer_channels
from effnet_lab.analysis.histograms import HistogramOf, layer_histogram
from effnet_lab.analysis.integer import check_integer, explain, explain_op
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
]
