"""What a sweep runs: every combination, a list, or a random sample, read from a YAML file with its types kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effnet_lab.names import UserError, suggest
from effnet_lab.regress.parameters import Parameter, convert

FORMS = ("grid", "points", "sample")  # exactly one of them
FIXED = "fixed"  # beside it: the same for every point
MOST_POINTS = 1_000_000
MOST_BYTES = 10_000_000
DRAWS = 50  # times as many draws as points are wanted before the space counts as too small

Values = dict[str, object]


def read_grid(grid: str | Path | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What a grid file says, not yet compared with a notebook.

    Parameters
    ----------
    grid : path or mapping
        A YAML file, or what would stand in it: ``{"grid": {"width": [0.5, 1.0]}, "fixed": {"n_images": 50}}``.

    Returns
    -------
    str, mapping
        Which of `FORMS` it is, and the whole.

    Raises
    ------
    UserError
    """
    content = grid if isinstance(grid, Mapping) else _read(Path(grid))
    name = "The grid" if isinstance(grid, Mapping) else f"{grid}"
    example = "'grid: {width: [0.5, 1.0]}'"
    if not isinstance(content, Mapping):
        raise UserError(f"{name} must say what to run, as in {example}. Got {str(content)[:60]!r}.")
    for key in content:
        if key not in (*FORMS, FIXED):
            raise UserError(suggest(f"part of {name}", str(key), (*FORMS, FIXED)))
    said = [form for form in FORMS if form in content]
    if len(said) != 1:
        raise UserError(f"{name} must have one of grid, points and sample, as in {example}. Got {said or 'none'}.")
    return said[0], content


def points_of(
    form: str, content: Mapping[str, Any], declared: Mapping[str, Parameter], notebook: str
) -> Iterator[Values]:
    """Typed parameters of every point; a wrong name or value is found before the first.

    Parameters
    ----------
    form, content
        What `read_grid` gives.
    declared : mapping
        Parameters of the notebook.
    notebook : str
        Its name, for messages.
    """
    known = _Declared(declared, notebook)
    fixed = known.values(_mapping(content.get(FIXED) or {}, FIXED))
    if form == "points":
        listed = content["points"]
        if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
            raise UserError(f"points must be a list, as in '- {{width: 0.5}}'. Got {str(listed)[:60]!r}.")
        return iter([fixed | known.values(_mapping(point, "A point")) for point in listed])
    if form == "sample":
        return _sample(_mapping(content["sample"], "sample"), known, fixed)
    axes = {name: known.axis(name, values) for name, values in _mapping(content["grid"], "grid").items()}
    size = math.prod(map(len, axes.values()))
    if not axes or size > MOST_POINTS:
        raise UserError(f"A grid needs at least one parameter and at most {MOST_POINTS:,} points. Got {size:,} points.")
    return (fixed | dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))


class _Declared:
    """Values as the notebook declares them."""

    def __init__(self, declared: Mapping[str, Parameter], notebook: str) -> None:
        self._declared, self._notebook = declared, notebook

    def values(self, given: Mapping[str, Any]) -> Values:
        return {name: self.value(name, value) for name, value in given.items()}

    def axis(self, name: str, values: Any) -> list[object]:
        if not isinstance(values, list | tuple) or not values:
            raise UserError(f"{name} in grid must be a list of values, as in [1, 2]. Got {str(values)[:60]!r}.")
        return [self.value(name, value) for value in values]

    def parameter(self, name: str) -> Parameter:
        if name not in self._declared:
            raise UserError(suggest(f"parameter of {self._notebook}", str(name), self._declared))
        return self._declared[name]

    def value(self, name: str, value: object) -> object:
        parameter = self.parameter(name)
        if not _type_is_kept(parameter.annotation, value):
            raise UserError(
                f"Parameter {name!r} of {self._notebook} must be {parameter.annotation}. Got the text {str(value)[:60]!r}: "
                "write it without quotation marks."
            )
        return convert(parameter, value, self._notebook)


def _type_is_kept(annotation: str, value: object) -> bool:
    """Whether a text stands only where a text is asked for: from a file, "1" is no number."""
    base, _, inside = annotation.removesuffix("| None").strip().partition("[")
    if isinstance(value, str):
        return base == "str"
    if isinstance(value, list | tuple) and inside:
        return all(_type_is_kept(inside.removesuffix("]"), item) for item in value)
    return True


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{what} must give names and values, as in 'width: 0.5'. Got {str(value)[:60]!r}.")
    return value


def _sample(asked: Mapping[str, Any], known: _Declared, fixed: Values) -> Iterator[Values]:
    """Points drawn at random, no two alike."""
    for key in asked:
        if key not in ("n", "seed", "from"):
            raise UserError(suggest("part of sample", str(key), ("n", "seed", "from")))
    n, seed = asked.get("n"), asked.get("seed", 0)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_POINTS or not isinstance(seed, int):
        raise UserError(f"sample needs n, a number of points from 1, and a seed. Got n {n!r} and seed {seed!r}.")
    rng, axes = np.random.default_rng(seed), _mapping(asked.get("from") or {}, "from in sample")
    draws = {name: _drawn(name, axis, known) for name, axis in axes.items()}
    found: dict[str, Values] = {}
    for _ in range(n * DRAWS):
        point = {name: draw(rng) for name, draw in draws.items()}
        found.setdefault(repr(point), fixed | point)
        if len(found) == n:
            return iter(found.values())
    raise UserError(
        f"sample asks for {n} points that differ, and there are hardly more than {len(found)}. Ask for fewer."
    )


def _drawn(name: str, axis: Any, known: _Declared) -> Any:
    """How one parameter is drawn: one of a list, or evenly between two ends."""
    if isinstance(axis, list | tuple):
        values = known.axis(name, axis)
        return lambda rng: values[int(rng.integers(len(values)))]
    ends = _mapping(axis, f"{name} in sample")
    if unknown := set(ends) - {"low", "high", "log"}:
        raise UserError(suggest(f"part of {name} in sample", str(min(unknown, key=str)), ("low", "high", "log")))
    low: Any = ends.get("low")
    high: Any = ends.get("high")
    log = bool(ends.get("log", False))
    whole = known.parameter(name).annotation.startswith("int")
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or (log and low <= 0) or not math.isfinite(high - low):
        raise UserError(f"{name} in sample needs low below high, with log above 0. Got {low!r} and {high!r}.")
    known.value(name, low), known.value(name, high)

    def draw(rng: np.random.Generator) -> object:
        if whole and not log:
            return int(rng.integers(int(low), int(high) + 1))
        value = math.exp(rng.uniform(math.log(low), math.log(high))) if log else float(rng.uniform(low, high))
        return known.value(name, min(max(round(value), low), high) if whole else value)

    return draw


def _read(path: Path) -> Any:
    """The content of a YAML file: plain values only, each key once, no references, numbers as in YAML 1.2."""
    import yaml

    from effnet_lab.regress.sweeps.plain_yaml import PlainLoader

    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise UserError(
                f"{path} has {len(data):,} bytes; a grid has at most {MOST_BYTES:,}. Use a range or a sample."
            )
        return yaml.load(data, PlainLoader)  # nosec B506  # a SafeLoader
    except OSError as error:
        raise UserError(f"Cannot read the grid {path}: {error.strerror}. Give the path of a YAML file.") from None
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        said = getattr(error, "problem", None) or str(error)
        raise UserError(f"{path} is not YAML that can be read{place}: {str(said)[:120]}. Mend the file.") from None
