"""Commands about files: accuracy, layer error, latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show

DATA = (
    "Images: scenes, digits, flowers160; a folder per class or a .tar of one; an ImageNet validation folder, "
    "'val?labels=truth.txt'; TFRecords, 'records/validation-*'."
)
Data = Annotated[str, typer.Option(help=DATA)]
Split = Annotated[
    str | None, typer.Option(help="train, calibration, evaluation, or all; evaluation for embedded images.")
]
ERROR_COLUMNS = (
    "layer_index", "layer", "op", "sqnr_accumulated_db", "mse", "cosine", "weight_sqnr_db", "weight_worst_channel_sqnr_db",
)  # fmt: skip
LATENCY_COLUMNS = (
    "model", "scheme", "backend", "threads", "n_runs", "p50_ms", "p50_lo_ms", "p50_hi_ms", "p90_ms", "p99_ms",
    "cpu_p50_ms", "relative_p50",
)  # fmt: skip
Limit = Annotated[int | None, typer.Option(help="Images at most, spread evenly over the classes.")]


def evaluate(
    model: Annotated[str, typer.Argument(help="A .tflite file, or any weights that `classify` takes.")],
    data: Data,
    variant: Variant = None,
    split: Split = None,
    limit: Limit = None,
    threads: Annotated[int, typer.Option(help="Of the interpreter.")] = 1,
    json: Json = False,
) -> None:
    """Top-1 and top-5 on labelled images, with the 95 % Wilson interval that their number allows.

    Example: effnet-lab evaluate files/micro2.static_wi8_ai8.converter.tflite --data scenes
    """
    from effnet_lab.images import open_images
    from effnet_lab.measure import measure_accuracy, open_predictor

    images = open_images(data, split=split, limit=limit)
    table = measure_accuracy(open_predictor(model, threads, variant=variant), images, progress=progress("evaluate"))
    show(table, json)
    typer.echo(f"{table.attrs['images_per_s']:.0f} images/s; slowest stage: {table.attrs['slowest_stage']}", err=True)


def layer_error(
    quantized: Annotated[Path, typer.Option(help="The quantized .tflite file.")],
    images: Data,
    float: Annotated[
        Path | None, typer.Option(help="Float .tflite of the same network; else a twin is rebuilt.")
    ] = None,
    split: Split = None,
    limit: Limit = 32,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    out: Annotated[Path | None, typer.Option(help="CSV file for the LAYER_ERROR frame.")] = None,
    json: Json = False,
) -> None:
    """Accumulated error of every layer: SQNR in dB, MSE, cosine, and the SQNR of the weights.

    Without --float, a float network is rebuilt from the dequantized weights; then the rounding of the weights is not part
    of the error.
    """
    from effnet_lab.analysis import layer_error as measure
    from effnet_lab.images import open_images
    from effnet_lab.paths import write_atomically

    chosen = open_images(images, split=split, limit=limit)
    table = measure(quantized, chosen, float_model=float, kernels=kernels, progress=progress("layers"))
    if out is not None:
        write_atomically(out, table.to_csv(index=False).encode())
    show(table, json, ERROR_COLUMNS)
    for name in table.attrs["unmatched"]:
        typer.echo(f"no counterpart in the float model: {name}", err=True)


def bench(
    models: Annotated[list[Path], typer.Argument(help="One or more .tflite files; the first is the reference.")],
    threads: Annotated[int, typer.Option(help="Of each interpreter.")] = 1,
    runs: Annotated[int, typer.Option(help="Counted rounds.")] = 50,
    warmup: Annotated[int, typer.Option(help="Rounds before them.")] = 10,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    json: Json = False,
) -> None:
    """Latency on this machine: interleaved runs, wall and CPU time, percentiles with an interval.

    relative_p50 is the ratio of median CPU times to the first file. On a PC, int8 is often no faster than float.
    """
    from effnet_lab.measure import measure_latency

    table = measure_latency(
        models, threads=threads, kernels=kernels, n_warmup=warmup, n_runs=runs, progress=progress("bench")
    )
    show(table, json, LATENCY_COLUMNS)
    if not json:
        typer.echo(f"{table['host'][0]}, batch 1, kernels {kernels}, reference {table['reference'][0]}", err=True)


COMMANDS = (evaluate, layer_error, bench)
