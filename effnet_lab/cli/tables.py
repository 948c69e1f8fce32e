"""A table in a terminal: as many columns as fit, the most important first, an interval beside its number."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd

TEXT_WIDTH = 30  # characters that a column of text gets at least when it has to be wrapped
MISSING = "-"


def print_table(table: pd.DataFrame, names: Sequence[str], *, wide: bool) -> None:
    """Several rows as columns that fit, one row as a list of all its values."""
    from effnet_lab.frames import column

    present = [name for name in names if name in table.columns]
    ends = {end for name in present if column(name).interval for end in column(name).ends if end in table.columns}
    names = [name for name in present if name not in ends]
    names = sorted(names, key=lambda name: _says_nothing(table, name))  # stable: the order of importance is kept
    cells = {name: [_cell(table, row, name) for row in range(len(table))] for name in names}
    if len(table) == 1:
        typer.echo(_as_list({name: cells[name][0] for name in names}, None if wide else terminal_width()))
        return
    chosen = names if wide else _fitting(cells, terminal_width())
    _print_columns({name: cells[name] for name in chosen}, 10_000 if wide else terminal_width())
    if left_out := len(names) - len(chosen):
        typer.echo(f"{left_out} more column{'s' * (left_out != 1)} with --wide.", err=True)


def terminal_width() -> int:
    """Characters in a line: $COLUMNS, or what the terminal says, or 80."""
    return max(40, shutil.get_terminal_size(fallback=(80, 24)).columns)


def _says_nothing(table: pd.DataFrame, name: str) -> bool:
    """Whether a column is the same text in every row, or has not been measured in any."""
    from effnet_lab.frames import column

    cells = table[name]
    if column(name).kind == "text":
        return len(cells) > 1 and len(set(cells)) == 1
    return bool(cells.isna().all())


def _cell(table: pd.DataFrame, row: int, name: str) -> str:
    """The value, with the ends of its interval where the table has them."""
    from effnet_lab.frames import column

    def write(one: str) -> str:
        return column(one).write(table[one].iloc[row], missing=MISSING)

    ends = [end for end in column(name).ends if end in table.columns] if column(name).interval else []
    if len(ends) < 2 or write(ends[0]) == MISSING:
        return write(name)
    low, high = (write(end).removesuffix("%") for end in ends)
    return f"{write(name)} ({low} to {high})"


def _as_list(cells: dict[str, str], width: int | None) -> str:
    """One ``name  value`` per line, long values wrapped below themselves."""
    import textwrap

    left = max(map(len, cells), default=0) + 2
    lines = []
    for name, cell in cells.items():
        parts = textwrap.wrap(cell, max(20, width - left)) if width else [cell]
        lines += [f"{name if i == 0 else '':<{left}}{part}" for i, part in enumerate(parts or [""])]
    return "\n".join(lines)


def _fitting(cells: dict[str, list[str]], width: int) -> list[str]:
    """The first columns that fit side by side, the first one in any case."""
    chosen: list[str] = []
    used = 0
    for name, column_cells in cells.items():
        needed = max(len(name), min(max(map(len, column_cells), default=0), TEXT_WIDTH)) + 2
        if chosen and used + needed - 2 > width:
            break
        chosen.append(name)
        used += needed
    return chosen


def _print_columns(cells: dict[str, list[str]], width: int) -> None:
    """Numbers on the right, text on the left and wrapped."""
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from effnet_lab.frames import column

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="", collapse_padding=True)
    for name in cells:
        text = column(name).kind == "text" or any(cell[:1].isalpha() for cell in cells[name])
        shown.add_column(Text(name), justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for row in zip(*cells.values(), strict=True):
        shown.add_row(*map(Text, row))
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, color_system=None)
    with console.capture() as said:
        console.print(shown)
    typer.echo("\n".join(line.rstrip() for line in said.get().splitlines()))
