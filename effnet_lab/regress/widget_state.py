"""What an executed notebook keeps of its widgets: a state that shows them again, or none at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from effnet_lab.regress.nested import texts_in

if TYPE_CHECKING:
    from effnet_lab.notebook_format import nbformat

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
MAX_BYTES = 1_000_000  # sliders, menus and their output take 40 kB; a FigureWidget 5 MB, and its state is corrupt
_REFERENCE = "IPY_MODEL_"


def keep_valid_widgets(notebook: nbformat.NotebookNode) -> bool:
    """Leave the widget state in an executed notebook if it is small and whole; else remove it and the views of it.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place.

    Returns
    -------
    bool
        Whether widgets will show when the notebook is opened again.
    """
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    shown = [data[VIEW]["model_id"] for data in _outputs(notebook) if VIEW in data]
    if state and set(shown) <= state.keys() and is_whole(state):
        return True
    notebook.metadata.pop("widgets", None)
    for data in _outputs(notebook):
        if len(data) > 1:  # the text beside the view remains
            data.pop(VIEW, None)
    return False


def is_whole(state: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every model has a class, every reference points to a model, and the size is reasonable."""
    text = json.dumps(state)
    named = {value.removeprefix(_REFERENCE) for value in texts_in(state) if value.startswith(_REFERENCE)}
    typed = all(model.get("model_name") and model.get("model_module") for model in state.values())
    return typed and named <= state.keys() and len(text) <= MAX_BYTES


def _outputs(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """Data bundles of all outputs."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [output["data"] for cell in cells for output in cell.outputs if "data" in output]
