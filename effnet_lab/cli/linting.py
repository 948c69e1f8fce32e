"""Commands about one file: what is wrong with it, and the arithmetic of one of its ops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.networks import Json
from effnet_lab.cli.output import show
from effnet_lab.names import UserError, suggest

Model = Annotated[Path | None, typer.Argument(help="A .tflite file.")]
_CHECK_COLUMNS = ("layer_index", "layer", "op", "n_values", "n_different", "multiplier_max", "rounding")


def lint(
    model: Model = None,
    fail_on: Annotated[str, typer.Option(help="Exit with 1 from this severity on: error, warning or info.")] = "error",
    each: Annotated[bool, typer.Option("--each", help="A line for every layer, not one for all of a kind.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Print every id, its severity and what it means.")] = False,
    json: Json = False,
) -> None:
    """Trouble that a .tflite file will make, found before it is in use.

    Requantization multipliers that XNNPACK refuses, dead and constant outputs, overflows, ops that fall off XNNPACK or
    Ethos-U, metadata that contradict the tensors. Each finding has an id, its evidence and a remedy.
    Whether LiteRT loads and runs the file is tried in a process of its own.

    Example: effnet-lab lint int8.tflite --fail-on warning
    """
    import pandas as pd

    from effnet_lab.analysis.lint import RULES, SEVERITIES, at_least, in_words
    from effnet_lab.analysis.lint import lint as findings_of

    if rules:
        table = [{"id": r.id, "severity": r.severity, "title": r.title, "remedy": r.remedy} for r in RULES.values()]
        show(pd.DataFrame(table), json)
        return
    if fail_on not in SEVERITIES:
        raise UserError(suggest("severity", fail_on, SEVERITIES))
    if model is None:
        raise UserError("lint needs a .tflite file. Give its path, or --rules for the list of ids.")
    found = findings_of(model)
    if json:
        show(found, json)
    for line in [] if json else in_words(found, each=each):
        typer.echo(line)
    counts = found["severity"].value_counts()
    typer.echo(", ".join(f"{counts.get(name, 0)} {name}" for name in SEVERITIES), err=True)
    if len(at_least(found, fail_on)):
        raise typer.Exit(1)


def explain(
    model: Annotated[Path, typer.Argument(help="An int8 .tflite file.")],
    image: Annotated[Path, typer.Option(help="PNG or JPEG; it is preprocessed as the file says.")],
    layer: Annotated[str | None, typer.Option(help="Readable name; without one, every op is recomputed.")] = None,
    at: Annotated[
        str | None, typer.Option(help="y,x,channel of the output value; else where rounding moved most.")
    ] = None,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    json: Json = False,
) -> None:
    """The integer arithmetic of an op, bit for bit as the interpreter computed it.

    With --layer, one output value step by step: codes, zero points, accumulator, multiplier, rounding, clamp. Without,
    every conv, depthwise, dense, add, mul and mean op, and how many output codes differ from the interpreter's; exit
    code 1 if any does.

    Example: effnet-lab explain int8.tflite --image cat.png --layer stem_conv --at 3,2,1
    """
    from effnet_lab.analysis.integer import check_integer, explain_op
    from effnet_lab.images.decode import decode
    from effnet_lab.litert import read_info

    try:
        pixels = decode(image.read_bytes(), str(image))
    except OSError as error:
        raise UserError(f"Cannot read the image {str(image)!r}: {error.strerror}. Give a PNG or JPEG.") from None
    values = read_info(model).preprocess(pixels)
    if layer is None:
        table = check_integer(model, values, kernels=kernels)
        show(table, json, _CHECK_COLUMNS)
        if table["n_different"].any():
            raise typer.Exit(1)
        return
    table = explain_op(model, layer, values, at=_position(at), kernels=kernels)
    if not json:
        typer.echo(f"{layer} ({table['op'][0]}) at {table['at'][0]}, kernels {kernels}")
        table = table.assign(value=[f"{v:,.0f}" if float(v).is_integer() else f"{v:.9g}" for v in table["value"]])
    show(table, json, ("quantity", "value", "how"))


def _position(at: str | None) -> tuple[int, ...] | None:
    if at is None:
        return None
    try:
        return tuple(int(part) for part in at.split(","))
    except ValueError:
        raise UserError(f"--at takes whole numbers, y,x,channel. Got {at!r}.") from None


COMMANDS = (lint, explain)
