"""The command for one's own files: inspect."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import takes_input
from effnet_lab.cli.layers import Anyway
from effnet_lab.cli.saying import write
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.images.stated import StatedInput


@takes_input
def inspect(
    files: Annotated[
        list[Path], typer.Argument(help="A quantized .tflite file; with --html up to four, side by side.")
    ],
    stated: StatedInput,
    images: Annotated[
        str,
        typer.Option(
            help="A folder of pictures (one folder per class gives top-1), scenes, digits; or an .npy or .npz of inputs."
        ),
    ],
    float_model: Annotated[
        list[Path] | None,
        typer.Option(
            "--float",
            help="The float .tflite of a file, once per file; by default one is rebuilt from the quantized weights.",
        ),
    ] = None,
    anyway: Anyway = False,
    limit: Annotated[
        int | None, typer.Option(help="Use at most this many images; by default 64 for the report, 16 for --html.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report and numbers; by default inspected/<name of the file>.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Instead: the interactive inspector as one HTML file.")] = None,
    model_explorer: Annotated[
        Path | None,
        typer.Option(
            help="Write errors and verdicts as node data for Model Explorer, a .json file; goes with --html, too."
        ),
    ] = None,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the result in a browser.")] = True,
) -> None:
    """Where a quantized file hurts: error per layer, verdicts in words, top-1; a report on this file and nothing else.

    With --html the inspector: choose a layer with the mouse or the arrow keys, see its values, its channels, and where on
    each picture its error lies. The file needs no server and no network.

    Example: effnet-lab inspect my.tflite --images my_photos

    Example: effnet-lab inspect int8.tflite int4.tflite --images my_photos --html both.html
    """
    from effnet_lab.regress import inspect_file, write_inspector

    floats = float_model or []
    if html is not None or model_explorer is not None:
        found = write_inspector(
            files, images, html or "", model_explorer=model_explorer or "", float_models=floats, limit=limit or 16,
            anyway=anyway, preprocess=stated,
        )  # fmt: skip
    elif len(files) > 1 or len(floats) > 1:
        raise UserError(f"The report covers one file. Got {len(files)}; --html compares several.")
    else:
        found = inspect_file(
            files[0], images, float_model=next(iter(floats), ""), limit=limit or 64, anyway=anyway, preprocess=stated,
            out=out or "",
        )  # fmt: skip
    what = "Inspector" if html is not None else "Node data" if model_explorer is not None else "Report"
    write(f"{what}: {found}")
    if open_report and what != "Node data":
        webbrowser.open(found.resolve().as_uri())  # without a browser it says nothing, where xdg-open says much


COMMANDS = (inspect,)
