"""Widgets: each selects rows or settings, calls a plot and shows it; every control is also a keyword."""

from effnet_lab.view.widgets.answers import AnswerView
from effnet_lab.view.widgets.deploy import DeployView
from effnet_lab.view.widgets.endpoints import EndpointView
from effnet_lab.view.widgets.history import HistoryView
from effnet_lab.view.widgets.layer_error import LayerErrorView
from effnet_lab.view.widgets.scaling import ScalingView
from effnet_lab.view.widgets.tradeoffs import TradeoffView

__all__ = ["AnswerView", "DeployView", "EndpointView", "HistoryView", "LayerErrorView", "ScalingView", "TradeoffView"]
