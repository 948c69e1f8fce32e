"""How answers and progress are shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd


def show(table: pd.DataFrame, as_json: bool, columns: Iterable[str] | None = None) -> None:
    """Print a frame: all columns as JSON, or the chosen ones as a table for people."""
    if as_json:
        typer.echo(json.dumps([_plain(row) for row in table.to_dict("records")], indent=2))
        return
    import pandas as pd

    from effnet_lab.frames import column

    chosen = [name for name in (columns or table.columns) if name in table.columns]
    shown = {name: [column(name).write(value, missing="-") for value in table[name]] for name in chosen}
    typer.echo(pd.DataFrame(shown).to_string(index=False))


def show_all(tables: dict[str, pd.DataFrame], as_json: bool) -> None:
    """Print several frames: as JSON an object with a list for each, or the list itself where there is one."""
    if len(tables) == 1 or not as_json:
        for i, table in enumerate(tables.values()):
            typer.echo("" if i else None, nl=bool(i))
            show(table, as_json)
        return
    typer.echo(
        json.dumps({name: [_plain(row) for row in t.to_dict("records")] for name, t in tables.items()}, indent=2)
    )


def save(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write every frame as a CSV file of its name."""
    from effnet_lab.paths import write_atomically

    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode())


def progress(what: str) -> Callable[..., Iterable]:
    """A `tqdm` for one long step, on standard error."""
    from functools import partial

    from tqdm import tqdm

    return partial(tqdm, desc=what, leave=False, disable=None)


def _plain(row: dict) -> dict:
    """NaN is null (not measured), an infinite value is the text "inf" or "-inf": JSON has neither."""
    return {key: _number(value) for key, value in row.items()}


def _number(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
