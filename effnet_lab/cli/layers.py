"""The command that shows what quantization does to each layer."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import Data, Inputs, Limit, Split, Workers, chosen, takes_input
from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import progress, save_table, show
from effnet_lab.cli.saying import STOPPED, say

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput

_COLUMNS = {  # of the table for people, by notion
    "accumulated": ("sqnr_accumulated_db", "mse", "cosine", "rmse_over_scale", "saturation_share"),
    "local": ("sqnr_local_db", "local_rmse_over_scale"),
    "effect": ("sqnr_effect_db", "effect_changed_top1"),
    "split": ("sqnr_effect_weights_db", "sqnr_effect_activations_db"),
}
_ALWAYS = ("layer_index", "layer", "op"), ("weight_sqnr_db", "weight_worst_channel_sqnr_db")


Anyway = Annotated[
    bool, typer.Option("--anyway", help="Continue even if the float model is not the one that the file was made from.")
]


@takes_input
def layer_error(
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
    notions: Annotated[
        str, typer.Option(help="accumulated, local, effect, split; several with commas.")
    ] = "accumulated",
    local_inputs: Annotated[
        str,
        typer.Option(
            help="What an op is fed in the local error: float values, or quantized ones as QuantizationDebugger does."
        ),
    ] = "float",
    anyway: Anyway = False,
    split: Split = None,
    limit: Limit = 32,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the LAYER_ERROR frame.")] = None,
    json: Json = False,
) -> None:
    """Error of every layer: accumulated along the network, local to the op, and its effect on the logits.

    Without --float, a float network is rebuilt from the dequantized weights; then the rounding of the weights is not part
    of the error. Layers are matched by name, then by structure; what has no counterpart is listed. Ctrl-C keeps the images
    that are done.

    Example: effnet-lab layer-error --quantized int8.tflite --images scenes --notions accumulated,local,effect
    """
    from effnet_lab.analysis import layer_error as measure

    wanted = tuple(name.strip() for name in notions.split(",") if name.strip())
    found = measure(
        quantized, chosen(images, inputs, "--images"), float_model=float, kernels=kernels, notions=wanted,
        local_inputs=local_inputs, anyway=anyway, preprocess=stated, split=split, limit=limit, workers=workers,
        progress=progress("layer-error", "layer" if {"effect", "split"} & set(wanted) else "image"),
    )  # fmt: skip
    table = found.table
    first, last = _ALWAYS
    mains, more = (_COLUMNS[name][:1] for name in wanted), (_COLUMNS[name][1:] for name in wanted)
    show(table, json, [*first, *chain(*mains, *more), *last])  # what was asked for stands before what goes with it
    for names, what in (
        (found.unmatched, "no counterpart in the float model"),
        (found.unmatched_float, "no counterpart in the quantized model"),
        (
            found.not_local,
            "accumulated error only: its inputs have no counterpart, or its value is a shape or an index",
        ),
    ):
        for name in names:
            say(f"{what}: {name}", err=True)
    if table["kernels"].ne(kernels).any():
        say(
            f"XNNPACK refuses the file; {table['kernels'][0]} kernels ran it. `effnet-lab lint` names the op.", err=True
        )
    say_pairing(*found.smallest_correlation, table["pairing"][0])
    if out is not None:  # last: a full disk takes no answer away
        save_table(table, out)
    if found.interrupted:
        say(f"stopped: the table holds the first {table['n_images'][0]} images.", err=True)
        raise typer.Exit(STOPPED)


def say_pairing(layer: str, correlation: float, pairing: str) -> None:
    """On standard error: how alike the weights of the two files are."""
    if layer:
        say(f"weights: smallest correlation with the float model {correlation:.4f}, in {layer}", err=True)
    if pairing.startswith("not a pair"):
        say(pairing, err=True)


COMMANDS = (layer_error,)
