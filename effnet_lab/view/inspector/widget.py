"""The inspector in a notebook and in the app: the same front end, with somebody behind it who answers."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anywidget
import traitlets

from effnet_lab.names import UserError, lookup
from effnet_lab.view.inspector.page import front_end, inspector_page, plain

Message = dict[str, Any]
Tell = Callable[[Message], None]
_KEPT = ("switches", "state", "outcome", "time")  # kinds of answers that a notebook keeps when it is saved
_UNTRUSTED = (
    "The inspector is a page with a script, which is shown in notebooks that you trust: View, Activate Command Palette, "
    "Trust Notebook."
)
_STATE = ("layer", "picture", "channel", "metric", "opacity")


class Answering(Protocol):
    """Who answers; the answers go to `Tell`."""

    def ask(self, question: Message) -> None:
        """Put a question; returns at once."""

    def wait(self) -> bool:
        """Until everything is answered."""


class InspectorView(anywidget.AnyWidget):
    """The inspector, live.

    Parameters
    ----------
    payload : mapping
        What `studies.inspection` gives.
    desk : callable, optional
        ``desk(tell)`` opens who answers; it is called when a browser shows the inspector, or for a recipe. Without one
        there is no what-if.
    layer, metric : str, optional
        What is open at first; the worst layer, and the first metric, when empty.
    picture, channel : int
        Which picture; which channel, -1 is none.
    opacity : float
        Of the error map, 0 to 1.
    recipe : str
        State of the switches; as the file is given when empty.
    """

    _esm = front_end("inspector.js")
    _css = front_end("inspector.css")
    payload = traitlets.Dict().tag(sync=True)
    answers = traitlets.Dict().tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    metric = traitlets.Unicode("").tag(sync=True)
    picture = traitlets.Int(0).tag(sync=True)
    channel = traitlets.Int(-1).tag(sync=True)
    opacity = traitlets.Float(0.7).tag(sync=True)

    def __init__(
        self, payload: Mapping[str, Any], desk: Callable[[Tell], Answering] | None = None, *, layer: str = "",
        metric: str = "", picture: int = 0, channel: int = -1, opacity: float = 0.7, recipe: str = "",
    ) -> None:  # fmt: skip
        first = payload["files"][0]
        if layer:
            lookup("layer", layer, {each["name"]: None for each in first["layers"]})
        if metric:
            lookup("metric", metric, {each["id"]: None for each in payload["metrics"]})
        if not 0 <= picture < max(1, len(first["pictures"])):
            raise UserError(f"picture must be 0 to {len(first['pictures']) - 1}. Got {picture}.")
        if not 0 <= opacity <= 1:
            raise UserError(f"opacity must lie between 0 and 1. Got {opacity}.")
        self._open = desk
        self._desk: Answering | None = None
        super().__init__(
            payload=plain(payload), live=desk is not None, layer=layer, metric=metric, picture=picture, channel=channel,
            opacity=opacity,
        )  # fmt: skip
        self.on_msg(lambda _widget, question, _buffers: self.ask(question))
        if recipe:
            self.ask({"kind": "open"})
            self.ask({"kind": "recipe", "text": recipe})
            if self._desk is not None:
                self._desk.wait()

    @property
    def figures(self) -> dict[str, Any]:
        """No plotly figures: what it draws is drawn by the browser."""
        return {}

    def ask(self, question: Message) -> None:
        """Put a question, as the browser does. That somebody is here is said at once: a page may be older than its kernel."""
        if self._open is None:
            raise UserError("This inspector has nobody who answers. Give it a desk.")
        if question["kind"] == "open":
            self.send({"kind": "here"})
        if self._desk is None:
            self._desk = self._open(self._tell)
        self._desk.ask(question)

    def _tell(self, answer: Message) -> None:
        """Hand an answer on; called from the thread that works."""
        answer = plain(answer)
        if answer["kind"] in _KEPT:
            self.answers = self.answers | {answer["kind"]: answer}
        self.send(answer)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and beside it the page without a kernel, for whoever opens the notebook later."""
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            bundle[0]["text/html"] = framed(self.page())
        return bundle

    def page(self) -> str:
        """The same as one HTML page, opened where this inspector stands."""
        state = {name: getattr(self, name) for name in _STATE}
        return inspector_page(self.payload | {"state": state, "answers": self.answers})


def framed(page: str) -> str:
    """A page inside another one; its text is what JupyterLab leaves of it in a notebook that it does not trust."""
    style = "width: 100%; height: 900px; border: 0"
    return f'<iframe title="inspector" style="{style}" srcdoc="{html.escape(page)}">{_UNTRUSTED}</iframe>'
