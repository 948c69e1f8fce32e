"""One picture, two networks: choose one of the labelled pictures or upload your own, and see both answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as ipw
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from effnet_lab.names import UserError
from effnet_lab.view.figures.answers import plot_answers
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, menu, pick, row

Picture = NDArray[np.uint8]


class AnswerView(ipw.VBox):
    """A menu of pictures, a button to upload one, and what two networks say of it.

    Parameters
    ----------
    answer : callable
        ``answer(picture, name)``: CLASSIFICATION frame of one picture by two networks.
    pictures : mapping from str to callable
        Names of the menu, and what gives the picture of each, uint8 (h, w, 3) RGB.
    decode : callable
        ``decode(content, name)``: the picture of an uploaded file.
    window : callable, optional
        From a picture to top, left, height and width of the part that reaches the networks, px.
    chosen : str
        Start value; the first name when empty.
    """

    def __init__(
        self, answer: Callable[[Picture, str], pd.DataFrame], pictures: Mapping[str, Callable[[], Picture]],
        decode: Callable[[bytes, str], Picture], *, window: Callable[[Picture], tuple[int, int, int, int]] | None = None,
        chosen: str = "",
    ) -> None:  # fmt: skip
        self._answer, self._pictures, self._decode, self._window = answer, pictures, decode, window
        self.picture = menu("picture", pictures, pick("picture", chosen, pictures))
        self.picture.layout.width = "420px"
        self.upload = ipw.FileUpload(accept=".jpg,.jpeg,.png", multiple=False, description="your picture")
        self.text, self.canvas = Note(), Canvas()
        self.answers = pd.DataFrame()
        super().__init__([row(self.picture, self.upload), self.text, self.canvas])
        self.picture.observe(self._on_choice, names="value")
        self.upload.observe(self._on_upload, names="value")
        self._on_choice()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"answers": self.figure}

    @property
    def figure(self) -> go.Figure:
        """The figure on show."""
        return self.canvas.figure

    def _on_choice(self, _change: object = None) -> None:
        self._show(self._pictures[self.picture.value](), self.picture.value)

    def _on_upload(self, change: dict[str, Any]) -> None:
        for file in change["new"]:
            try:
                self._show(self._decode(bytes(file["content"]), file["name"]), file["name"])
            except UserError as error:  # no picture: say so, keep the last one
                self.text.say(f"<b>{escape(str(error))}</b>")

    def _show(self, picture: Picture, name: str) -> None:
        self.answers = self._answer(picture, name)
        self.text.say("")
        self.canvas.show(plot_answers(picture, self.answers, self._window(picture) if self._window else None))
