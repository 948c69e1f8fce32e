"""Commands about notebooks and their numbers: run, check, bless."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import show
from effnet_lab.cli.saying import say
from effnet_lab.names import UserError

Results = Annotated[Path, typer.Option(help="Folder that `effnet-lab run` wrote.")]
Baselines = Annotated[Path | None, typer.Option(help="Folder of blessed CSV files; data/baselines by default.")]
Complete = Annotated[
    bool, typer.Option("--complete", help="Rows that are missing or new count too (after a full run).")
]


def run(
    notebooks: Annotated[
        list[str] | None, typer.Argument(help="Names (02_quantization_error) or paths; all by default.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="smoke: embedded data, about a minute each; full: what a researcher runs.")
    ] = "smoke",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME VALUE", help="Set a notebook's parameter.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for executed notebooks, frames, figures and the report.")] = Path(
        "results"
    ),
) -> int:
    """Execute notebooks headless and write their numbers, figures and a report.

    Every parameter of a notebook's first code cell can be set; an unknown one, or one that no cell reads, stops the run
    before it starts.

    Example: effnet-lab run 02_quantization_error -p quantized my.tflite -p images my_photos --out mine
    """
    from effnet_lab import regress

    given = dict(pair.split("=", 1) for pair in parameter or [])
    try:
        done = regress.run_notebooks(notebooks, profile=profile, parameters=given, out=out)
    except regress.NotebookError as error:
        say(f"effnet-lab: {error}", err=True)
        return 1
    if not done.table.empty:
        show(done.table, as_json=False)
    say(f"\nReport: {done.report}")
    return 0


def check(results: Results = Path("results"), baselines: Baselines = None, complete: Complete = False) -> int:
    """Compare recorded numbers with the baselines: what, was, is, allowed. Exit code 1 when one moved.

    Counts must be equal; SQNR and accuracy have a tolerance; latency is compared as a ratio, never as a time.

    Example: effnet-lab check --results results --complete
    """
    from effnet_lab import regress

    found = regress.check(results, baselines, complete=complete)
    if found.table.empty:
        say(f"check: {found.n_compared:,} numbers, every one within its allowance.")
        return 0
    show(found.table, as_json=False)
    for sentence in found.suspects:
        say(sentence, err=True)
    moved = f"{len(found.table):,} number{'s' * (len(found.table) != 1)} moved"
    say(f"check: {moved}. If they should have: effnet-lab bless --results {results}", err=True)
    return 1


def bless(results: Results = Path("results"), baselines: Baselines = None, complete: Complete = False) -> None:
    """Accept the recorded numbers as the new baselines; commit the changed CSV files alone, so that their diff is read.

    Example: effnet-lab bless --results results
    """
    from effnet_lab import regress

    changed = regress.bless(results, baselines, complete=complete)
    for path in changed:
        say(f"changed: {path}")
    say(f"bless: {len(changed)} baseline files changed.")


def join_pairs(args: list[str]) -> list[str]:
    """``-p NAME VALUE`` to ``-p NAME=VALUE``: typer has no option that takes two values and may be repeated."""
    args, joined = list(args), []
    while args:
        joined.append(args.pop(0))
        if joined[-1] in ("-p", "--parameter"):
            if not args or ("=" not in args[0] and len(args) < 2):
                raise UserError(f"{joined[-1]} needs a name and a value, for example: -p n_images 8.")
            joined.append(args.pop(0) if "=" in args[0] else f"{args.pop(0)}={args.pop(0)}")
    return joined


COMMANDS = (run, check, bless)
