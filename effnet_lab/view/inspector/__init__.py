"""The inspector: one front end in plain JavaScript, in a notebook, in the app, or in one HTML file without a kernel."""

from effnet_lab.view.inspector.node_data import error_data, verdict_data
from effnet_lab.view.inspector.page import inspector_page
from effnet_lab.view.inspector.widget import InspectorView

__all__ = ["InspectorView", "error_data", "inspector_page", "verdict_data"]
