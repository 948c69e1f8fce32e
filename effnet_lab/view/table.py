"""Tables that a person reads: titles with units, numbers as their column writes them, the interval beside its number.

The HTML is made by great-tables. It was chosen over itables because its table is there without a script: in a notebook that
is not trusted yet, in a printed report and on an exported page; itables shows "Loading" until half a megabyte of
JavaScript has run. What is missing, sorting by a click on a head, is `SCRIPT`, which a page without scripts does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from effnet_lab.frames import column
from effnet_lab.view.text import short_layer

NOT_MEASURED = "–"
LONG_TEXT = 46  # characters from which on a column of text is wide
_LONG = '<span class="long">'
_NAMES = ("layer", "culprit", "worst_layer", "widest_layer")  # columns with names of layers
_ATTRIBUTES = re.compile(r' (?:id|headers|rowspan|aria-labelledby|data-quarto-[\w-]+)="[^"]*"')
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_INLINE = {  # the least that a table needs where JupyterLab does not trust a notebook and takes the style sheet away
    '<div class="effnet-table"': "max-height: 48rem; overflow: auto",
    'gt_left"': "text-align: left; vertical-align: top",
    _LONG[:-1]: "display: block; min-width: 12rem",
}
_PAGE_STYLE = """
.effnet-table { --ink: #1F2933; --soft: #5B6470; --line: #DFE3E8; --ground: #fff; max-height: max(72vh, 48rem); overflow: auto;
  margin: .5rem 0; color: var(--ink); /* and a shade at the end while there is more to scroll to */
  background: linear-gradient(transparent, var(--ground) 60%) bottom / 100% 3rem no-repeat local,
    linear-gradient(transparent, var(--line)) bottom / 100% .9rem no-repeat; }
.effnet-table table { border-collapse: collapse; width: auto; margin: 0; font-size: 13px; line-height: 1.4;
  font-variant-numeric: tabular-nums; text-align: left; background: transparent; color: inherit; }
.effnet-table thead th { position: sticky; top: 0; background: var(--ground); color: var(--soft); font-weight: 600;
  vertical-align: bottom; cursor: pointer; border-bottom: 2px solid var(--line); padding: 4px 7px; max-width: 8rem; }
.effnet-table tbody td { padding: 4px 7px; border: 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; background: transparent; }
.effnet-table .gt_right { text-align: right !important; } .effnet-table .gt_left { text-align: left !important; }
.effnet-table .once { font-size: 13px; color: var(--soft); margin: 4px 7px; } .effnet-table .once .long { display: inline; }
.effnet-table td i { white-space: nowrap; }
.effnet-table td .long { display: block; min-width: 12rem; max-width: 34rem; }
.effnet-table i { color: var(--soft); font-style: normal; }
.effnet-table caption, .effnet-table .gt_title { text-align: left; font-weight: 600; padding: 2px 10px; }
.effnet-table th[aria-sort=ascending]::after { content: " ▲"; } .effnet-table th[aria-sort=descending]::after { content: " ▼"; }
@media (max-width: 40rem) { .effnet-table table { font-size: 12px; }
  .effnet-table td, .effnet-table th { padding: 3px 4px !important; }
  .effnet-table td.gt_left { overflow-wrap: anywhere; } .effnet-table td .long { min-width: 8rem !important; } }
@media (max-width: 70rem) { .effnet-table table { font-size: 12px; } .effnet-table td .long { min-width: 9rem !important; }
  .effnet-table tbody td, .effnet-table thead th { padding: 3px 4px; } }
@media print { .effnet-table { max-height: none !important; overflow: visible !important; background: none; }
  .effnet-table td i { white-space: normal; } .effnet-table td .long { min-width: 7rem !important; }
  .effnet-table tbody td, .effnet-table thead th { padding: 2px 3px; } }
