"""Command that writes a network in the formats that boards take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show

if TYPE_CHECKING:
    from effnet_lab.images import ImageSet
    from effnet_lab.quantize.export import Target

FEW_IMAGES = 100  # below, the ranges of activations depend on which images were taken


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
            help="Schemes by layer, the last rule that matches counts: 'int8; op:dense=float32; block:0=int16x8'; or a "
            "file of such rules."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Comma-separated: converter, ai_edge_quantizer. By default the first that can."),
    ] = None,
    io: Annotated[
        str | None, typer.Option(help="Input and output: int8, uint8, int16 or float32; as the activations by default.")
    ] = None,
    calibration: Annotated[
        str, typer.Option(help="Images that fix int8 ranges: a named source, a folder, TFRecords.")
    ] = "scenes",
    split: Annotated[
        str, typer.Option(help="Of these images: calibration, train or all; never evaluation.")
    ] = "calibration",
    limit: Annotated[int, typer.Option(help="Calibration images at most.")] = 200,
    statistics: Annotated[
        Path | None, typer.Option(help="File of calibration statistics: read if it is there, else written.")
    ] = None,
    method: Annotated[str, typer.Option(help="How ai_edge_quantizer's ranges follow from the statistics.")] = "minmax",
    variant: Variant = None,
    json: Json = False,
) -> None:
    """Write .tflite files with their preprocessing, labels, scheme and calibration inside; or SavedModels.

    The image size is the weights' own. From a float32 .tflite file, of any network, the AI Edge Quantizer writes by default,
    and nothing is converted again. hub-feature-vector is a module for tensorflow_hub.KerasLayer: images in [0, 1] to pooled
    features, trainable.

    Example: effnet-lab export --weights micro2 --format float32,int8 --backend converter,ai_edge_quantizer --out files
    """
    from effnet_lab.quantize import KINDS, export_file
    from effnet_lab.quantize import export as write
    from effnet_lab.quantize.ranges import Ranging

    from_file = starts_from_file(weights, variant)
    formats = format.split(",") if format else [] if recipe else ["int8"] if from_file else ["float32", "int8"]
    kinds = [name for name in formats if name in KINDS]
    wanted = _targets([name for name in formats if name not in KINDS], recipe, backend, from_file=from_file)
    images = None
    if any(scheme.calibrated for scheme, _ in wanted) and not (
        statistics and statistics.exists() and _edge_only(wanted)
    ):
        images = open_calibration(calibration, split, limit)
    options = {
        "calibration": Ranging(images=images, statistics=statistics, method=method),
        "io": io,
        "progress": progress("export"),
    }
    if from_file and not kinds and _edge_only(wanted):
        paths = export_file(weights, wanted, out, **options)
    else:
        from effnet_lab.models import load_model
        from effnet_lab.quantize import export_saved_model

        model = load_model(weights, variant)
        paths = write(model, wanted, out, **options) if wanted else []
        for kind in kinds:
            folder = out if formats == [kind] and not recipe else out / f"{model.name}.{kind}"
            typer.echo(f"{export_saved_model(model, folder, kind)}: {KINDS[kind]}", err=True)
    if paths:
        _show(paths, json)
    if images is not None:  # last, so that an error is one line
        few = f" Fewer than {FEW_IMAGES}: ranges depend on which ones; give more." if len(images) < FEW_IMAGES else ""
        typer.echo(f"Calibrated on {len(images):,} images of {images.name}, split {images.split}.{few}", err=True)


def _targets(formats: list[str], recipe: str | None, backend: str | None, *, from_file: bool) -> list[Target]:
    """What is to be written; without a back end, each by the first that can: from a file, by the one that takes files."""
    from effnet_lab.quantize import BACKENDS, parse_recipe, targets
    from effnet_lab.quantize.schemes import AI_EDGE

    wanted = [*formats, *([parse_recipe(recipe)] if recipe else [])]
    if backend:
        return targets(wanted, backend.split(","))
    order = sorted(BACKENDS, key=lambda name: name != AI_EDGE) if from_file else list(BACKENDS)
    return [targets([one], order)[0] for one in wanted]


def _edge_only(wanted: list[Target]) -> bool:
    from effnet_lab.quantize.schemes import AI_EDGE

    return all(backend == AI_EDGE for _, backend in wanted)


def starts_from_file(weights: str, variant: str | None) -> bool:
    """Whether the weights are a float32 .tflite file, which the AI Edge Quantizer takes as it is."""
    from effnet_lab.litert import read_graph

    path = Path(weights)
    return variant is None and path.suffix == ".tflite" and path.is_file() and read_graph(path).scheme == "float32"


def float_file(weights: str, variant: str | None, folder: Path) -> Path:
    """The float32 file of any weights, written into the folder by the converter."""
    from effnet_lab.models import load_model
    from effnet_lab.quantize import export, targets

    return export(load_model(weights, variant), targets(["float32"], ["converter"]), folder)[0]


def open_calibration(source: str, split: str, limit: int | None) -> ImageSet:
    """The images; not those that measure accuracy."""
    from effnet_lab.images import open_images

    images = open_images(source, split=split, limit=limit)
    images.require_calibration()
    return images


def _show(paths: list[Path], json: bool) -> None:
    import pandas as pd

    from effnet_lab.board import measure_memory
    from effnet_lab.litert import read_info

    table = pd.concat([measure_memory(path) for path in paths], ignore_index=True).drop(columns="arena_bytes")
    infos = [read_info(path) for path in paths]
    show(
        table.assign(
            io=[info.io for info in infos],
            n_calibration=[info.calibration.n_images if info.calibration else 0 for info in infos],
            file=[str(path) for path in paths],
        ),
        json,
    )


COMMANDS = (export,)
