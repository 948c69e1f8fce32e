"""The command that collects, merges and compares calibration statistics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import Inputs, Workers, one_of, takes_input
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput

COMPARED = ("layer", "low", "high", "against_low", "against_high", "width_ratio")


@takes_input
def calibrate(
    out: Annotated[Path, typer.Option(help="The .npz file of statistics, as `export --statistics` takes it.")],
    weights: Annotated[
        str | None, typer.Option(help="A named model (micro0), or any weights that `classify` takes.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Images to run: a named source, a folder, TFRecords; or arrays, .npy or .npz. Without it --out is read."
        ),
    ] = None,
    inputs: Inputs = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of these images: calibration (the default), train or all; never evaluation."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use at most this many images, spread evenly over the classes.")
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(
            help="Add to these statistics of the same network on other images, which count as the earlier ones."
        ),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Statistics to compare with, layer by layer.")] = None,
    method: Annotated[str, typer.Option(help="For --against: minmax, moving_average, percentile, mse.")] = "minmax",
    variant: Variant = None,
    workers: Workers = None,
    json: Json = False,
    *,
    stated: StatedInput,
) -> None:
    """Run a float network on images and record the range of every activation, as statistics that can be merged and compared.

    `export --statistics` takes the file, so that another scheme, method or recipe does not have to run the images again.

    Example: effnet-lab calibrate --weights micro2 --data scenes --limit 200 --out micro2.npz
    """
    from effnet_lab.quantize import calibrate as run

    found = run(
        weights, one_of(data, inputs, "--data") or None, out=out, split=split, limit=limit, merge=merge, against=against,
        method=method, variant=variant, preprocess=stated, workers=workers,
        progress=progress("calibrate"),
    )  # fmt: skip
    show(found.table, json, COMPARED if against else None)


COMMANDS = (calibrate,)
