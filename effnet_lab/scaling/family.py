"""The named networks beside what was published about them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab import frames
from effnet_lab.names import UserError
from effnet_lab.paths import data_dir
from effnet_lab.scaling.compound import Compound
from effnet_lab.scaling.counts import layer_counts, totals
from effnet_lab.scaling.specs import NetSpec
from effnet_lab.scaling.variants import LITE, VARIANTS

AUTHORS = "tensorflow/tpu"  # whose numbers stand beside ours; others repeat or contest them
PUBLISHED_COLUMNS = {  # column of VARIANTS -> quantity of PUBLISHED
    "published_params": "params",
    "published_madds": "madds",
    "published_top1": "top1_float32",
    "published_int8_top1": "top1_int8",
}


def published() -> pd.DataFrame:
    """PUBLISHED frame: every table of the package, each row with its source."""
    tables = pd.concat(map(pd.read_csv, _published_tables()), ignore_index=True)
    return frames.require(tables, frames.PUBLISHED, caller="published")


def variants(specs: Iterable[NetSpec] = tuple(VARIANTS.values()), *, classes: int = 1000) -> pd.DataFrame:
    """Every named network: VARIANTS frame of the rows of `variant_rows`.

    Parameters
    ----------
    specs : iterable of NetSpec
        By default all that have a name.
    classes : int
        Outputs of the classifier that is counted; what is published has 1,000.

    Examples
    --------
    >>> variants(classes=10).set_index("model").loc["micro0", "params"]
    np.int64(22186)
    """
    return frames.build(frames.VARIANTS, variant_rows(specs, classes=classes))


def variant_rows(specs: Iterable[NetSpec] = tuple(VARIANTS.values()), *, classes: int = 1000) -> list[dict[str, Any]]:
    """Exact counts of every named network, beside the published values of those that have some."""
    values = _published_values()
    rows: list[dict[str, Any]] = []
    for spec in specs:
        cost = totals(spec, classes)
        rows.append(
            {
                "model": spec.name,
                "width": spec.width,
                "depth": spec.depth,
                "resolution_px": spec.resolution,
                "classes": classes,
                "params": cost.params,
                "madds": cost.madds,
                "peak_activation_bytes": cost.peak_activation_bytes,
                "flash_bytes": cost.flash_bytes,
            }
            | {column: values.get((spec.name, name), float("nan")) for column, name in PUBLISHED_COLUMNS.items()}
        )
    return rows


def _published_values() -> dict[tuple[str, str], float]:
    """What the authors say of each network, by network and quantity; without pandas, which takes long to load."""
    values = {}
    for path in _published_tables():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["source"].startswith(AUTHORS):
                    values[row["model"], row["quantity"]] = float(row["value"])
    return values


def _published_tables() -> list[Path]:
    tables = sorted((data_dir() / "published").glob("*.csv"))
    if not tables:
        raise UserError(
            f"No published tables in {data_dir() / 'published'}. Restore data/published from the repository."
        )
    return tables


def spec_of(
    *, width: float = 1.0, depth: float = 1.0, resolution_px: int = 224, alpha: float = 1.2, beta: float = 1.1,
    gamma: float = 1.15, phi: float = 0.0, fixed_ends: bool = True, name: str = "yours",
) -> NetSpec:  # fmt: skip
    """The network that these coefficients make.

    `width`, `depth` and `resolution_px` are multipliers of lite0 and its size; `alpha`, `beta`, `gamma` scale that by `phi`.
    """
    base = replace(LITE["lite0"], name=name, width=width, depth=depth, resolution=resolution_px, fixed_ends=fixed_ends)
    return Compound(alpha=alpha, beta=beta, gamma=gamma).spec(base, phi, name) if phi else base


def count_network(*, classes: int = 1000, **settings: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """VARIANTS frame with one row, and COUNTS frame, of the network that the keywords of `spec_of` make."""
    spec = spec_of(**settings)
    return variants([spec], classes=classes), layer_counts(spec, classes)
