"""The parameters of a notebook: read from its tagged cell, and checked before anything runs."""

from __future__ import annotations

import ast
import io
import json
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from effnet_lab.names import UserError, suggest

TAG = "parameters"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # comment``."""

    name: str
    annotation: str
    default: object
    comment: str


class Cell(NamedTuple):
    """What matters of a code cell here."""

    source: str
    tags: tuple[str, ...]


def read_parameters(notebook_path: str | Path) -> dict[str, Parameter]:
    """Parameters of a notebook, in the order of its cell tagged `parameters`.

    Parameters
    ----------
    notebook_path : str or Path
        An ``.ipynb`` file.

    Returns
    -------
    dict of str to Parameter

    Raises
    ------
    UserError
        If the file is no notebook, has no such cell, or a line of the cell is not ``name: type = literal  # comment``.
    """
    return _parameters(_code_cells(Path(notebook_path)), Path(notebook_path).stem)


def check_parameters(notebook: str | Path, given: Mapping[str, object]) -> dict[str, object]:
    """The given values, converted to the types that the notebook declares.

    Parameters
    ----------
    notebook : str or Path
        An ``.ipynb`` file.
    given : mapping of str to object
        Values by name; strings (from a shell) are converted to the annotated type: ``int``, ``float``, ``bool``,
        ``str``, ``list`` (``[1, 2]`` or ``1,2``), ``list[...]`` and ``... | None``.

    Returns
    -------
    dict of str to object
        The same names with typed values.

    Raises
    ------
    UserError
        If a name is unknown (the nearest is named), a value does not convert, or a parameter of the notebook is read
        by no later cell: setting it would change nothing, silently.
    """
    path = Path(notebook)
    cells = _code_cells(path)
    known = _parameters(cells, path.stem)
    for name in given:
        if name not in known:
            raise UserError(suggest(f"parameter of {path.stem}", name, known))
    later = cells[next(i for i, cell in enumerate(cells) if _is_parameters(cell)) + 1 :]
    unread = [name for name in known if not _is_read(name, later)]
    if unread:
        raise UserError(
            f"Parameter {unread[0]!r} of {path.stem} is read by no later cell, so setting it changes nothing. "
            "Use it there, or delete it from the parameters cell."
        )
    return {name: convert(known[name], value, path.stem) for name, value in given.items()}


def convert(parameter: Parameter, value: object, notebook: str) -> object:
    """`value` as the type of the parameter, or a `UserError` with both."""
    try:
        return _as_type(parameter.annotation, value)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError):
        raise UserError(
            f"Parameter {parameter.name!r} of {notebook} must be {parameter.annotation} "
            f"(its default is {parameter.default!r}). Got {value!r}."
        ) from None


def _code_cells(path: Path) -> list[Cell]:
    """Code cells of a notebook file, read as the JSON it is: nbformat's import alone takes 1.5 s of CPU."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        return [Cell("".join(cell["source"]), tuple(cell["metadata"].get("tags", ()))) for cell in code]
    except FileNotFoundError:
        raise UserError(f"No notebook at {path}. Give a name such as 01_scaling, or the path of an .ipynb.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is not a notebook (nbformat 4). Give the path of an .ipynb file.") from None


def _is_parameters(cell: Cell) -> bool:
    return TAG in cell.tags


def _parameters(cells: list[Cell], notebook: str) -> dict[str, Parameter]:
    """Parse the tagged cell."""
    tagged = [cell for cell in cells if _is_parameters(cell)]
    if len(tagged) != 1:
        raise UserError(f"Notebook {notebook} has {len(tagged)} cells tagged {TAG!r}. Tag exactly one code cell.")
    source = tagged[0].source
    statements = _parsed(source, notebook).body
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in statements:
        parameter = _parameter(statement, comments, notebook)
        convert(parameter, parameter.default, notebook)
        found[parameter.name] = parameter
    return found


def _parsed(source: str, notebook: str) -> ast.Module:
    """What Python reads in a cell."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in texts, for example
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # a null byte; brackets without end
        said = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise UserError(f"A cell of {notebook} is no Python ({said[:80]}): {source.strip()[:60]!r}. Mend it.") from None


def _parameter(statement: ast.stmt, comments: Mapping[int, str], notebook: str) -> Parameter:
    """One annotated literal."""
    try:
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise ValueError(statement)
        return Parameter(
            name=statement.target.id,
            annotation=ast.unparse(statement.annotation),
            default=ast.literal_eval(statement.value),
            comment=comments.get(statement.end_lineno or 0, ""),
        )
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise UserError(
            f"Parameters cell of {notebook}: {ast.unparse(statement)!r} is not `name: type = literal  # comment`. "
            "Move what is computed to the next cell."
        ) from None


def _is_read(name: str, cells: list[Cell]) -> bool:
    """Whether a later cell reads the name before one overwrites it."""
    for cell in cells:
        lines = ("" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines())
        for statement in _parsed("\n".join(lines), "the notebook").body:
            uses = {type(node.ctx) for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id == name}
            if ast.Load in uses:
                return True
            if uses:
                return False
    return False


def _as_type(annotation: str, value: Any) -> object:
    """Convert, or raise a ValueError, TypeError or SyntaxError."""
    if annotation.endswith("| None"):
        if value is None or value == "None":
            return None
        return _as_type(annotation.removesuffix("| None").strip(), value)
    base, _, inside = annotation.partition("[")
    if base == "list":
        return _as_list(inside.removesuffix("]"), value)
    if base == "str" and isinstance(value, str):
        return value
    if base == "bool" and (isinstance(value, bool) or str(value).lower() in _TRUE + _FALSE):
        return value if isinstance(value, bool) else str(value).lower() in _TRUE
    if base in ("int", "float") and not isinstance(value, bool):
        number = float(value) if base == "float" else int(value)
        if isinstance(value, str) or number == value or number != number:
            return number
    raise ValueError(annotation)


def _as_list(inside: str, value: object) -> list[object]:
    """A list of the inner type from a list, ``[1, 2]`` or ``1,2``."""
    if isinstance(value, str):
        text = value.strip()
        value = (
            ast.literal_eval(text)
            if text.startswith("[")
            else [item.strip() for item in text.split(",") if item.strip()]
        )
    if not isinstance(value, (list, tuple)):
        raise TypeError(value)
    return [_as_type(inside, item) for item in value] if inside else list(value)
