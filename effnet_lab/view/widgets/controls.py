"""Menus and sliders that refuse a value they cannot show, with an error that says what they can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import ipywidgets as ipw

from effnet_lab.names import UserError, suggest
from effnet_lab.view.axes import axis

LABEL = {"description_width": "96px"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What a slider can be set to."""

    low: float
    high: float
    step: float

    def slider(self, name: str, value: float) -> ipw.FloatSlider | ipw.IntSlider:
        """Slider at `value`; whole numbers when the step is one."""
        if not self.low <= value <= self.high:
            raise UserError(f"{name} must lie between {self.low:g} and {self.high:g}. Got {value!r}.")
        kind = ipw.IntSlider if isinstance(self.step, int) else ipw.FloatSlider
        words = name.removesuffix("_px") + " (px)" if name.endswith("_px") else name
        return kind(
            value=value, min=self.low, max=self.high, step=self.step, description=words, style=LABEL,
            layout=ipw.Layout(width="320px"),
        )  # fmt: skip


def pick(kind: str, value: str | None, known: Iterable[str]) -> str:
    """The value, or the first known one when it is empty (papermill has no None); unknown names are an error."""
    known = list(known)
    if not known:
        raise UserError(f"There is no {kind} to choose from: the table has no rows. Compute it first.")
    if not value:
        return known[0]
    if value not in known:
        raise UserError(suggest(kind, value, known))
    return value


def menu(description: str, options: Iterable[str | tuple[str, str]] = (), value: str | None = None) -> ipw.Dropdown:
    """Dropdown; `options` are names or (label, name), `value` is one of them or none while there are no options."""
    return ipw.Dropdown(
        description=description, options=list(options), value=value, style=LABEL, layout=ipw.Layout(width="320px")
    )


def row(*controls: ipw.Widget) -> ipw.HBox:
    """Controls beside each other, on as many lines as the page needs."""
    return ipw.HBox(controls, layout=ipw.Layout(flex_flow="row wrap"))


def named(columns: Iterable[str]) -> list[tuple[str, str]]:
    """Menu options for columns: the title of their axis, and their name."""
    return [(axis(column).title, column) for column in columns]


class Note(ipw.HTML):
    """A sentence or two beside the picture."""

    def say(self, html: str) -> None:
        """Replace the text."""
        self.value = f'<div style="line-height: 1.5; margin: 4px 0 4px 4px">{html}</div>'
