"""What differs between two executed notebooks: parameters, cells and figures."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab.regress.sweeps.ledger import SweepFolder, is_sweep

COLUMNS = ("notebook", "part", "name", "was", "is")
PARAMETER, CELL, OUTPUT, FIGURE = "parameter", "cell", "output", "figure"
LONGEST = 80  # characters of what is shown
CLOSE = 1e-6  # share by which a number in a figure may differ
_SET_BY_RUNNER = ("out_dir",)
_TAGS = {"parameters", "injected-parameters"}


def compare_notebooks(was: str | Path, now: str | Path) -> pd.DataFrame:
    """What differs between the notebooks of two runs.

    Parameters
    ----------
    was, now : path
        Folders of runs, of sweeps, or of points of a sweep.

    Returns
    -------
    DataFrame
        `COLUMNS`, one row per parameter, cell, output or figure that differs. Pictures and numbers that a clock made, such as
        how long a cell took, are left out.
    """
    pairs = _pairs(Path(was), Path(now))
    rows = dict.fromkeys(row for folders in pairs for row in _rows(*folders))  # what points share is said once
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def _pairs(was: Path, now: Path) -> list[tuple[Path, Path]]:
    """The folders themselves; of two sweeps, the points with the same parameters."""
    if not (is_sweep(was) and is_sweep(now)):
        return [(was, now)]
    before, after = (
        {json.dumps(point["parameters"], sort_keys=True): sweep.point(point["key"]) for point in sweep.plan()["points"]}
        for sweep in map(SweepFolder, (was, now))
    )
    return [(folder, after[values]) for values, folder in before.items() if values in after]


def _rows(was: Path, now: Path) -> Iterator[tuple[str, ...]]:
    names = [{path.name for path in (run / "notebooks").glob("*.ipynb")} for run in (was, now)]
    for name in sorted(names[0] & names[1]):
        notebooks = [json.loads((run / "notebooks" / name).read_bytes()) for run in (was, now)]
        yield from ((Path(name).stem, *found) for found in _differences(*notebooks))
    yield from (("", FIGURE, name, *words) for name, words in _figures(was, now))


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    before, after = _parameters(was), _parameters(now)
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name) and name not in _SET_BY_RUNNER:
            yield PARAMETER, name, _short(before.get(name, "none")), _short(after.get(name, "none"))
    cells = [[cell for cell in notebook["cells"] if _is_code(cell)] for notebook in (was, now)]
    for number in range(max(map(len, cells))):
        old, new = (side[number] if number < len(side) else None for side in cells)
        sources = [_join(cell["source"]) if cell else "none" for cell in (old, new)]
        if sources[0] != sources[1]:
            yield (CELL, f"code cell {number + 1}", *_first_differences(*sources))
        elif old and new and _texts(old) != _texts(new):
            yield (OUTPUT, f"code cell {number + 1}", *_first_differences(_texts(old), _texts(new)))


def _is_code(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and not _TAGS & set(cell["metadata"].get("tags", ()))


def _parameters(notebook: Mapping[str, Any]) -> dict[str, object]:
    """Values as the notebook saw them: the injected ones come last."""
    found: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and _TAGS & set(cell["metadata"].get("tags", ())):
            for node in ast.parse(_join(cell["source"])).body:
                target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
                value = getattr(node, "value", None)
                if isinstance(target, ast.Name) and value is not None:
                    found[target.id] = _literal(value)
    return found


def _literal(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except ValueError:  # float("nan"), as papermill writes it
        return ast.unparse(value)


def _texts(cell: Mapping[str, Any]) -> str:
    """What a cell printed; pictures and widgets are compared as figures."""
    shown = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if output.get("output_type") == "stream" and output.get("name") == "stdout":
            shown.append(_join(output["text"]))
        elif "text/markdown" in data:
            shown.append(_join(data["text/markdown"]))
        elif set(data) == {"text/plain"}:
            shown.append(_join(data["text/plain"]))
        elif output.get("output_type") == "error":
            shown.append(f"{output['ename']}: {output['evalue']}")
    return "\n".join(shown)


def _figures(was: Path, now: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    sides = [{path.stem: path for path in (run / "figures").glob("*.json")} for run in (was, now)]
    for name in sorted(set(sides[0]) | set(sides[1])):
        if name not in sides[0] or name not in sides[1]:
            yield name, ("none" if name not in sides[0] else "drawn", "none" if name not in sides[1] else "drawn")
            continue
        old, new = (json.loads(side[name].read_bytes())["data"] for side in sides)
        if not _alike(old, new):
            yield name, (_size(old), f"{_size(new)}, other values" if _size(old) == _size(new) else _size(new))


def _size(data: list[Any]) -> str:
    return f"{len(data)} trace{'s' * (len(data) != 1)}"


def _alike(old: Any, new: Any) -> bool:
    """Whether two pieces of a figure are the same, but for the last digits of numbers."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_alike(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_alike, old, new))
    if isinstance(old, float) and isinstance(new, int | float):
        return bool(np.isclose(old, new, rtol=CLOSE, atol=0, equal_nan=True))
    return bool(old == new)


def _first_differences(was: str, now: str) -> tuple[str, str]:
    return _first_difference(was, now), _first_difference(now, was)


def _first_difference(text: str, other: str) -> str:
    """The first line that the other does not have there."""
    lines, others = text.splitlines() or [""], other.splitlines() or [""]
    at = next((i for i, line in enumerate(lines) if i >= len(others) or line != others[i]), len(lines) - 1)
    return _short(lines[at])


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _join(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
