"""How answers and progress are shown."""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from effnet_lab.cli.saying import WIDE, say, write
from effnet_lab.cli.tables import print_table
from effnet_lab.paths import require_room

if TYPE_CHECKING:
    import pandas as pd

Wide = Annotated[bool, typer.Option("--wide", help="All columns of a table, and no line broken, however long it gets.")]
_FOR_PEOPLE = ("run", "check")  # they show tables that lie in files, too: they have no ``--json``
_WRITES = (
    "out",
    "resume",
    "html",
)  # options that name a place to write to; a full disk is found before the work is done


def as_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command as the shell sees it: with ``--wide`` if it shows tables, and stopped by Ctrl-C."""
    hints = get_type_hints(command, include_extras=True)  # typer would look for them beside `run`
    parameters = [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]
    shows = "json" in hints or command.__name__ in _FOR_PEOPLE

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        WIDE.set(options.pop("wide") if shows else False)
        for place in (options.get(name) for name in _WRITES):
            if isinstance(place, str | Path):
                require_room(Path(place))
        try:
            return command(*args, **options)
        except KeyboardInterrupt:
            raise typer.Abort from None  # left alone, typer ends without a word

    if shows:
        parameters.append(inspect.Parameter("wide", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Wide))
    run.__doc__ = unwrapped(command.__doc__ or "")
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def unwrapped(text: str) -> str:
    """A help text with a line for each paragraph, which terminal and page break at their own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def show(table: pd.DataFrame, as_json: bool, columns: Iterable[str] | None = None) -> None:
    """Print a frame: all columns as JSON, or the chosen ones as a table for people."""
    show_rows(table.to_dict("records"), columns or _order(table), as_json)


def show_rows(rows: Sequence[Mapping[Any, object]], columns: Iterable[str], as_json: bool) -> None:
    """Print the rows of a table, likewise."""
    if as_json:
        write(json.dumps([_plain(row) for row in rows], indent=2))
        return
    print_table(rows, list(columns))


def show_all(tables: Mapping[str, pd.DataFrame], as_json: bool) -> None:
    """Print several frames: as JSON an object with a list for each, or the list itself where there is one."""
    if len(tables) == 1 or not as_json:
        for i, table in enumerate(tables.values()):
            if i:
                say()
            show(table, as_json)
        return
    write(json.dumps({name: [_plain(row) for row in t.to_dict("records")] for name, t in tables.items()}, indent=2))


def save(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write every frame as a CSV file of its name."""
    from effnet_lab.paths import write_atomically

    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode())


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a frame as a CSV file."""
    from effnet_lab.paths import write_atomically

    write_atomically(path, table.to_csv(index=False).encode())


def progress(what: str, unit: str = "image") -> Callable[..., Iterable[Any]]:
    """A bar for one long step, on standard error; it counts what the user counts."""
    from tqdm import tqdm

    return functools.partial(tqdm, desc=what, unit=f" {unit}", leave=False, disable=None)


def _order(table: pd.DataFrame) -> Sequence[str]:
    """The columns of a frame as people need them, those of any other table as they stand."""
    from effnet_lab.frames import FRAMES

    names = [str(name) for name in table.columns]
    frame = next((frame for frame in FRAMES.values() if list(frame.columns) == names), None)
    return frame.by_importance if frame else names


def _plain(row: Mapping[Any, object]) -> dict[str, object]:
    """NaN is null (not measured), an infinite value is the text "inf" or "-inf": JSON has neither."""
    return {str(key): _number(value) for key, value in row.items()}


def _number(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
