"""The command line: parse, call one function, print, exit code."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import Annotated

import typer

from effnet_lab.cli import (
    bisecting,
    boards,
    calibrating,
    choosing,
    explaining,
    exporting,
    inspecting,
    latency_checking,
    layers,
    linting,
    measuring,
    networks,
    notebooks,
    pictures,
    repairing,
    serving,
    studying,
    sweeping,
    training,
    verdicts,
)
from effnet_lab.cli.output import as_command
from effnet_lab.cli.saying import HUNG_UP, STOPPED, flush_or_drop, open_streams, refuse
from effnet_lab.late import load_when_used
from effnet_lab.litert.trial_process import trial_process
from effnet_lab.names import UserError
from effnet_lab.paths import remove_left_behind

# What takes longer to load than these commands take to answer, as they print rows; and a parser of C, for numba's use of cffi.
SELDOM_USED = {
    "variants": ("numpy", "pandas"),
    "lint": ("pandas",),
    "verdicts": ("pycparser",),
    "layer-error": ("pycparser",),
}
# Their child process starts beside what they load themselves.
TRIES_FILES = ("lint", "verdicts", "layer-error", "explain")

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
    choosing,
    inspecting,
    notebooks,
    sweeping,
    bisecting,
    latency_checking,
    serving,
):
    for command in room.COMMANDS:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(as_command(command))

study = typer.Typer(
    help="Experiments of many runs, which take hours and may be stopped at any moment.", no_args_is_help=True
)
for command in studying.STUDIES:
    study.command(command.__name__)(as_command(command))
app.add_typer(study, name="study")


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


def shell_command() -> None:
    """Entry point of ``effnet-lab``: `main`, and an end without taking apart what was loaded, which would last .2 s."""
    ended: list[int] = []
    atexit.register(_leave, ended)  # called last: what is registered later is called before
    try:
        main()
    except SystemExit as stop:
        ended.append(int(stop.code or 0))
        raise


def _leave(ended: list[int]) -> None:
    if ended:
        flush_or_drop()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(ended[0])


def main() -> None:
    """Answer what the command line asks, and exit with its code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded: it reads it once
    for package in SELDOM_USED.get("".join(sys.argv[1:2]), ()):
        load_when_used(package)
    open_streams()
    remove_left_behind()
    try:
        if sys.argv[1:2] and sys.argv[1] in TRIES_FILES:
            trial_process()
        code = _answer(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        code = HUNG_UP
    except OSError as error:  # what no room expected: a full disk, a folder without permission, too many open files
        place = error.filename or "standard output"
        code = refuse(f"Cannot go on with {place}: {error.strerror or error}. Make room, or choose another place.", 2)
    flush_or_drop()
    sys.exit(code)


def _answer(arguments: list[str]) -> int:
    """Exit code of a command; what is wrong with its input is said in one line."""
    try:
        return app(notebooks.join_pairs(arguments), standalone_mode=False) or 0
    except UserError as error:
        return refuse(str(error), 2)
    except typer.TyperException as error:  # an unknown option, a missing argument, a value of the wrong type
        message = error.format_message()  # empty when no command was given: the help stands there already
        code = int(error.exit_code)
        asked = getattr(error, "ctx", None)
        command = asked.command_path.removeprefix(asked.find_root().command_path) if asked else ""  # " study scaling"
        return refuse(f"{message.rstrip('.')}. Try: effnet-lab{command} --help", code) if message else code
    except MemoryError:
        return refuse("Not enough memory. Ask for less: fewer images, a smaller size, a smaller file.", 2)
    except SystemExit as stop:  # SIGTERM; or click has met a closed pipe, which it calls 1, and 1 is a failed check
        return HUNG_UP if stop.code == 1 else int(stop.code or 0)
    except (typer.Abort, KeyboardInterrupt):
        return refuse("stopped.", STOPPED)
