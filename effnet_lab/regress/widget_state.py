"""What an executed notebook keeps of its widgets: what they showed last, as plain outputs.

Saved widgets would show less: JupyterLab hides them in a notebook that it does not trust, says "Loading widget" until a
kernel runs, and nobody would hear their controls.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effnet_lab.notebook_format import nbformat

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
_TEXTS = ("HTMLModel", "HTMLMathModel", "LabelModel")
_REFERENCE = "IPY_MODEL_"
_Part = str | dict[str, Any]  # what a control says, or an output


def replace_widgets(notebook: nbformat.NotebookNode) -> None:
    """Put in place of every widget the figures and texts that it showed last, and where its controls stood.

    A widget that has given a page of its own (``text/html``) is replaced by that.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place.
    """
    state = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [plain for output in cell.outputs for plain in _plain(output, state)]


def _plain(output: Any, state: Mapping[str, Any]) -> list[Any]:
    data = output.get("data", {})
    if VIEW not in data:
        return [output]
    model = data.pop(VIEW)["model_id"]
    shown = [] if "text/html" in data else _outputs(_parts(model, state))
    return shown or [output] * bool(data)  # the text beside the view remains


def _outputs(parts: Iterator[_Part]) -> list[Any]:
    """Outputs; what neighbouring controls say is one line."""
    from effnet_lab.notebook_format import nbformat

    found: list[Any] = []
    said: list[str] = []

    def say() -> None:
        if said:
            line = {"text/html": f"<p>{' · '.join(map(html.escape, said))}</p>", "text/plain": ", ".join(said)}
            found.append(nbformat.v4.new_output("display_data", line))
            said.clear()

    for part in parts:
        if isinstance(part, str):
            said.append(part)
        else:
            say()
            found.append(nbformat.from_dict(part))
    say()
    return found


def _parts(model_id: str, state: Mapping[str, Any]) -> Iterator[_Part]:
    """What a widget and those inside it show, from the top."""
    model = state.get(model_id, {})
    about, value = model.get("state", {}), model.get("state", {}).get("value")
    yield from about.get("outputs", ())
    if model.get("model_name") in _TEXTS:
        yield {"output_type": "display_data", "data": {"text/html": str(value)}, "metadata": {}}
    elif about.get("description"):
        labels, index = about.get("_options_labels", ()), about.get("index")
        chosen = labels[index] if labels and index is not None else value
        if isinstance(chosen, str | int | float):
            yield f"{about['description']}: {chosen}"
    for child in about.get("children", ()):
        yield from _parts(child.removeprefix(_REFERENCE), state)
