"""The short call with which a notebook shows and records: ``show = recording(out_dir, profile)``."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

import pandas as pd

from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.regress.manifest import FIGURE, SENTENCE, TABLE, Item, Manifest, free_name
from effnet_lab.regress.recording import record, record_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from effnet_lab.view.table import Table

T = TypeVar("T")
NOTEBOOK = "EFFNET_LAB_NOTEBOOK"  # environment variable: the runner says which notebook this is
_SESSION = "JPY_SESSION_NAME"  # the same from JupyterLab: a path, or a random name
LONGEST_NAME = 48


@runtime_checkable
class HasFigures(Protocol):
    """A widget: the figures that it shows now, by name."""

    @property
    def figures(self) -> Mapping[str, go.Figure]:
        """Figures by name."""


def recording(out_dir: str | Path, profile: str, notebook: str = "") -> Recording:
    """Begin to record what a notebook shows.

    Parameters
    ----------
    out_dir, profile : str or Path, str
        The notebook's parameters of these names.
    notebook : str
        Its name without suffix; empty: what the runner or JupyterLab says.

    Returns
    -------
    Recording
        Call it with what the notebook shows: ``show(plot_layer_error(errors))``, ``errors = show(errors, "layer_error")``.
    """
    started = Recording(
        out_dir=Path(out_dir), manifest=Manifest(notebook=notebook or _notebook_name(), profile=profile)
    )
    started.manifest.save(out_dir)
    if _cell():
        _follow_the_theme()
    return started


def _follow_the_theme() -> None:
    """Give the page the colours that figures have in a dark theme; nothing to see."""
    from IPython.display import HTML, display

    from effnet_lab.view.theme import JUPYTER_DARK, dark_style

    display(HTML(f"<style>{dark_style(JUPYTER_DARK)}</style>"))


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Records what it is called with, and returns it."""

    out_dir: Path
    manifest: Manifest

    def __call__(self, shown: T, name: str = "") -> T:
        """Record one thing where it is shown.

        Parameters
        ----------
        shown : plotly Figure, widget, Table or DataFrame
            A figure goes to ``figures/``, and so do those of a widget; the rows of a table go to ``frames/``.
        name : str
            Of a figure: its file, by default made from its title. Of rows: their frame. A `Table` knows its own.

        Returns
        -------
        the same object
        """
        from effnet_lab.view.table import Table

        if isinstance(shown, pd.DataFrame):
            self._record(shown, name)
        elif isinstance(shown, Table):
            self._show_table(shown)
        elif isinstance(shown, HasFigures):
            for figure_name, figure in shown.figures.items():
                self._show_figure(figure, figure_name)
        elif hasattr(shown, "to_plotly_json"):
            self._show_figure(cast("go.Figure", shown), name)
        else:
            raise TypeError(f"show takes a figure, a widget of this package, a Table or rows. Got {type(shown)}.")
        return shown

    def say(self, sentence: str, *, answers: str = "", about: str = "", shown: bool = False) -> None:
        """Record a sentence and display it: a cell may say several, of which a notebook would show the last alone.

        Parameters
        ----------
        sentence : str
            May hold Markdown.
        answers : str
            A question of the report's first screen; empty: the sentence stands in its chapter only.
        about : str
            Name of the figure that it speaks of; empty: the nearest one before it.
        shown : bool
            A widget says it already, and goes on to say what is true when a hand has moved it: record it only.
        """
        figure = self._own(FIGURE, about) if about else ""
        item = Item(kind=SENTENCE, name="", title=sentence, cell=_cell(), answers=answers, about=figure)
        self.manifest.add(self.out_dir, item)
        if _cell() and not shown:
            from IPython.display import Markdown, display

            display(Markdown(f"**{sentence}**" if answers else sentence))

    def _own(self, kind: str, name: str) -> str:
        return free_name(self.out_dir, self.manifest.notebook, kind, name)

    def _record(self, rows: pd.DataFrame, frame: str) -> None:
        record(rows, frame, self.out_dir, notebook=self.manifest.notebook, profile=self.manifest.profile)

    def _show_figure(self, figure: go.Figure, name: str) -> None:
        title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "")
        name = self._own(FIGURE, name or slug(title))
        record_figure(figure, name, self.out_dir)
        self.manifest.add(self.out_dir, Item(kind=FIGURE, name=name, title=title, cell=_cell()))

    def _show_table(self, table: Table) -> None:
        if table.frame:
            self._record(table.rows, table.frame)
        name = self._own(TABLE, table.name or table.frame or slug(table.title))
        write_atomically(self.out_dir / "tables" / f"{name}.html", table.html().encode())
        self.manifest.add(self.out_dir, Item(kind=TABLE, name=name, title="", cell=_cell(), frame=table.frame))


def slug(title: str) -> str:
    """A file name from a title: its words in lower case, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST_NAME].strip("-")
    if not name:
        raise UserError("A figure or table without a title needs a name: show(figure, 'my_figure').")
    return name


def _notebook_name() -> str:
    session = Path(os.environ.get(_SESSION, ""))
    return os.environ.get(NOTEBOOK) or (session.stem if session.suffix == ".ipynb" else "notebook")


def _cell() -> int:
    """Number of the code cell that runs, counted in `In`; IPython is asked only where something has loaded it.

    Its `execution_count` is that number or the next one, depending on the version.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return len(shell.user_ns.get("In", [""])) - 1 if shell else 0
