"""Command that writes a network in the formats that boards take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import Inputs, one_of, takes_input
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.cli.saying import say

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput


@takes_input
def export(
    weights: Annotated[str, typer.Option(help="A named model (micro0), or any weights that `classify` takes.")],
    out: Annotated[Path, typer.Option(help="Folder for the files; with one format, the file or SavedModel itself.")],
    format: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: float32, float16, dynamic, weight-int8, weight-int4, int8, int8-per-tensor, int16x8, "
            "int4, saved-model, hub-feature-vector. By default float32,int8; from a float .tflite int8."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Schemes by layer, the last rule that matches wins: 'int8; op:dense=float32; block:0=int16x8'; or a "
            "file of such rules."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: converter, ai_edge_quantizer; each writes every format. `all`: every one that can. "
            "By default the first that can."
        ),
    ] = None,
    io: Annotated[
        str | None,
        typer.Option(
            help="Type of input and output: int8, uint8, int16 or float32; by default that of the activations."
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Images that fix int8 ranges: a named source (scenes by default), a folder, TFRecords; or arrays."
        ),
    ] = None,
    inputs: Inputs = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split of these images: calibration (the default), train or all; never evaluation."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Use at most this many calibration images.")] = 200,
    statistics: Annotated[
        Path | None, typer.Option(help="File of calibration statistics; read if it exists, otherwise written.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="How ai_edge_quantizer derives ranges from the statistics: minmax, moving_average, percentile, mse."
        ),
    ] = "minmax",
    variant: Variant = None,
    certificate: Annotated[
        bool,
        typer.Option(help="Also report how far outputs would vary with other calibration images of the same kind."),
    ] = False,
    json: Json = False,
    *,
    stated: StatedInput,
) -> None:
    """Write .tflite files with their preprocessing, labels, scheme and calibration inside; or SavedModels.

    The image size is the weights' own. From a float32 .tflite file, of any network, the AI Edge Quantizer writes by default,
    and nothing is converted again. hub-feature-vector is a module for tensorflow_hub.KerasLayer: images in [0, 1] to pooled
    features, trainable.

    Example: effnet-lab export --weights micro2 --format float32,int8 --backend converter,ai_edge_quantizer --out files
    """
    from effnet_lab.quantize import export as write

    done = write(
        weights, out, format=format, recipe=recipe, backend=backend, io=io, split=split,
        calibration=one_of(calibration, inputs, "--calibration", "scenes"),
        limit=limit, statistics=statistics, method=method, variant=variant, preprocess=stated,
        certificate=certificate, progress=progress("export"),
    )  # fmt: skip
    if done.files:
        show(done.table, json)
    for note in done.notes:
        say(note, err=True)


COMMANDS = (export,)