"""
_DARK = ".effnet-table { --ink: #E4E7EB; --soft: #A9B4C0; --line: #3A4654; --ground: var(--card, #111); }"
STYLE = (
    f"{_PAGE_STYLE}body[data-jp-theme-light=false] {_DARK}\n@media (prefers-color-scheme: dark) {{ .report {_DARK} }}\n"
)
SCRIPT = """
if (!window.effnetSort) { window.effnetSort = true; document.addEventListener("click", (event) => {
  const head = event.target.closest(".effnet-table thead th"); if (!head) return;
  const column = [...head.parentNode.children].indexOf(head), body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  const text = (row) => row.cells[column].textContent.trim(), value = (row) => parseFloat(text(row).replace(/,/g, ""));
  const rows = [...body.rows], numeric = rows.every((row) => text(row) === "–" || !Number.isNaN(value(row)));
  rows.sort((a, b) => numeric ? (value(a) || 0) - (value(b) || 0) : text(a).localeCompare(text(b)));
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...(up ? rows : rows.reverse()));
}); }
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of a frame, as a person reads them; a notebook shows it by itself."""

    rows: pd.DataFrame
    columns: tuple[str, ...]  # which of them, in this order
    title: str = ""
    frame: str = ""  # whose rows these are; recorded under this name
    name: str = ""  # of the file beside the report; empty: the frame's
    empty: str = "No rows."  # what it means that there are none
    folded: bool = False  # a click on the title opens it

    def html(self) -> str:
        """The table alone: a page brings `STYLE` and `SCRIPT` once."""
        if self.rows.empty:
            return f'<div class="effnet-table"><p>{escape(self.empty)}</p></div>'
        from great_tables import GT

        shown = self.rows[_with_ends(self.columns, self.rows)].reset_index(drop=True)
        text = pd.DataFrame({name: _cells(shown, name) for name in self.columns})
        once = _said_once(text)
        kept = [name for name in self.columns if name not in once]
        made = GT(text[kept]).fmt(str).cols_label({name: heading(name) for name in kept})
        made = made.cols_align("left", [name for name in kept if not _is_number(shown[name])])
        made = made.cols_align("right", [name for name in kept if _is_number(shown[name])])
        made = made.tab_header(title=self.title) if self.title and not self.folded else made
        html = _ATTRIBUTES.sub("", _STYLE.sub("", made.as_raw_html()))
        inside = html[html.index("<table") : html.rindex("</table>")]
        below = "".join(
            f'<p class="once">{escape(heading(name))} of every row: {words}</p>' for name, words in once.items()
        )
        whole = f'<div class="effnet-table">{inside}</table>{below}</div>'
        return f"<details><summary>{escape(self.title)}</summary>{whole}</details>" if self.folded else whole

    def _repr_html_(self) -> str:
        html = self.html()
        for part, style in _INLINE.items():
            html = html.replace(part, f'{part} style="{style}"')
        return f"<style>{STYLE}</style>{html}<script>{SCRIPT}</script>"

    def __repr__(self) -> str:
        return str(self.rows[list(self.columns)])


def table(
    rows: pd.DataFrame, columns: Iterable[str] | None = None, *, title: str = "", frame: str = "", name: str = "",
    empty: str = "No rows.", folded: bool = False,
) -> Table:  # fmt: skip
    """Rows as a person reads them.

    Parameters
    ----------
    rows : DataFrame
        With columns of `frames.py` as far as possible: those have a title and a way to write numbers.
    columns : iterable of str, optional
        Which to show; by default all but those without any value. The ends of an interval stand beside their number.
    title : str
    frame : str
        Frame under which `rows` are recorded, all columns of it; empty: they are shown only.
    name : str
        File name beside the report, where the frame's will not do.
    empty : str
        What it means that there are no rows.
    folded : bool
        Show the title alone, on which a click opens the table: for numbers that a figure or a sentence has told already.
    """
    ends = {end for known in rows.columns for end in column(str(known)).ends}
    filled = [known for known in rows.columns if known not in ends and rows[known].notna().any()]
    return Table(
        rows=rows, columns=tuple(columns or filled), title=title, frame=frame, name=name, empty=empty, folded=folded
    )


def one_row(rows: pd.DataFrame, *, title: str = "", name: str = "", empty: str = "No row.") -> Table:
    """The first row as a list, a line per quantity that was measured, folded if it has a title: for a row wider than a page."""
    first = rows.iloc[0] if len(rows) else pd.Series(dtype=object)
    known = [name for name in first.index if pd.notna(first[name]) and first[name] != ""]
    cells = [write_value(name, first[name]) for name in known]
    listed = pd.DataFrame({"quantity": [heading(name) for name in known], "value": cells})
    return Table(rows=listed, columns=("quantity", "value"), title=title, name=name, empty=empty, folded=bool(title))


def heading(name: str) -> str:
    """What stands above a column: its title, with its unit."""
    return column(name).heading.replace("_", " ")


def write_value(name: str, value: object) -> str:
    """A cell's text as the column writes it; a dash for what was not measured."""
    return column(name).write(value, missing=NOT_MEASURED) or NOT_MEASURED


def _writer(name: str) -> Callable[[object], str]:
    """HTML of a column's cells: layers are cut to their last parts, long text wraps between words."""

    def write(value: object) -> str:
        text = write_value(name, value)
        if name in _NAMES:
            return f'<span title="{escape(text)}">{escape(short_layer(text, 60))}</span>'
        return f"{_LONG}{escape(text)}</span>" if len(text) > LONG_TEXT else escape(text)

    return write


def _with_ends(columns: Iterable[str], rows: pd.DataFrame) -> list[str]:
    """The columns, and the ends of their intervals as far as the rows have them."""
    wanted = [part for name in columns for part in (name, *column(name).ends)]
    return list(dict.fromkeys(part for part in wanted if part in rows.columns))


def _cells(shown: pd.DataFrame, name: str) -> list[str]:
    """HTML of every cell of a column, its interval beside its number."""
    write, (low, high) = _writer(name), column(name).ends
    texts = [write(value) for value in shown[name]]
    if low not in shown or high not in shown:
        return texts
    ends = zip(shown[low], shown[high], texts, strict=True)
    return [
        f"{text} <i>[{write(below)} … {write(above)}]</i>" if pd.notna(below) and pd.notna(above) else text
        for below, above, text in ends
    ]


def _said_once(text: pd.DataFrame) -> dict[str, str]:
    """Columns of long text that say the same in each of several rows, with that text: it need not stand in all of them."""
    first = {str(name): str(text[name].iloc[0]) for name in text.columns}
    said = {name: words for name, words in first.items() if words.startswith(_LONG) and (text[name] == words).all()}
    return said if len(text) > 1 and len(said) < len(text.columns) else {}


def _is_number(cells: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells))
