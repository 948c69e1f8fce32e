"""Commands about notebooks and their numbers: run, check, bless."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import show
from effnet_lab.cli.saying import say, write
from effnet_lab.names import UserError

Results = Annotated[Path, typer.Option(help="Folder that `effnet-lab run` wrote.")]
Baselines = Annotated[Path | None, typer.Option(help="Folder of blessed CSV files; data/baselines by default.")]
Complete = Annotated[
    bool, typer.Option("--complete", help="Also report rows that are missing or new (after a full run).")
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
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Notebooks at a time; of many, by default one for each free processor."),
    ] = None,
) -> int:
    """Execute notebooks headless and write their numbers, figures and a report.

    Every parameter of a notebook's first code cell can be set; an unknown one, or one that no cell reads, stops the run
    before it starts.

    Example: effnet-lab run 02_quantization_error -p quantized my.tflite -p images my_photos --out mine
    """
    from effnet_lab import regress

    given = dict(pair.split("=", 1) for pair in parameter or [])
    try:
        done = regress.run_notebooks(notebooks, profile=profile, parameters=given, out=out, workers=workers)
    except regress.NotebookError as error:
        write(f"effnet-lab: {error}", err=True)
        return 1
    if not done.table.empty:
        show(done.table.dropna(axis="columns", how="all"), as_json=False)  # one notebook measures a part of it
    write(f"\nReport: {done.report}")
    return 0


def check(
    results: Results = Path("results"),
    baselines: Baselines = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with another run or sweep instead of baselines; notebooks are compared, too."),
    ] = None,
    complete: Complete = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Allow no difference except in timings; for runs in the same environment.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict as JUnit XML, too.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Print annotations for GitHub Actions, too.")] = False,
) -> int:
    """Compare a run or a sweep with its baseline, number by number. Exit code 1 if a number moved by more than is allowed.

    Differences between the environments are listed first. Counts must be equal; SQNR and accuracy have a tolerance; latency is
    compared as a ratio, never as a time.

    Example: effnet-lab check --results results --complete
    """
    from effnet_lab import regress

    found = regress.check(results, baselines, against=against, complete=complete, exact=exact, junit=junit)
    for sentence in found.drift:
        say(f"environment: {sentence}", err=True)
    for line in found.github if github else ():
        write(line)
    if found.notebooks is not None and len(found.notebooks):
        show(found.notebooks, as_json=False)
    if found.table.empty:
        say(f"check: {found.n_compared:,} numbers, every one within its allowance.")
        return 0
    show(found.table, as_json=False)
    for sentence in (*found.suspects, *(f"cause: {cause}" for cause in found.causes)):
        say(sentence, err=True)
    moved = f"{len(found.table):,} number{'s' * (len(found.table) != 1)} moved"
    say(f'check: {moved}. If they should have: effnet-lab bless --results {results} --why "..."', err=True)
    return 1


def bless(
    why: Annotated[str, typer.Option(help="The reason, in one sentence; it is stored with your name and the date.")],
    results: Results = Path("results"),
    baselines: Baselines = None,
    complete: Complete = False,
) -> None:
    """Accept the recorded numbers as the new baselines; commit the changed CSV files alone, so that their diff is read.

    Example: effnet-lab bless --results results --why "the converter of TensorFlow 2.22 rounds ranges otherwise"
    """
    from effnet_lab import regress

    changed = regress.bless(results, baselines, complete=complete, why=why)
    for path in changed:
        write(f"changed: {path}")
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
