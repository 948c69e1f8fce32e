"""The inspector: one front end in plain JavaScript, in a notebook, in the app, or in one HTML file without a kernel."""

from effnet_lab.view.inspector.page import inspector_page

__all__ = ["inspector_page"]
