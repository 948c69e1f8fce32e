"""One network on a device: choose format, board and accelerator, and see whether it fits and what the NPU takes."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Protocol

import ipywidgets as ipw
import pandas as pd
import plotly.graph_objects as go

from effnet_lab.frames import BOARDS, require
from effnet_lab.view.figures.ethosu import plot_ethosu
from effnet_lab.view.figures.memory import plot_arena
from effnet_lab.view.findings import COLUMNS, findings_by_kind
from effnet_lab.view.sentences import fit_sentence, npu_sentence
from effnet_lab.view.table import table
from effnet_lab.view.theme import DETAIL_HEIGHT_PX, message_figure
from effnet_lab.view.widgets.canvas import Canvas
from effnet_lab.view.widgets.controls import Note, menu, pick, row

NOTHING = "The lint has nothing to say about this file."


class OnDevice(Protocol):
    """What becomes of one file; a frame without rows where the device refuses it, and a reason."""

    footprint: pd.DataFrame  # FOOTPRINT
    arena: pd.DataFrame  # ARENA
    high_water: pd.DataFrame  # HIGH_WATER
    ethosu: pd.DataFrame  # ETHOSU
    layers: pd.DataFrame  # ETHOSU_LAYERS
    findings: pd.DataFrame  # FINDINGS
    no_arena: str
    no_npu: str


class Deploy(Protocol):
    """Format and accelerator -> what becomes of the file."""

    def __call__(self, format: str, accelerator: str, /) -> OnDevice:
        """Of one file on any microcontroller and on one NPU."""


class DeployView(ipw.VBox):
    """Menus for format, board and accelerator; memory, NPU and findings below.

    Parameters
    ----------
    deploy : Deploy
        Asked when format or accelerator change; a board changes only what the numbers are held against.
    formats : iterable of str
    boards : DataFrame
        BOARDS frame.
    accelerators : iterable of str
    format, board, accelerator : str
        Start values; the first when empty.
    """

    def __init__(
        self, deploy: Deploy, formats: Iterable[str], boards: pd.DataFrame, accelerators: Iterable[str], *, format: str = "",
        board: str = "", accelerator: str = "",
    ) -> None:  # fmt: skip
        self._deploy, self._boards = deploy, require(boards, BOARDS, caller="DeployView").set_index("board")
        offered = {"format": (format, [*formats]), "board": (board, [*self._boards.index])}
        offered["accelerator"] = accelerator, [*accelerators]
        self.format, self.board, self.accelerator = (
            menu(name, known, pick(name, value, known)) for name, (value, known) in offered.items()
        )
        self.text, self.canvas, self.npu_text, self.npu_canvas, self.lint = (
            Note(),
            Canvas(),
            Note(),
            Canvas(),
            ipw.HTML(),
        )
        super().__init__([
            row(self.format, self.board, self.accelerator), self.text, self.canvas, self.npu_text, self.npu_canvas, self.lint,
        ])  # fmt: skip
        for control in (self.format, self.board, self.accelerator):
            control.observe(self._draw, names="value")
        self._draw()

    @property
    def figures(self) -> dict[str, go.Figure]:
        """What is on show, by the names under which it is recorded."""
        return {"arena": self.canvas.figure, "ethosu": self.npu_canvas.figure}

    @property
    def figure(self) -> go.Figure:
        """The arena."""
        return self.canvas.figure

    @property
    def sentence(self) -> str:
        """Whether the file fits on the board, and what the NPU takes of it."""
        found = self._found
        return " ".join([self._fit(found), found.no_npu or npu_sentence(found.ethosu)])

    @property
    def _found(self) -> OnDevice:
        return self._deploy(self.format.value, self.accelerator.value)

    def _fit(self, found: OnDevice) -> str:
        board = self._boards.loc[self.board.value]
        return found.no_arena or fit_sentence(found.footprint, board.to_dict() | {"board": self.board.value})

    def _draw(self, change: dict[str, object] | None = None) -> None:
        if change and change["owner"] is self.accelerator:
            self.npu_text.say("Vela compiles …")
        found = self._found
        self.text.say(f"<b>{escape(self._fit(found))}</b>")
        ram = int(self._boards.loc[self.board.value, "board_ram_bytes"])
        self.canvas.show(
            message_figure("No arena: " + found.no_arena, DETAIL_HEIGHT_PX)
            if found.arena.empty
            else plot_arena(found.arena, found.high_water, ram_bytes=ram)
        )
        if change and change["owner"] is self.board:
            return
        self.npu_text.say(f"<b>{escape(found.no_npu or npu_sentence(found.ethosu))}</b>")
        self.npu_canvas.show(
            message_figure("Nothing to compile: " + found.no_npu, DETAIL_HEIGHT_PX)
            if found.layers.empty
            else plot_ethosu(found.layers)
        )
        self.lint.value = table(findings_by_kind(found.findings), COLUMNS, empty=NOTHING)._repr_html_()
