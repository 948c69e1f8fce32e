"""What reaches the terminal: text without control characters, errors as one line, streams that may be closed or full."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from contextvars import ContextVar

import typer

from effnet_lab.names import printable

LONGEST = 300  # characters of an error
STOPPED = 130  # exit code after Ctrl-C
HUNG_UP = 141  # exit code after the reader of standard output went away: 128 + SIGPIPE, as other programs
WIDE: ContextVar[bool] = ContextVar("wide", default=False)  # whether lines may get as long as they like


def write(text: object = "", *, err: bool = False) -> None:
    """Print one or more lines as they are; names in them may come from anybody's file."""
    typer.echo(printable(str(text)), err=err)


def say(text: object = "", *, err: bool = False, hang: int = 0) -> None:
    """Print sentences in lines that fit; a note on standard error stays one line where a program reads it.

    From its second line on, a sentence stands `hang` characters further to the right.
    """
    fits = not err or sys.stderr.isatty()
    lines = str(text).split("\n")
    write("\n".join(part for line in lines for part in (broken(line, hang=hang) if fits else [line])), err=err)


def line_width() -> int:
    """Characters in a line: $COLUMNS, or what the terminal says, or 80, as through a pipe; with --wide no limit."""
    return 1_000_000 if WIDE.get() else max(40, shutil.get_terminal_size(fallback=(80, 24)).columns)


def broken(line: str, width: int | None = None, hang: int = 0) -> list[str]:
    """One line as several that fit, indented alike, broken between words; a longer name, behind its slashes."""
    import textwrap

    width = line_width() if width is None else width
    indent = line[: len(line) - len(line.lstrip())] + " " * hang
    most = max(1, width - len(indent))
    pieces = re.compile(rf"\S{{1,{most}}}(?:(?<=[/;_,])|$)|\S{{1,{most}}}")
    words = re.sub(rf"\S{{{most + 1},}}", lambda name: " ".join(pieces.findall(name[0])), line)
    return textwrap.wrap(words, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def refuse(message: str, code: int) -> int:
    """One line of at most 300 characters: where it is longer, its beginning and its end, which says what to do."""
    line = printable(" ".join(message.split()))
    room = LONGEST - len("effnet-lab: ")
    if len(line) > room:
        end = line[-100:]
        line = f"{line[: room - 103].rstrip()} … {end.partition(' ')[2] or end}"
    write(f"effnet-lab: {line}", err=True)
    return code


class _Told(logging.Handler):
    """What the rooms tell the user while they work."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line on standard error."""
        say(record.getMessage(), err=True)


def open_streams() -> None:
    """Let nothing that is printed fail: closed streams lead nowhere, and what an encoding lacks is written as an escape."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # a file opened later must not become standard output
        pass
    os.close(free)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open until the end
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if not sys.warnoptions:  # numpy's remarks on infinities and NaN: the tables say inf and "not measured"
        warnings.filterwarnings("ignore", category=RuntimeWarning)
    log = logging.getLogger("effnet_lab")
    if not any(isinstance(handler, _Told) for handler in log.handlers):
        log.addHandler(_Told())


def flush_or_drop() -> None:
    """Where nobody reads any more, what is still in the buffer goes nowhere, and the end of the process does not complain."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
