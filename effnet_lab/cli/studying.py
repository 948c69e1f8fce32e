"""Commands that answer a question by an experiment of many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say


def scaling(
    out: Annotated[Path, typer.Option(help="Folder for the results; a stopped study continues from there.")],
    data: Annotated[str, typer.Option(help="Images: scenes, digits, a folder per class, a .tar of one.")] = "scenes",
    base: Annotated[str, typer.Option(help="The network that grows, see `effnet-lab variants`.")] = "micro0",
    levels: Annotated[
        int, typer.Option(min=1, help="Number of cost levels; 4 goes up to 8 times the MAdds of the base.")
    ] = 4,
    seeds: Annotated[
        int, typer.Option(min=1, help="How often each network is trained, each time with another seed.")
    ] = 3,
    grid: Annotated[bool, typer.Option("--grid", help="Also compare triples of alpha, beta and gamma.")] = False,
    n_train: Annotated[int, typer.Option(help="Training images of `scenes`.")] = 12_000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training for each network.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Networks to train at the same time, one thread each.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with the column names of the frame.")] = False,
) -> None:
    """What do width, depth, resolution and all three buy at equal cost? Trains each, and measures float and int8.

    Takes hours. It runs at the lowest priority, may be stopped at any moment, and goes on where it stopped.

    Example: effnet-lab study scaling --levels 2 --seeds 1 --out study
    """
    from effnet_lab.studies import scaling_study

    done = scaling_study(
        data, out, base=base, levels=levels, seeds=seeds, grid=grid, n_train=n_train, epochs=epochs, workers=workers,
        progress=progress("trainings", unit="training"),
    )  # fmt: skip
    show(done.table, json)
    if not json and done.sentence:
        say(done.sentence)


STUDIES = (scaling,)
