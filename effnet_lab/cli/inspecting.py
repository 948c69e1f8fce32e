"""The command for one's own file: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    file: Annotated[Path, typer.Argument(help="A quantized .tflite file.")],
    images: Annotated[
        str, typer.Option(help="A folder of pictures (one folder per class gives top-1), or scenes, digits.")
    ],
    float_model: Annotated[
        Path | None, typer.Option("--float", help="Its float .tflite; by default a twin is rebuilt from its weights.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many images.")] = 64,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report and numbers; by default inspected/<name of the file>.")
    ] = None,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = True,
) -> None:
    """Where one quantized file hurts: error per layer, verdicts in words, top-1; a report on this file and nothing else.

    Example: effnet-lab inspect my.tflite --images my_photos
    """
    from effnet_lab.regress import inspect_file

    report = inspect_file(file, images, float_model=float_model or "", limit=limit, out=out or "")
    typer.echo(f"Report: {report}")
    if open_report:
        typer.launch(report.resolve().as_uri())


COMMANDS = (inspect,)
