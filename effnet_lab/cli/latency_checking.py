"""The command that makes a regression test of a latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say


def check_latency(
    models: Annotated[list[Path], typer.Argument(help="The reference .tflite file, then the files to check.")],
    profile: Annotated[Path, typer.Option(help="JSON file of earlier measurements on this host.")],
    store: Annotated[bool, typer.Option("--store", help="Add this measurement to the profile.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the interpreter.")] = 1,
    kernels: Annotated[str, typer.Option(help="Kernel path, as for bench.")] = "xnnpack",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per file.")] = False,
) -> int:
    """Has a file become slower, relative to a reference, than a profile of this host says? Exit code 1 when one has.

    The more runs are stored (five are a good number), the better is known how much a ratio moves by itself. On a busy machine
    there is no verdict.

    Example: effnet-lab check-latency reference.tflite mine.tflite --profile latency.json
    """
    from effnet_lab import regress

    found = regress.check_latency(
        models, profile, store=store, threads=threads, kernels=kernels, progress=progress("latency", unit="round")
    )
    show(found.table, json)
    if store:
        why_not = "" if found.kept else " This one was not added: other programs kept the machine busy."
        say(f"The profile has {found.stored} runs.{why_not}", err=True)
    return 1 if found.slower else 0


COMMANDS = (check_latency,)
