"""What is wrong with each layer, in words."""

from effnet_lab.analysis.verdicts.layer_verdicts import LayerVerdicts, verdicts

__all__ = ["LayerVerdicts", "verdicts"]
