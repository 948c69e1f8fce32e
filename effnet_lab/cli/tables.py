"""A table in a terminal: as many columns as fit, the most important first, an interval beside its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from effnet_lab.cli.saying import broken, line_width, say, write

TEXT_WIDTH = 30  # characters that a column of text gets at least when it has to be wrapped
MISSING = "-"


Rows = Sequence[Mapping[Any, object]]


def print_table(rows: Rows, names: Sequence[str]) -> None:
    """Several rows as columns that fit, one row as a list of what it says."""
    from effnet_lab.frames import column

    present = [name for name in names if not rows or name in rows[0]]
    ends = {end for name in present if column(name).interval for end in column(name).ends if end in present}
    names = [name for name in present if name not in ends]
    names = sorted(names, key=lambda name: _says_nothing(rows, name))  # stable: the order of importance is kept
    cells = {name: [_cell(row, name) for row in rows] for name in names}
    if len(rows) == 1:
        write(_as_list({name: cells[name][0] for name in names if cells[name][0]}, line_width()))
        return
    chosen = _fitting(cells, line_width())
    _print_columns({name: cells[name] for name in chosen}, line_width())
    if left_out := len(names) - len(chosen):
        say(f"{left_out} more column{'s' * (left_out != 1)} with --wide.", err=True)


def _says_nothing(rows: Rows, name: str) -> bool:
    """Whether a column is the same text in every row, or has not been measured in any."""
    from effnet_lab.frames import column

    if column(name).kind == "text":
        return len(rows) > 1 and len({row[name] for row in rows}) == 1
    return all(column(name).write(row[name], missing=MISSING) == MISSING for row in rows)


def _cell(row: Mapping[Any, object], name: str) -> str:
    """The value, with the ends of its interval where the table has them."""
    from effnet_lab.frames import column

    def write(one: str) -> str:
        return column(one).write(row[one], missing=MISSING)

    ends = [end for end in column(name).ends if end in row] if column(name).interval else []
    if len(ends) < 2 or write(ends[0]) == MISSING:
        return write(name)
    low, high = (write(end).removesuffix("%") for end in ends)
    return f"{write(name)} ({low} to {high})"


def _as_list(cells: dict[str, str], width: int) -> str:
    """One ``name  value`` per line, long values wrapped below themselves."""
    left = max(map(len, cells), default=0) + 2
    lines = []
    for name, cell in cells.items():
        parts = broken(cell, max(20, width - left))
        lines += [f"{name if i == 0 else '':<{left}}{part}" for i, part in enumerate(parts)]
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
    """Numbers on the right, text on the left and wrapped where the line would get too long."""
    from effnet_lab.frames import column

    text = {name for name in cells if column(name).kind == "text" or any(cell[:1].isalpha() for cell in cells[name])}
    widths = {name: max(map(len, (name, *cells[name]))) for name in cells}
    over = sum(widths.values()) + 2 * (len(cells) - 1) - width
    for name in sorted(text, key=widths.__getitem__, reverse=True):  # the longest texts give way first
        narrowest = max(len(name), min(widths[name], TEXT_WIDTH))
        cut = min(max(over, 0), widths[name] - narrowest)
        widths[name], over = widths[name] - cut, over - cut
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    for row in [{name: name for name in cells}, *rows]:
        parts = {name: broken(row[name], widths[name]) for name in cells}
        for line in range(max(map(len, parts.values()))):
            shown = [(part[line] if line < len(part) else "", name) for name, part in parts.items()]
            pieces = (f"{cell:<{widths[name]}}" if name in text else f"{cell:>{widths[name]}}" for cell, name in shown)
            write("  ".join(pieces).rstrip())
