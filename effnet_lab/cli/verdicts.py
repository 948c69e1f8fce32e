"""Command: what is wrong with each layer, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.measuring import Data, Limit, Split
from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import progress, show

NOTIONS = ("accumulated", "local")


def verdicts(
    quantized: Annotated[Path, typer.Option(help="The quantized .tflite file.")],
    images: Data,
    float: Annotated[
        Path | None, typer.Option(help="Float .tflite of the same network; else a twin is rebuilt.")
    ] = None,
    split: Split = None,
    limit: Limit = 16,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "builtin",
    every: Annotated[bool, typer.Option("--all", help="Healthy layers, too.")] = False,
    json: Json = False,
) -> None:
    """What is wrong with each layer, how one knows, and what is usually done about it.

    Looks for clipped and wasted ranges, outlier channels, dead and bimodal layers, and additions of unlike inputs. Plain
    kernels by default: XNNPACK refuses some of the files that need a verdict.
    """
    from effnet_lab.analysis import layer_error
    from effnet_lab.analysis.verdicts import gather_evidence
    from effnet_lab.analysis.verdicts import verdicts as judge
    from effnet_lab.images import open_images

    chosen = open_images(images, split=split, limit=limit)
    errors = layer_error(
        quantized, chosen, float_model=float, notions=NOTIONS, kernels=kernels, progress=progress("layers")
    )
    evidence = gather_evidence(quantized, chosen, float_model=float, kernels=kernels, progress=progress("evidence"))
    table = judge(errors, evidence)
    if json:
        show(table, json)
        return
    counts = table["verdict"].value_counts(sort=False)
    typer.echo(f"{len(table)} layers: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    for _, row in table.iterrows():
        if every or row["verdict"] not in ("healthy", "upstream"):
            typer.echo(f"\n{row['layer_index']} {row['layer']}: {row['verdict']}\n  {row['sentence']}")
            for more in (row["remedy"], row["notes"]):
                if more:
                    typer.echo(f"  {more}")
    for culprit, rows in table[table["verdict"] == "upstream"].groupby("culprit", sort=False):
        typer.echo(f"\nupstream, from {culprit}: {', '.join(rows['layer'])}")
    for name in table.attrs["unmatched"]:
        typer.echo(f"no counterpart in the float model: {name}", err=True)


COMMANDS = (verdicts,)
