"""The command line: parse, call one function, print, exit code."""

from __future__ import annotations

import os
import sys

import typer

from effnet_lab.cli import (
    boards,
    calibrating,
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
from effnet_lab.names import UserError

app = typer.Typer(
    name="effnet-lab",
    help="EfficientNet-Lite on small devices: which size, what int8 costs and where, what accuracy costs in milliseconds "
    "and kilobytes.\n\nExit codes: 0 done, 1 a check failed, 2 the input is wrong (one line says what).",
    no_args_is_help=True,
    add_completion=False,
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
    verdicts,
    repairing,
    inspecting,
    notebooks,
    serving,
):
    for command in room.COMMANDS:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(command)


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
    except typer.Abort:
        sys.exit(_refuse("stopped.", 130))


def _refuse(message: str, code: int) -> int:
    typer.echo(f"effnet-lab: {' '.join(message.split())}", err=True)
    return code
