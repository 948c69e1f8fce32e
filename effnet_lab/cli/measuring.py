"""Commands about files: accuracy, latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.inputs import DATA, Inputs, Limit, Split, Workers, chosen, takes_input
from effnet_lab.cli.inputs import Data as Images
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, save, show, show_all
from effnet_lab.cli.saying import say

if TYPE_CHECKING:
    from effnet_lab.bench import OpProfile
    from effnet_lab.images.stated import StatedInput

Data = Annotated[str, typer.Option(help=DATA)]


@takes_input
def evaluate(
    model: Annotated[str, typer.Argument(help="A .tflite file, or any weights that `classify` takes.")],
    stated: StatedInput,
    data: Images = None,
    inputs: Inputs = None,
    against: Annotated[str | None, typer.Option(help="Another network, compared on the same images.")] = None,
    variant: Variant = None,
    split: Split = None,
    limit: Limit = None,
    threads: Annotated[int, typer.Option(help="Threads of the interpreter.")] = 1,
    workers: Workers = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="An .npz file for the answers, saved as they come; if it exists, the run continues from it."),
    ] = None,
    classes: Annotated[bool, typer.Option("--per-class", help="Also print a row for each class.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for all tables as CSV, with the confusion matrix.")] = None,
    json: Json = False,
) -> None:
    """Top-1 and top-5 on labelled images, with the 95 % Wilson interval that their number allows.

    --against adds the difference with its interval (from a Dirichlet posterior), McNemar's exact test, how many images would
    settle it, and how far the outputs are apart; without labels, how often the two agree. --inputs is for networks whose
    input is not an image. With --resume, Ctrl-C loses nothing.

    Example: effnet-lab evaluate int8.tflite --data scenes --against float32.tflite
    """
    source = chosen(data, inputs)
    from effnet_lab.evaluate import evaluate as measure

    found = measure(
        model, source, against=against, variant=variant, split=split, limit=limit, threads=threads, workers=workers,
        resume=resume, preprocess=stated, progress=progress("evaluate"),
    )  # fmt: skip
    named = {
        "accuracy": found.table,
        "per_class": found.per_class,
        "comparison": found.comparison,
        "outputs": found.outputs,
    }
    tables = {name: table for name, table in named.items() if len(table) and (name != "per_class" or classes or out)}
    show_all(tables, json)
    if found.sentence:
        say(found.sentence, err=json)
    for line in found.fed:
        if "(defaults)" not in line:  # that has been said
            say(f"fed with {line}", err=True)
    if found.clock.n_images:  # not where all answers had been kept
        say(f"{found.clock.images_per_s:.0f} images/s; slowest stage: {found.clock.slowest}", err=True)
    if out is not None:  # last: a full disk takes no answer away
        save(tables | {"confusion": found.confusion, "reliability": found.reliability}, out)


def bench(
    models: Annotated[
        list[str],
        typer.Argument(help="One or more .tflite files, or networks that run as float32; the first is the reference."),
    ],
    threads: Annotated[int, typer.Option(help="Threads of each interpreter.")] = 1,
    runs: Annotated[int, typer.Option(help="Counted rounds, after a warm-up until the times are steady.")] = 48,
    kernels: Annotated[str, typer.Option(help="Kernel path: xnnpack, builtin or reference.")] = "xnnpack",
    adb: Annotated[
        str | None,
        typer.Option(metavar="SERIAL", help="Measure on this Android device instead, with its benchmark_model."),
    ] = None,
    delegate: Annotated[str, typer.Option(help="Delegate on the device: xnnpack, gpu, nnapi or none.")] = "xnnpack",
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Show where the time goes: every operator, slowest first, and the time outside of operators.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Latency: interleaved runs, wall and CPU time, percentiles with intervals, and a verdict where there can be one.

    Networks may have inputs of any kind. relative_p50 is the ratio of CPU times to the first file, with its 95 % interval.
    When other programs keep the processor busy,
    or its clock changes during the measurement, a note says so and there is no verdict. On a PC, int8 is often no faster than
    float.

    Example: effnet-lab bench float32.tflite int8.tflite
    """
    from effnet_lab.studies import bench as measure
    from effnet_lab.studies import profile as profile_ops

    if profile:
        _show_profiles([profile_ops(model, runs) for model in models], json)
        return
    table = measure(
        models,
        threads=threads,
        kernels=kernels,
        n_runs=runs,
        adb=adb,
        delegate=delegate,
        progress=progress("bench", "process" if adb else "round"),
    )
    show(table, json)
    say(f"{table['host'][0]}, batch 1, {table['kernels'][0]}, reference {table['reference'][0]}", err=True)
    if (guard := table["guard"][0]) != "quiet":
        say(f"no verdict: {guard}", err=True)


def _show_profiles(profiles: list[OpProfile], json: bool) -> None:
    import pandas as pd

    table = pd.concat([profile.table for profile in profiles], ignore_index=True)
    show(table if json else table.sort_values(["model", "scheme", "share"], ascending=[True, True, False]), json)
    for profile in profiles:
        say(f"median of whole inferences without the profiler: {profile.p50_ms:.3g} ms", err=True)
        if profile.warning:
            say(profile.warning, err=True)


COMMANDS = (evaluate, bench)
