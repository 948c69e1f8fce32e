"""What quantization does to each layer."""

from effnet_lab.analysis.histograms import HistogramOf, layer_histogram
from effnet_lab.analysis.integer import check_integer, explain_op
from effnet_lab.analysis.layer_error import layer_error
from effnet_lab.analysis.lint import lint
from effnet_lab.analysis.metrics import sqnr_db
from effnet_lab.analysis.verdicts import evidence_table, gather_evidence, verdicts

__all__ = [
    "HistogramOf",
    "check_integer",
    "evidence_table",
    "explain_op",
    "gather_evidence",
    "layer_error",
    "layer_histogram",
    "lint",
    "sqnr_db",
    "verdicts",
]
