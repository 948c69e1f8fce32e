"""What quantization does to each layer."""

from effnet_lab.analysis.histograms import HistogramOf, layer_histogram
from effnet_lab.analysis.layer_error import layer_error
from effnet_lab.analysis.metrics import sqnr_db

__all__ = ["HistogramOf", "layer_error", "layer_histogram", "sqnr_db"]
