"""The command that collects, merges and compares calibration statistics."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from effnet_lab.cli.exporting import float_file, open_calibration, starts_from_file
from effnet_lab.cli.networks import Json, Variant
from effnet_lab.cli.output import progress, show
from effnet_lab.names import UserError

if TYPE_CHECKING:
    from effnet_lab.quantize.calibration import Statistics

COLUMNS = ("layer", "low", "high", "against_low", "against_high", "width_ratio")


def calibrate(
    out: Annotated[Path, typer.Option(help="The .npz file of statistics, as `export --statistics` takes it.")],
    weights: Annotated[
        str | None, typer.Option(help="A named model (micro0), or any weights that `classify` takes.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images to run: a named source, a folder, TFRecords. Without it --out is read.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Of these images: calibration, train or all; never evaluation.")
    ] = "calibration",
    limit: Annotated[int | None, typer.Option(help="Images at most, spread evenly over the classes.")] = None,
    merge: Annotated[
        Path | None, typer.Option(help="Statistics of the same network and of other images, put in front.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Statistics to compare with, layer by layer.")] = None,
    method: Annotated[str, typer.Option(help="For --against: minmax, moving_average, percentile, mse.")] = "minmax",
    variant: Variant = None,
    json: Json = False,
) -> None:
    """Run a float network once per image and keep what every activation did: statistics that can be merged and compared.

    `export --statistics` takes the file, so that another scheme, method or recipe needs no image again.

    Example: effnet-lab calibrate --weights micro2 --data scenes --limit 200 --out micro2.npz
    """
    import pandas as pd

    from effnet_lab.quantize import calibration

    if out.suffix != ".npz":
        raise UserError(f"--out must end in .npz. Got {str(out)!r}.")
    given = {path: calibration.Statistics.load(path) for path in (merge, against) if path}  # a wrong file fails at once
    found = _collect(weights, variant, data, split, limit) if data else calibration.Statistics.load(out)
    if merge:
        found = calibration.merge(given[merge], found)
    if data or merge:
        _store(found, out)
    if against:
        show(calibration.compare(found, given[against], method), json, COLUMNS)
        return
    row = {"file": str(out), "network": found.model, "data": found.data, "split": found.split}
    show(pd.DataFrame([row | {"n_images": found.n_images, "n_layers": len(found.layers)}]), json)


def _collect(weights: str | None, variant: str | None, data: str, split: str, limit: int | None) -> Statistics:
    """Statistics of the float network on the images."""
    if weights is None:
        raise UserError("Collecting statistics needs a network. Name it with --weights.")
    from effnet_lab.litert import read_info
    from effnet_lab.quantize.ranges import Ranging

    ranging = Ranging(images=open_calibration(data, split, limit))
    with tempfile.TemporaryDirectory(prefix="effnet-lab-") as folder:
        given = starts_from_file(weights, variant)
        source = Path(weights) if given else float_file(weights, variant, Path(folder))
        preprocess = read_info(source).preprocess
        ranging.require_size(preprocess)
        return ranging.measure(source.read_bytes(), preprocess, progress("calibrate"))


def _store(statistics: Statistics, out: Path) -> None:
    try:
        statistics.save(out)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror}. Choose another --out.") from None


COMMANDS = (calibrate,)
