"""Commands about networks: the family, the search below it, downloads."""

from __future__ import annotations

from typing import Annotated

import typer

from effnet_lab.cli.output import show, show_rows
from effnet_lab.cli.saying import say, write
from effnet_lab.names import UserError

Json = Annotated[bool, typer.Option("--json", help="Print JSON with the column names of the frame.")]
Variant = Annotated[str | None, typer.Option(help="lite0 to lite4; needed for 'imagenet', else read off the weights.")]


def variants(
    classes: Annotated[int, typer.Option(help="Outputs of the classifier that is counted.")] = 1000,
    json: Json = False,
) -> None:
    """Every named network: coefficients, parameters, MAdds, activation memory, beside the published values.

    Counting rules: params are trainable ones; madds count a multiply and its add once, in convolutions
    and dense layers only; peak activation bytes are int8.

    Example: effnet-lab variants --classes 10
    """
    from effnet_lab import frames, scaling

    show_rows(scaling.variant_rows(classes=classes), frames.VARIANTS.by_importance, json)
    if not json:
        say(
            f"Counted with {classes:,} classes. The micro networks that come with the package have 10: --classes 10.",
            err=True,
        )


def search(
    max_params: Annotated[float | None, typer.Option(help="Trainable parameters, for example 1e6.")] = None,
    max_madds: Annotated[float | None, typer.Option(help="Multiply-adds, for example 50e6.")] = None,
    max_arena: Annotated[
        float | None,
        typer.Option(help="Peak int8 activation bytes, for example 262144; with --lean in the runtime's plan."),
    ] = None,
    max_flash: Annotated[float | None, typer.Option(help="Bytes of int8 weights and int32 biases.")] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the classifier.")] = 1000,
    scale_ends: Annotated[
        bool, typer.Option(help="Scale stem, head and the first and last stage, too; needed below lite0.")
    ] = True,
    by: Annotated[
        str, typer.Option(help="Order: evenness, or accuracy, the top-1 that a scaling law fitted to --task predicts.")
    ] = "evenness",
    task: Annotated[str, typer.Option(help="With --by accuracy: the study whose law is used.")] = "scenes",
    lean: Annotated[
        bool,
        typer.Option(
            "--lean", help="Search networks designed for little memory instead; needs --max-arena and --max-flash."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of the best to print.")] = 10,
    json: Json = False,
) -> None:
    """The networks that fit a budget: the most evenly scaled first, or those that are expected to be most accurate.

    All combinations of width, depth and resolution that differ after rounding are counted, more than 200,000.

    With --lean each stage has its own number of channels, small where feature maps are large, and the arena is planned as
    the runtime plans it; networks with most MAdds come first. The name of such a network is all that `train --variant` needs.

    Example: effnet-lab search --max-arena 262144 --max-flash 1e6 --classes 10 --by accuracy
    """
    from effnet_lab import scaling

    if lean:
        if max_arena is None or max_flash is None:
            raise UserError("--lean searches within memory: give --max-arena and --max-flash, both in bytes.")
        if by != "evenness" or not scale_ends:
            raise UserError(
                "--lean goes without --by and --no-scale-ends: its networks are ordered by MAdds. Leave them out."
            )
        show(
            scaling.search_lean(
                max_arena=max_arena, max_flash=max_flash, max_params=max_params, max_madds=max_madds, classes=classes,
                limit=limit,
            ),
            json,
        )  # fmt: skip
        return
    found = scaling.search(
        max_params=max_params, max_madds=max_madds, max_arena=max_arena, max_flash=max_flash, classes=classes,
        scale_ends=scale_ends, by=by, task=task,
    )  # fmt: skip
    show(found.head(limit), json)
    if not json:
        say(f"{len(found):,} networks fit, counted with {classes:,} classes; phi counts from lite0.", err=True)
        if "inside" in found:
            n = int(found["inside"].sum())
            say(
                f"Top-1 is what a law fitted to {task!r} expects of that task, with its 95 % prediction interval. {n:,} of the "
                "networks lie inside what was trained for it; the others stand last.",
                err=True,
            )


def fetch(
    names: Annotated[list[str], typer.Argument(help="imagenet-lite0 to imagenet-lite4: the official weights.")],
) -> None:
    """Download official weights into the cache ($EFFNET_LAB_CACHE or ~/.cache/effnet-lab), and check them.

    Example: effnet-lab fetch imagenet-lite0
    """
    from effnet_lab.models.weights.files import REMOTE
    from effnet_lab.models.weights.files import fetch as download
    from effnet_lab.names import lookup

    for name in names:
        lookup("file", name, REMOTE)
    for name in names:
        write(download(name))


COMMANDS = (variants, search, fetch)
