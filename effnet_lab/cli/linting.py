"""Command: trouble that a file will make."""

from __future__ import annotations

from typing import Annotated

import typer

from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import show, show_rows
from effnet_lab.cli.saying import say
from effnet_lab.names import UserError, suggest

Model = Annotated[str | None, typer.Argument(help="A .tflite file; of any other network, its float32 file.")]


def lint(
    model: Model = None,
    fail_on: Annotated[str, typer.Option(help="Exit with 1 from this severity on: error, warning or info.")] = "error",
    each: Annotated[
        bool, typer.Option("--each", help="Print a line for every layer instead of one per kind of finding.")
    ] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print every id, its severity and what it means.")] = False,
    json: Json = False,
) -> None:
    """Problems that a .tflite file will cause, found before it is in use.

    Requantization multipliers that XNNPACK refuses, dead and constant outputs, overflows, ops that fall off XNNPACK or
    Ethos-U, metadata that contradict the tensors. Each finding has an id, its evidence and a remedy.
    A separate process tries whether LiteRT loads and runs the file.

    Example: effnet-lab lint int8.tflite --fail-on warning
    """
    from effnet_lab.analysis.lint import RULES, SEVERITIES
    from effnet_lab.analysis.lint import lint as findings_of

    if rules:
        table = [{"id": r.id, "severity": r.severity, "title": r.title, "remedy": r.remedy} for r in RULES.values()]
        show_rows(table, list(table[0]), json)
        return
    if fail_on not in SEVERITIES:
        raise UserError(suggest("severity", fail_on, SEVERITIES))
    if model is None:
        raise UserError("lint needs a .tflite file. Give its path, or --rules for the list of ids.")
    found = findings_of(model)
    if json:
        show(found.table, json)
    for line in [] if json else found.lines(each=each):
        say(line, hang=2)
    counts = (f"{n} {name}{'s' * (n != 1 and name != 'info')}" for name, n in found.counts().items())
    say(", ".join(counts), err=True)
    if len(found.at_least(fail_on)):
        raise typer.Exit(1)


COMMANDS = (lint,)
