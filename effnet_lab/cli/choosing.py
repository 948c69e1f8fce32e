"""The command that chooses a precision for each layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import DATA, Workers, takes_input
from effnet_lab.cli.measuring import Data
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput


@takes_input
def mixed_precision(
    weights: Annotated[str, typer.Option(help="A named model, a float32 .tflite file, or any weights.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The .tflite file; the search is kept beside it, in a folder of its name.")],
    calibration: Annotated[str, typer.Option(help=f"Never evaluation images. {DATA}")] = "scenes",
    max_drop: Annotated[
        float | None, typer.Option(help="Largest loss of top-1 against the float network, in points.")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Largest size of the file, in bytes.")] = None,
    max_ms: Annotated[
        float | None, typer.Option(help="Largest CPU time of one inference on this machine, one thread.")
    ] = None,
    max_arena: Annotated[int | None, typer.Option(help="Largest arena of TensorFlow Lite Micro, in bytes.")] = None,
    minimise: Annotated[
        str, typer.Option(help="What to minimise when only --max-drop is given: bytes, ms or arena.")
    ] = "bytes",
    variant: Variant = None,
    limit: Annotated[int, typer.Option(help="Use at most this many calibration images.")] = 200,
    limit_data: Annotated[int | None, typer.Option(help="Use at most this many images of --data.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder for the search, if not the one beside --out.")] = None,
    workers: Workers = None,
    json: Json = False,
    *,
    stated: StatedInput,
) -> None:
    """Choose a precision for each layer: the least expected loss within a budget, or the least cost within a drop.

    The choice is exact for what each layer alone costs at the logits. A budget is met by the file itself; a drop is checked
    with a paired test on images that the search did not use. If it is stopped, --out holds the best file so far, and the same
    command continues. Exit code 1 if the target is not shown to be met.

    Example: effnet-lab mixed-precision --weights micro2 --data scenes --max-drop 1 --out micro2.mixed.tflite
    """
    from effnet_lab.studies import mixed_precision as run

    done = run(
        weights, data, out, calibration=calibration, max_drop=max_drop, max_bytes=max_bytes, max_ms=max_ms,
        max_arena=max_arena, minimise=minimise, variant=variant, limit=limit, limit_data=limit_data, preprocess=stated,
        resume=resume, workers=workers, progress=progress("precision"),
    )  # fmt: skip
    show(done.table, json)
    say(done.sentence, err=json)
    if not done.met:
        raise typer.Exit(1)


COMMANDS = (mixed_precision,)
