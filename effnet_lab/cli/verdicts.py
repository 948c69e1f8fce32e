"""Command: what is wrong with each layer, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import Data, Inputs, Limit, Split, Workers, chosen, takes_input
from effnet_lab.cli.layers import Anyway, say_pairing
from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import STOPPED, say

if TYPE_CHECKING:
    import pandas as pd

    from effnet_lab.images.stated import StatedInput


@takes_input
def verdicts(
    quantized: Annotated[Path, typer.Option(help="The quantized .tflite file.")],
    stated: StatedInput,
    images: Data = None,
    inputs: Inputs = None,
    float: Annotated[
        str | None,
        typer.Option(
            help="The float network: .tflite, or any weights; without it, one is rebuilt from the quantized weights."
        ),
    ] = None,
    anyway: Anyway = False,
    split: Split = None,
    limit: Limit = 16,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    workers: Workers = None,
    every: Annotated[bool, typer.Option("--all", help="Show healthy layers, too.")] = False,
    json: Json = False,
) -> None:
    """What is wrong with each layer, how one knows, and what is usually done about it.

    Looks for stored weights and biases unlike the float ones, clipped and wasted ranges, outlier channels, dead and bimodal
    layers, additions of unlike inputs, and steps that are too coarse; ends with the loss at the logits. Where XNNPACK refuses
    the file, as it does some that need a verdict, the plain kernels run it.

    Example: effnet-lab verdicts --quantized int8.tflite --float float32.tflite --images scenes
    """
    from effnet_lab.analysis import verdicts as judge

    found = judge(
        quantized,
        chosen(images, inputs, "--images"),
        float_model=float,
        kernels=kernels,
        anyway=anyway,
        preprocess=stated,
        split=split,
        limit=limit,
        workers=workers,
        progress=progress("verdicts"),
    )
    table = found.table
    if json:
        show(table, json)
    else:
        _describe(table, every)
    for name in found.unmatched:
        say(f"no counterpart in the float model: {name}", err=True)
    say_pairing(*found.smallest_correlation, table["pairing"][0])
    for sentence in found.closing:
        say(f"\n{sentence}", err=json)
    if found.interrupted:
        say(f"stopped: the verdicts rest on the first {found.errors['n_images'].iloc[0]} images.", err=True)
        raise typer.Exit(STOPPED)


def _describe(table: pd.DataFrame, every: bool) -> None:
    """The table for people: counts, then each layer that is at fault, then those that suffer from it."""
    counts = table["verdict"].value_counts(sort=False)
    say(f"{len(table)} layer{'s' * (len(table) != 1)}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    for row in table.to_dict("records"):
        if every or row["verdict"] not in ("healthy", "upstream") or (row["remedy"] and row["verdict"] == "healthy"):
            say(f"\n{row['layer_index']} {row['layer']}: {row['verdict']}\n  {row['sentence']}")
            for more in (row["remedy"], row["notes"]):
                if more:
                    say(f"  {more}")
    for culprit, rows in table[table["verdict"] == "upstream"].groupby("culprit", sort=False):
        say(f"\nupstream, from {culprit}: {', '.join(rows['layer'])}")


COMMANDS = (verdicts,)
