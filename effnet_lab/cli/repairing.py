"""The command that wins back accuracy without giving any layer more bits."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.exporting import float_file
from effnet_lab.cli.measuring import DATA, Data
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.quantize.export import Target

COLUMNS = (
    "scheme", "steps", "n_images", "top1", "top1_lo", "top1_hi", "difference", "difference_lo", "difference_hi", "p_value",
)  # fmt: skip


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
        str, typer.Option(help="Comma-separated: equalize, clip, bias; taken in this order.")
    ] = "equalize,clip,bias",
    format: Annotated[
        str, typer.Option(help="A static format: int8, int8-per-tensor, int16x8, int4.")
    ] = "int8-per-tensor",
    limit: Annotated[int, typer.Option(help="Calibration images at most.")] = 200,
    limit_data: Annotated[
        int | None, typer.Option(help="Images of --data at most, spread evenly over the classes.")
    ] = None,
    json: Json = False,
) -> None:
    """Equalize the channels of a float network (ReLU6 respected), clip outlying weights, quantize, correct the biases.

    Prints top-1 on --data of the float file, of the unrepaired quantized file, and after each step, with the difference to
    the unrepaired one and McNemar's exact p. Equalization leaves the float network the same function.

    Example: effnet-lab repair --weights micro2 --calibration scenes --data scenes --out micro2.repaired.tflite
    """
    if (float is None) == (weights is None):
        raise UserError("Give the network either as --float FILE or as --weights NAME.")
    if out.suffix != ".tflite":
        raise UserError(f"--out must end in .tflite. Got {str(out)!r}.")
    from effnet_lab.analysis.repair import STEPS
    from effnet_lab.analysis.repair import repair as stages_of
    from effnet_lab.evaluate import collect_predictions
    from effnet_lab.images import open_images
    from effnet_lab.litert import read_info
    from effnet_lab.litert.flatbuffer import read_bytes
    from effnet_lab.paths import write_atomically
    from effnet_lab.quantize import quantizer
    from effnet_lab.studies import repair_gain

    chosen = [name for name in map(str.strip, steps.split(",")) if lookup("repair", name, STEPS)]
    wanted = _static(format)
    images = open_images(data, limit=limit_data)
    calibrating = open_images(calibration, split="calibration", limit=limit)
    with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder:
        source, trial = float or float_file(weights, variant, Path(folder)), Path(folder) / "trial.tflite"
        answers = {}
        for stage in stages_of(
            read_bytes(source), calibrating, read_info(source).preprocess, quantizer(wanted, calibrating), steps=chosen,
            progress=progress("calibrate"),
        ):  # fmt: skip
            if not answers:
                answers["float"] = collect_predictions(source, images, progress=progress("evaluate float"))
            trial.write_bytes(stage.quantized)
            answers[stage.name] = collect_predictions(trial, images, progress=progress(f"evaluate {stage.name}"))
        write_atomically(out, trial.read_bytes())
    show(repair_gain(answers), json, COLUMNS)


def _static(format: str) -> Target:
    """The one file to write."""
    from effnet_lab.quantize import get_scheme, targets

    if not get_scheme(format).calibrated:
        raise UserError(f"Repairs are for static formats: int8, int8-per-tensor, int16x8, int4. Got {format!r}.")
    return targets([format], ["ai_edge_quantizer"])[0]


COMMANDS = (repair,)
