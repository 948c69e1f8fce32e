"""Commands about many runs of one notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from effnet_lab.cli.output import show
from effnet_lab.cli.saying import say, write


def sweep(
    notebook: Annotated[str, typer.Argument(help="Name (02_quantization_error) or path.")],
    grid: Annotated[Path, typer.Option(help="YAML file: grid, points or sample, and fixed.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep; finished points there are not run again.")] = Path(
        "sweep"
    ),
    workers: Annotated[int, typer.Option(min=0, help="Processes on this machine; 0 runs everything in this one.")] = 0,
    cluster: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Run on a Dask cluster instead: address of its scheduler, tcp://host:8786."
        ),
    ] = "",
    profile: Annotated[str, typer.Option(help="smoke or full, as for run.")] = "smoke",
    timeout: Annotated[float | None, typer.Option(help="Most seconds that a point may take.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run finished points again.")] = False,
    point: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Run this point only; sweep.json lists the keys.")
    ] = None,
    snakemake: Annotated[bool, typer.Option("--snakemake", help="Write a Snakefile instead of running.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per point.")] = False,
) -> int:
    """Run a notebook at every point of a grid, a list or a random sample. What is finished is never repeated.

    Exit code 1 when a point failed; its executed notebook, with the failing cell at the top, is in failed/. The numbers are one
    Parquet data set: pandas.read_parquet("OUT/results").

    Example: effnet-lab sweep 02_quantization_error --grid grid.yaml --workers 2 --out my_sweep
    """
    from effnet_lab import regress

    if snakemake:
        write(f"Written: {regress.write_snakefile(notebook, grid, out=out, profile=profile)}")
        return 0
    with _Bar() as bar:
        try:
            done = regress.sweep(
                notebook, grid, out=out, workers=workers, cluster=cluster, profile=profile, timeout_s=timeout, force=force,
                only=point or (), watch=bar, tell=lambda sentence: say(sentence, err=True),
            )  # fmt: skip
        except regress.SweepStoppedError as error:
            write(f"effnet-lab: {error}", err=True)
            return 1
    failed = done.table[done.table["status"] == "failed"]
    show(done.table if json else failed, json) if json or len(failed) else None
    say(done.sentence, err=json)
    return 1 if len(failed) else 0


class _Bar:
    """Finished, failed, running and an estimate, on standard error."""

    def __enter__(self) -> _Bar:
        self._bar: Any = None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, *, finished: int, failed: int, running: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None:  # what was finished before says nothing of how long a point takes
            self._bar = tqdm(total=total, initial=finished + failed, desc="sweep", unit=" point", disable=None)
        self._bar.set_postfix_str(f"{failed} failed, {running} running", refresh=False)
        self._bar.update(finished + failed - self._bar.n)


def report(
    results: Annotated[Path, typer.Argument(help="Folder of a run or of a sweep.")],
) -> None:
    """Write one HTML file about a run or a sweep; it opens without a network.

    Example: effnet-lab report my_sweep
    """
    from effnet_lab import regress

    write(regress.report_on(results))


COMMANDS = (sweep, report)
