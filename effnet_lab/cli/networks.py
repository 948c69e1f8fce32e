"""Commands about networks: the family, the search below it, training, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.output import progress, show

Json = Annotated[bool, typer.Option("--json", help="Print JSON with the column names of the frame.")]
Variant = Annotated[str | None, typer.Option(help="lite0 to lite4; needed for 'imagenet', else read off the weights.")]


def variants(
    classes: Annotated[int, typer.Option(help="Outputs of the classifier.")] = 1000, json: Json = False
) -> None:
    """Every named network: coefficients, parameters, MAdds, activation memory, beside the published values.

    Counting rules: params are trainable ones; madds count a multiply and its add once, in convolutions
    and dense layers only; peak activation bytes are int8.
    """
    from effnet_lab.scaling import family

    show(family(classes=classes), json)


def search(
    max_params: Annotated[float | None, typer.Option(help="Trainable parameters, for example 1e6.")] = None,
    max_madds: Annotated[float | None, typer.Option(help="Multiply-adds, for example 50e6.")] = None,
    max_arena: Annotated[float | None, typer.Option(help="Peak int8 activation bytes, for example 262144.")] = None,
    max_flash: Annotated[float | None, typer.Option(help="Bytes of int8 weights and int32 biases.")] = None,
    classes: Annotated[int, typer.Option(help="Outputs of the classifier.")] = 1000,
    scale_ends: Annotated[bool, typer.Option(help="Let stem, head and the end stages scale too (below lite0).")] = True,
    limit: Annotated[int, typer.Option(help="How many of the best to print.")] = 10,
    json: Json = False,
) -> None:
    """The networks that fit a budget, the most evenly scaled first.

    All combinations of width, depth and resolution that differ after rounding are counted, more than 200,000.

    Example: effnet-lab search --max-arena 262144 --max-flash 1e6 --classes 10
    """
    from dataclasses import replace

    from effnet_lab.names import UserError
    from effnet_lab.scaling import Budget, get_spec
    from effnet_lab.scaling import search as find

    budget = Budget(params=max_params, madds=max_madds, peak_activation_bytes=max_arena, flash_bytes=max_flash)
    found = find(budget, replace(get_spec("lite0"), fixed_ends=not scale_ends), classes=classes)
    if found.empty:
        raise UserError("No network of the grid fits the budget. Raise a limit, or lower --classes.")
    if limit < 1:
        raise UserError(f"--limit must be >= 1. Got {limit}.")
    show(found.head(limit), json)
    if not json:
        typer.echo(f"{len(found):,} networks fit; phi counts from lite0.", err=True)


def train(
    variant: Annotated[str, typer.Option(help="Name of a network, see `effnet-lab variants`.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write; its card goes beside it.")],
    data: Annotated[str, typer.Option(help="Images: scenes, digits, a folder per class, a .tar of one.")] = "scenes",
    seed: Annotated[int | None, typer.Option(help="Of weights and order; the recipe's by default.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Fewer or more than the recipe says.")] = None,
) -> None:
    """Train a network from random weights and write it with a card: data, seed, command, accuracy with interval.

    Example, one of the embedded models: effnet-lab train --variant micro0 --out micro0.safetensors
    """
    from effnet_lab.names import UserError
    from effnet_lab.training import save_with_card, train_variant

    if out.suffix != ".safetensors":
        raise UserError(f"--out must end in .safetensors. Got {str(out)!r}.")
    model, history, card = train_variant(variant, data, seed=seed, epochs=epochs, progress=_tell)
    save_with_card(model, card, out)
    history.to_csv(out.with_suffix(".history.csv"), index=False)
    typer.echo(
        f"{out}: top-1 {card['top1']:.4f} ({card['top1_lo']:.4f} to {card['top1_hi']:.4f}) on {card['n_images']:,} images"
    )


def export(
    weights: Annotated[str, typer.Option(help="A named model (micro0), or any weights that `classify` takes.")],
    out: Annotated[Path, typer.Option(help="Folder for the files; with one format, the file or SavedModel itself.")],
    format: Annotated[
        str, typer.Option(help="Comma-separated: float32, float16, dynamic, int8, saved-model, hub-feature-vector.")
    ] = "float32,int8",
    backend: Annotated[str, typer.Option(help="Comma-separated: converter, ai_edge_quantizer.")] = "converter",
    calibration: Annotated[
        str, typer.Option(help="Images that fix the int8 ranges; never evaluation images.")
    ] = "scenes",
    limit: Annotated[int, typer.Option(help="Calibration images at most.")] = 200,
    variant: Variant = None,
    json: Json = False,
) -> None:
    """Write .tflite files with their preprocessing, labels and scheme inside; or SavedModels.

    hub-feature-vector is a module for tensorflow_hub.KerasLayer: images in [0, 1] to pooled features, trainable.

    Example: effnet-lab export --weights micro2 --format float32,int8 --backend converter,ai_edge_quantizer --out files
    """
    import pandas as pd

    from effnet_lab.images import open_images
    from effnet_lab.measure import measure_memory
    from effnet_lab.models import load_model
    from effnet_lab.quantize import KINDS, export_saved_model, targets
    from effnet_lab.quantize import export as write

    formats = format.split(",")
    kinds = [name for name in formats if name in KINDS]
    wanted = targets([name for name in formats if name not in KINDS], backend.split(","))
    images = None
    if any(scheme.calibrated for scheme, _ in wanted):
        images = open_images(calibration, split="calibration", limit=limit)
    model = load_model(weights, variant)
    for kind in kinds:
        folder = out if formats == [kind] else out / f"{model.name}.{kind}"
        typer.echo(f"{export_saved_model(model, folder, kind)}: {KINDS[kind]}", err=True)
    if wanted:
        paths = write(model, wanted, out, calibration=images, progress=progress("export"))
        table = pd.concat([measure_memory(path) for path in paths], ignore_index=True)
        show(table.assign(file=[str(path) for path in paths]), json)


def _tell(epoch: dict) -> None:
    typer.echo(
        f"epoch {epoch['epoch']}/{epoch['epochs']}  loss {epoch['loss']:.4f}  train {epoch['train_top1']:.4f}  "
        f"validation {epoch['validation_top1']:.4f}",
        err=True,
    )


def fetch(
    names: Annotated[list[str], typer.Argument(help="imagenet-lite0 to imagenet-lite4: the official weights.")],
) -> None:
    """Download official weights into the cache ($EFFNET_LAB_CACHE or ~/.cache/effnet-lab), and check them."""
    from effnet_lab.models.weights.files import REMOTE
    from effnet_lab.models.weights.files import fetch as download
    from effnet_lab.names import lookup

    for name in names:
        lookup("file", name, REMOTE)
    for name in names:
        typer.echo(download(name))


COMMANDS = (variants, search, fetch, train, export)
