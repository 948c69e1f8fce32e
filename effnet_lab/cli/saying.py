"""What reaches the terminal: text without control characters, errors as one line, streams that may be closed or full."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import typer

from effnet_lab.names import printable

LONGEST = 300  # characters of an error
STOPPED = 130  # exit code after Ctrl-C
HUNG_UP = 141  # exit code after the reader of standard output went away: 128 + SIGPIPE, as other programs


def say(text: object = "", *, err: bool = False) -> None:
    """Print one or more lines; names in them may come from anybody's file."""
    typer.echo(printable(str(text)), err=err)


def refuse(message: str, code: int) -> int:
    """One line of at most 300 characters: where it is longer, its beginning and its end, which says what to do."""
    line = printable(" ".join(message.split()))
    room = LONGEST - len("effnet-lab: ")
    if len(line) > room:
        line = f"{line[: room - 103].rstrip()} … {line[-100:].lstrip()}"
    say(f"effnet-lab: {line}", err=True)
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
