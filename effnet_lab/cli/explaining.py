"""Command: the integer arithmetic of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import Inputs, chosen, takes_input
from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import show
from effnet_lab.cli.saying import say
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput

_COLUMNS = ("layer_index", "layer", "op", "n_values", "n_different", "multiplier_max", "rounding")


@takes_input
def explain(
    model: Annotated[Path, typer.Argument(help="An int8 or uint8 .tflite file.")],
    stated: StatedInput,
    image: Annotated[str | None, typer.Option(help="PNG or JPEG, or a source of images: its first one is run.")] = None,
    inputs: Inputs = None,
    layer: Annotated[str | None, typer.Option(help="Readable name; without one, every op is recomputed.")] = None,
    at: Annotated[
        str | None, typer.Option(help="y,x,channel of the output value; by default the one that rounding moved most.")
    ] = None,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    json: Json = False,
) -> None:
    """The integer arithmetic of an op, bit for bit as the interpreter computed it.

    With --layer, one output value step by step: codes, zero points, accumulator, multiplier, rounding, clamp. Without, every
    op, and how many output codes differ from the interpreter's; exit code 1 if any does. Ops whose arithmetic is not
    known are listed, and the others are recomputed.

    Example: effnet-lab explain int8.tflite --image cat.png --layer stem_conv --at 3,2,1
    """
    from effnet_lab.analysis import explain as recompute

    table = recompute(
        model, chosen(image, inputs, "--image"), layer=layer, at=_position(at), kernels=kernels, preprocess=stated
    )
    if layer is not None:
        if not json:
            say(f"{layer} ({table['op'][0]}) at {table['at'][0]}, kernels {kernels}")
            table = table.assign(value=[f"{v:,.0f}" if float(v).is_integer() else f"{v:.9g}" for v in table["value"]])
        show(table, json, ("quantity", "value", "how"))
        return
    show(table if json else table[table["refused"] == ""], json, _COLUMNS)
    for layer_name, why in table.loc[table["refused"] != "", ["layer", "refused"]].itertuples(index=False):
        say(f"not recomputed: {layer_name}: {why}", err=True)
    if (table["n_different"] > 0).any():
        raise typer.Exit(1)


def _position(at: str | None) -> tuple[int, ...] | None:
    if at is None:
        return None
    try:
        return tuple(int(part) for part in at.split(","))
    except ValueError:
        raise UserError(f"--at takes whole numbers, y,x,channel. Got {at!r}.") from None


COMMANDS = (explain,)
