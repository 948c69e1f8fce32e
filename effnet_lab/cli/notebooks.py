"""Commands about notebooks and their numbers: run, check, bless."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import show
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
) -> None:
    """Execute notebooks headless and write their numbers, figures and a report.

    Every parameter of a notebook's first code cell can be set; an unknown one, or one that no cell reads, stops the run
    before it starts.

    Example: effnet-lab run 02_quantization_error -p quantized my.tflite -p images my_photos --out mine
    """
    from effnet_lab.paths import data_dir
    from effnet_lab.regress import NotebookError, run_notebooks, summary, write_report
    from effnet_lab.regress import check as compare

    given = dict(pair.split("=", 1) for pair in parameter or [])
    try:
        run_notebooks(notebooks, profile=profile, parameters=given, out=out)
    except NotebookError as error:
        typer.echo(f"effnet-lab: {error}", err=True)
        return 1
    whole = not notebooks and not given and profile == "smoke"  # else a partial comparison is all that can be made
    report = write_report(out, moved=compare(out, data_dir() / "baselines", complete=True) if whole else None)
    if not (table := summary(out)).empty:
        show(table, as_json=False)
    typer.echo(f"\nReport: {report}")
    return 0


def check(results: Results = Path("results"), baselines: Baselines = None, complete: Complete = False) -> int:
    """Compare recorded numbers with the baselines: what, was, is, allowed. Exit code 1 when one moved.

    Counts must be equal; SQNR and accuracy have a tolerance; latency is compared as a ratio, never as a time.
    """
    from effnet_lab.paths import data_dir
    from effnet_lab.regress import check as compare
    from effnet_lab.regress import layer_summary

    moved = compare(results, baselines or data_dir() / "baselines", complete=complete)
    if moved.empty:
        typer.echo(f"check: {moved.attrs['n_compared']:,} numbers, every one within its allowance.")
        return 0
    show(moved, as_json=False)
    for sentence in layer_summary(moved):
        typer.echo(sentence, err=True)
    typer.echo(
        f"check: {len(moved)} numbers moved. If they should have: effnet-lab bless --results {results}", err=True
    )
    return 1


def bless(results: Results = Path("results"), baselines: Baselines = None, complete: Complete = False) -> None:
    """Accept the recorded numbers as the new baselines; commit the changed CSV files alone, so that their diff is read."""
    from effnet_lab.paths import data_dir
    from effnet_lab.regress import bless as accept

    changed = accept(results, baselines or data_dir() / "baselines", complete=complete)
    for path in changed:
        typer.echo(f"changed: {path}")
    typer.echo(f"bless: {len(changed)} baseline files changed.")


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
