"""The command line: parse, call one function, print, exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from effnet_lab.cli import (
    boards,
    calibrating,
    explaining,
    exporting,
    inspecting,
    layers,
    linting,
    measuring,
    networks,
    notebooks,
    pictures,
    repairing,
    serving,
    training,
    verdicts,
)
from effnet_lab.cli.output import as_command
from effnet_lab.names import UserError

app = typer.Typer(
    name="effnet-lab",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for room in (
    networks,
    training,
    exporting,
    calibrating,
    pictures,
    measuring,
    boards,
    layers,
    linting,
    explaining,
    verdicts,
    repairing,
    inspecting,
    notebooks,
    serving,
):
    for command in room.COMMANDS:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(as_command(command))


LONGEST = 300  # characters of an error
STOPPED = 130  # exit code after Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"effnet-lab {version('effnet-lab')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)]


@app.callback()
def start(version: Version = False) -> None:
    """EfficientNet-Lite on small devices: which size, what int8 costs and where, what accuracy costs in ms and KiB.

    Exit codes: 0 done, 1 a check failed, 2 the input is wrong (one line says what), 130 stopped with Ctrl-C.
    """


def main() -> None:
    """Entry point of ``effnet-lab``."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded: it reads it once
    try:
        sys.exit(app(notebooks.join_pairs(sys.argv[1:]), standalone_mode=False) or 0)
    except UserError as error:
        sys.exit(_refuse(str(error), 2))
    except typer.TyperException as error:  # an unknown option, a missing argument, a value of the wrong type
        message = error.format_message()  # empty when no command was given: the help stands there already
        sys.exit(
            _refuse(f"{message.rstrip('.')}. Try: effnet-lab --help", error.exit_code) if message else error.exit_code
        )
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(_refuse("stopped.", STOPPED))


def _refuse(message: str, code: int) -> int:
    """One line of at most 300 characters: where it is longer, its beginning and its end, which says what to do."""
    line = " ".join(message.split())
    room = LONGEST - len("effnet-lab: ")
    if len(line) > room:
        line = f"{line[: room - 103].rstrip()} … {line[-100:].lstrip()}"
    typer.echo(f"effnet-lab: {line}", err=True)
    return code
