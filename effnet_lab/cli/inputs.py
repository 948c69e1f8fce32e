"""What every command that feeds a network takes: which images or arrays, and what the network's input is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from effnet_lab.names import UserError

DATA = (
    "Images: scenes, digits, flowers160; a folder of pictures or of a folder per class, a .tar of one; an ImageNet validation "
    "folder, 'val?labels=truth.txt'; TFRecords, 'records/validation-*'; or arrays: an .npy or .npz file."
)
Data = Annotated[str | None, typer.Option(help=DATA)]
Inputs = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Instead of images: an .npy file, or an .npz with one array per input (and 'labels', if any), first axis: samples.",
    ),
]
Split = Annotated[
    str | None, typer.Option(help="train, calibration, evaluation, or all; evaluation for embedded images.")
]
Limit = Annotated[int | None, typer.Option(help="Use at most this many images, spread evenly over the classes.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many images to run at the same time, each in its own interpreter; by default one per free processor. "
        "The numbers do not depend on it.",
    ),
]
_PANEL = "Input of the network (by default what the file says)"


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, **more)


_OPTIONS: dict[str, tuple[Any, Any]] = {  # field of StatedInput: annotation of the option, default
    "mean": (
        Annotated[str | None, _option("Mean of the input in grey levels: one number, or three with commas.")],
        None,
    ),
    "std": (
        Annotated[str | None, _option("Standard deviation in grey levels; the network gets (x - mean) / std.")],
        None,
    ),
    "input_range": (
        Annotated[str | None, _option("Instead of mean and std: what black and white become, 0..255, 0..1 or -1..1.")],
        None,
    ),
    "size": (Annotated[int | None, _option("Side of the input, px.")], None),
    "crop": (Annotated[str | None, _option("Share of the shorter side to keep, for example 0.875; or none.")], None),
    "interpolation": (Annotated[str | None, _option("bicubic, bilinear, nearest or bicubic_tf1.")], None),
    "channels": (Annotated[str | None, _option("RGB, BGR or grey.")], None),
    "guess": (
        Annotated[
            bool, _option("Continue with a guess where nothing says which values the network expects.", "--guess")
        ],
        False,
    ),
}


def takes_input(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that state a network's input; it gets them as one argument, `stated`."""
    hints = get_type_hints(command, localns={"StatedInput": object}, include_extras=True)  # its room loads numpy: later
    own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        from effnet_lab.images.stated import StatedInput

        stated = StatedInput(**{name: given.pop(name, default) for name, (_, default) in _OPTIONS.items()})
        command(**given, stated=stated)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p.name != "stated"] + added
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def one_of(data: str | None, inputs: str | None, option: str, default: str = "") -> str:
    """The one of the two that was given, or the default."""
    if data is not None and inputs is not None:
        raise UserError(f"Give either {option} with images, or --inputs with arrays.")
    return data or inputs or default


def chosen(data: str | None, inputs: str | None, option: str = "--data") -> str:
    """The one of the two that was given."""
    if (data is None) == (inputs is None):
        raise UserError(f"Give the data to run on: {option} for images, or --inputs for arrays.")
    return data or inputs or ""
