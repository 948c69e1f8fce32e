"""The generated pages of the documentation: commands from `--help`, functions from docstrings, tables from their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import effnet_lab
from effnet_lab import cli, frames
from effnet_lab.cli.output import unwrapped


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that nobody writes by hand."""
    made = {"commands": commands(), "python": functions(), "tables": tables()}
    for name, text in made.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands() -> str:
    """Every command with its arguments and options, as `--help` says it."""
    app = typer.main.get_command(cli.app)
    parts = ["# Commands", unwrapped(app.help or "")]
    for name, command in _flat(app.commands):
        parts += [f"## {name}", *map(_paragraph, (command.help or "").split("\n\n")), _options(command)]
    return "\n\n".join(parts)


def _flat(known: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Every command with its whole name: those of a group, such as `study scaling`, one by one."""
    for name, command in known.items():
        if inner := getattr(command, "commands", None):
            yield from _flat(inner, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _paragraph(text: str) -> str:
    """An example becomes a block of code."""
    head, mark, line = text.partition("Example: ")
    return f"{head}\n```sh\n{line}\n```" if mark else _safe(text)


def _options(command: object) -> str:
    rows = ["| | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        words = "`, `".join([*parameter.opts, *parameter.secondary_opts])
        name = f"`{words}`" if words.startswith("-") else f"`{words.upper()}`"
        default = "needed" if parameter.required else _default(parameter.default)
        rows.append(f"| {name} | {_safe(unwrapped(getattr(parameter, 'help', None) or ''))} | {default} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    if value is None or value == [] or value is False or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def functions() -> str:
    """Every public function of ``import effnet_lab as el``, from its docstring."""
    parts = ["# Python", "```python\nimport effnet_lab as el\n```", _FUNCTIONS]
    for name in effnet_lab.__all__:
        home = getattr(effnet_lab, name)
        parts.append(f"::: {home.__module__}.{home.__qualname__}")
    return "\n\n".join(parts)


_FUNCTIONS = (
    "Every name is loaded when it is first used, so the import itself takes no time. A network is a name (`micro2`, "
    "`imagenet`), a path, a loaded model or a Keras model; images are a name (`scenes`), a path or an image set."
)


def tables() -> str:
    """Every table that crosses a border, with what its columns mean."""
    parts = ["# Tables", _TABLES]
    for frame in sorted({id(f): f for f in vars(frames).values() if isinstance(f, frames.Frame)}.values(), key=_name):
        rows = ["| column | meaning | unit | better |", "|---|---|---|---|"]
        for name in (*frame.keys, *frame.values):
            column = frames.COLUMNS[name]
            key = " (key)" if name in frame.keys else ""
            rows.append(f"| `{name}`{key} | {_safe(column.title)} | {column.unit} | {_BETTER[column.better]} |")
        parts += [f"## {frame.name}", "\n".join(rows)]
    return "\n\n".join(parts)


_TABLES = (
    "What a command prints with `--json`, what a run writes as CSV, and what the Python functions return. Fractions lie in "
    "[0, 1]; what was not measured is empty, never 0. *Keys* are the columns that tell two rows apart."
)
_BETTER = {"": "", "low": "lower", "high": "higher"}


def _name(frame: object) -> str:
    return frame.name
