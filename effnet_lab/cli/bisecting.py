"""The command that finds the first bad commit or version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import show
from effnet_lab.cli.saying import say


def bisect(
    good: Annotated[str, typer.Option(help="Commit or version with which the check passes.")],
    bad: Annotated[str, typer.Option(help="Commit or version with which it fails.")],
    check: Annotated[
        str, typer.Option(help="Command whose exit code says: 0 good, 125 skip this candidate, any other bad.")
    ],
    package: Annotated[str, typer.Option(help="Search versions of this package instead of commits.")] = "",
    repo: Annotated[Path, typer.Option(help="Git repository; the checks run in a clone of it.")] = Path(),
    version: Annotated[
        list[str] | None,
        typer.Option(help="A version to try, may be given several times; by default all that the index offers."),
    ] = None,
    find_links: Annotated[str, typer.Option(metavar="DIR", help="Install from these wheels, not from the index.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per candidate that was tried.")] = False,
) -> None:
    """Find the first commit, or the first version of a dependency, with which a check fails.

    Every candidate is installed by uv into an environment of its own.

    Example: effnet-lab bisect --good v0.1 --bad main --check "effnet-lab check --results results"
    """
    from effnet_lab import regress

    found = regress.bisect(
        good, bad, check, package=package, repo=repo, versions=version or (), find_links=find_links,
        tell=lambda sentence: say(sentence, err=True),
    )  # fmt: skip
    show(found.table, json)
    say(found.sentence, err=json)


COMMANDS = (bisect,)
