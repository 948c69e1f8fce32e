"""The columns of every table that crosses a border: between rooms, into a CSV, into a baseline.

Units stand in the names (``_ms _bytes _db _px``), fractions lie in [0, 1], counts are raw integers, and what was not
measured is NaN (JSON ``null``), never 0. A *row* is one observation; `keys` are the columns that tell rows apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

MODEL_FILE = ("model", "scheme", "backend")  # which network, quantized how, by which back end: one .tflite file


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Name, column order and key columns of one kind of table."""

    name: str
    keys: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Key columns, then value columns, in the order of every file."""
        return self.keys + self.values


VARIANTS = Frame(  # one row per named specification
    name="variants",
    keys=("model",),
    values=(
        "width", "depth", "resolution_px", "params", "madds", "peak_activation_bytes", "flash_bytes",
        "published_params", "published_madds", "published_top1", "published_int8_top1",
    ),
)  # fmt: skip
COUNTS = Frame(  # one row per layer, from the specification alone
    name="counts",
    keys=("model", "layer_index", "layer"),
    values=("op", "out_side_px", "out_channels", "params", "madds", "activation_bytes", "weight_bytes"),
)
CANDIDATES = Frame(  # one row per specification that meets the budgets, best first
    name="candidates",
    keys=("width", "depth", "resolution_px"),
    values=("phi", "params", "madds", "peak_activation_bytes", "flash_bytes"),
)
LAYER_ERROR = Frame(  # one row per op output of the quantized graph, in forward order
    name="layer_error",
    keys=(*MODEL_FILE, "layer_index", "layer"),
    values=(
        "op", "data", "n_images", "kernels", "scale", "zero_point", "sqnr_accumulated_db", "mse", "cosine",
        "weight_sqnr_db", "weight_worst_channel_sqnr_db",
    ),
)  # fmt: skip
HISTOGRAM = Frame(  # one row per bin of one layer's output; precision is "float" or "quantized"
    name="histogram",
    keys=(*MODEL_FILE, "layer_index", "layer", "precision", "bin_left"),
    values=("bin_right", "count"),
)
ACCURACY = Frame(  # one row per file and data set; the interval is Wilson's, 95 %
    name="accuracy",
    keys=(*MODEL_FILE, "data"),
    values=("n_images", "top1", "top1_lo", "top1_hi", "top5"),
)
LATENCY = Frame(  # one row per file; relative_p50 is CPU time against the reference row of the same run
    name="latency",
    keys=(*MODEL_FILE, "threads"),
    values=(
        "host", "batch", "kernels", "n_warmup", "n_runs", "p50_ms", "p50_lo_ms", "p50_hi_ms", "p90_ms", "p99_ms",
        "cpu_p50_ms", "reference", "relative_p50",
    ),
)  # fmt: skip
MEMORY = Frame(  # one row per file
    name="memory",
    keys=MODEL_FILE,
    values=("size_bytes", "peak_activation_bytes", "params", "madds"),
)
TRADEOFFS = Frame(  # accuracy, latency and memory of one file in one row
    name="tradeoffs",
    keys=MODEL_FILE,
    values=(
        "n_images", "top1", "top1_lo", "top1_hi", "p50_ms", "p50_lo_ms", "p50_hi_ms", "relative_p50",
        "size_bytes", "peak_activation_bytes", "params", "madds",
    ),
)  # fmt: skip
PUBLISHED = Frame(  # somebody else's numbers; every row names its source
    name="published",
    keys=("model", "quantity", "source"),
    values=("value", "unit", "conditions"),
)
CLASSIFICATION = Frame(  # one row per picture and rank, best first; score is a probability
    name="classification",
    keys=(*MODEL_FILE, "file", "rank"),
    values=("class_index", "label", "score"),
)
AUDIT = Frame(  # one row per preprocessing tried; mark A is the best, B the stated one; p_value against the best
    name="audit",
    keys=(*MODEL_FILE, "data", "normalisation", "crop", "interpolation", "channels", "label_offset"),
    values=("rank", "mark", "n_images", "top1", "top1_lo", "top1_hi", "p_value", "tied"),
)
HISTORY = Frame(  # one row per epoch of training
    name="history",
    keys=("model", "epoch"),
    values=("loss", "train_top1", "validation_top1"),
)

FRAMES = {
    frame.name: frame
    for frame in (
        VARIANTS, COUNTS, CANDIDATES, LAYER_ERROR, HISTOGRAM, ACCURACY, LATENCY, MEMORY, TRADEOFFS, PUBLISHED, HISTORY,
        CLASSIFICATION, AUDIT,
    )
}  # fmt: skip

# What `record` adds to every row: where the number came from.
PROVENANCE = ("notebook", "profile", "effnet_lab", "tensorflow", "litert", "quantizer")


def build(frame: Frame, rows: list[dict]) -> pd.DataFrame:
    """Rows to a table with the frame's columns in their order, also when there are none."""
    return require(pd.DataFrame(rows, columns=list(frame.columns)), frame, caller="build")


def require(table: pd.DataFrame, frame: Frame, *, caller: str) -> pd.DataFrame:
    """Return the table, or say which columns are missing and which key stands twice.

    Raises
    ------
    ValueError
        If a column of the frame is absent or two rows share the frame's key.
    """
    missing = [column for column in frame.columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{caller} needs a {frame.name} frame. Missing columns: {', '.join(missing)}. Got: {', '.join(table.columns)}."
        )
    twice = table.duplicated(list(frame.keys))
    if twice.any():
        key = table.loc[twice, list(frame.keys)].iloc[0].to_dict()
        raise ValueError(f"{caller}: two rows of the {frame.name} frame have the key {key}.")
    return table
