"""The command that wins back accuracy without giving any layer more bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import DATA, Workers, takes_input
from effnet_lab.cli.measuring import Data
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput

COLUMNS = ("steps", "decision", "n_images", "top1", "difference", "difference_lo", "difference_hi", "p_value")


@takes_input
def repair(
    data: Data,
    out: Annotated[Path, typer.Option(help="The repaired .tflite file.")],
    float: Annotated[Path | None, typer.Option(help="A float32 .tflite file of the network.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Instead: a named model, or any weights that `classify` takes.")
    ] = None,
    variant: Variant = None,
    calibration: Annotated[str, typer.Option(help=f"Never evaluation images. {DATA}")] = "scenes",
    steps: Annotated[
        str, typer.Option(help="Comma-separated: equalize, clip, round, bias; taken in this order.")
    ] = "equalize,clip,round,bias",
    format: Annotated[
        str, typer.Option(help="A static format: int8, int8-per-tensor, int16x8, int4; or a recipe of such.")
    ] = "int8-per-tensor",
    depthwise_bits: Annotated[
        int, typer.Option(help="8 or 4: bits of depthwise kernels when the other kernels have 4.")
    ] = 8,
    limit: Annotated[int, typer.Option(help="Use at most this many calibration images.")] = 200,
    limit_data: Annotated[
        int | None, typer.Option(help="Use at most this many images of --data, spread evenly over the classes.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder for finished steps; the same command continues from there.")
    ] = None,
    workers: Workers = None,
    json: Json = False,
    *,
    stated: StatedInput,
) -> None:
    """Repair a quantized network without more bits: equalize channels, clip and round weights, correct biases.

    A step is kept only if it helps by more than its noise on held-out images, a quarter of the calibration images.
    Prints top-1 on --data of the float file, of the unrepaired quantized file, and after each step, with the difference to
    the unrepaired one and McNemar's exact p; and why each step was taken or left. "round" chooses codes and scales by what
    they do to each layer's output.

    Example: effnet-lab repair --weights micro2 --calibration scenes --data scenes --out micro2.repaired.tflite
    """
    if (float is None) == (weights is None):
        raise UserError("Give the network either as --float FILE or as --weights NAME.")
    from effnet_lab.studies import repair as run

    done = run(
        float or weights, data, out, calibration=calibration, steps=steps, format=format, depthwise_bits=depthwise_bits,
        limit=limit, limit_data=limit_data, variant=variant, preprocess=stated, resume=resume, workers=workers,
        progress=progress("repair"),
    )  # fmt: skip
    show(done.table, json, COLUMNS)
    for _, step in done.table[done.table["decision"] != ""].iterrows():
        say(f"{step['tried']} is {step['decision']}. {step['reason']}", err=json)


COMMANDS = (repair,)
