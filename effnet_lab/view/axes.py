"""What a column is called on an axis and how its numbers are written: one table for all figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from effnet_lab.names import lookup


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Title with unit, scale, and number formats of one column."""

    title: str
    log: bool = False
    better: str = ""  # "low", "high", or neither
    ticks: str = ""  # d3 format of the tick labels
    number: str = ".4g"  # Python format in hover texts and sentences

    def layout(self, values: ArrayLike = ()) -> dict[str, object]:
        """Arguments for ``fig.update_xaxes`` and ``fig.update_yaxes``; the values on the axis decide how dense ticks are.

        Left alone, plotly labels nine ticks per decade when it has room for them, and they run into each other.
        """
        out = {"title_text": self.title, "type": "log" if self.log else "linear", "tickformat": self.ticks}
        values = np.asarray(values, dtype=float)
        values = values[np.isfinite(values) & (values > 0)]
        if self.log and values.size and values.max() > 2 * values.min():
            out["dtick"] = "D2" if values.max() > 4 * values.min() else "D1"  # labels at 1 2 5, or at 1 2 3 ... 9
        return out

    def write(self, value: float) -> str:
        """The value as text; what is NaN was not measured."""
        if isinstance(value, float) and math.isnan(value):
            return "not measured"
        return format(int(value) if self.number == ",d" else value, self.number)


def _count(title: str) -> Axis:
    return Axis(title=title, log=True, better="low", ticks="~s", number=",d")


def _decibel(title: str) -> Axis:
    return Axis(title=f"{title} (dB)", better="high", number=".1f")


def _fraction(title: str) -> Axis:
    return Axis(title=title, better="high", ticks="~%", number=".2%")


def _time(title: str) -> Axis:
    return Axis(title=f"{title} (ms, this host)", log=True, better="low", ticks="~g", number=".3g")


AXES = {
    "width": Axis(title="width multiplier (lite0 = 1)", number=".3g"),
    "depth": Axis(title="depth multiplier (lite0 = 1)", number=".3g"),
    "phi": Axis(title="compound coefficient phi", number=".2f"),
    "resolution_px": Axis(title="input side (px)", number=",d"),
    "out_side_px": Axis(title="output side (px)", number=",d"),
    "out_channels": Axis(title="output channels", number=",d"),
    "score": Axis(title="probability", better="high", ticks="~%", number=".2%"),
    "p_value": Axis(title="p (McNemar)", number=".2g"),
    "params": _count("parameters"),
    "madds": _count("MAdds per image"),
    "published_params": _count("parameters, published"),
    "published_madds": _count("MAdds, published"),
    "activation_bytes": _count("output in int8 (bytes)"),
    "peak_activation_bytes": _count("peak activations in int8 (bytes)"),
    "weight_bytes": _count("int8 weights (bytes)"),
    "flash_bytes": _count("int8 weights (bytes)"),
    "size_bytes": _count("file size (bytes)"),
    "width_of_range": Axis(
        title="width of the widest activation range (real units)", log=True, ticks="~g", number=".3g"
    ),
    "top1": _fraction("top-1 accuracy"),
    "top5": _fraction("top-5 accuracy"),
    "train_top1": _fraction("top-1 accuracy, training"),
    "validation_top1": _fraction("top-1 accuracy, validation"),
    "published_top1": _fraction("top-1 accuracy, published"),
    "published_int8_top1": _fraction("top-1 accuracy of int8, published"),
    "p50_ms": _time("latency p50"),
    "p90_ms": _time("latency p90"),
    "uninterrupted_ms": Axis(title="time (ms, this host)", better="low", number=".3g"),
    "share": Axis(title="share", ticks="~%", number=".1%"),
    "confidence": Axis(title="probability of the first class", ticks="~%", number=".1%"),
    "relative_p50": Axis(title="CPU time p50 / reference's", log=True, better="low", ticks="~g", number=".3g"),
    "sqnr_accumulated_db": _decibel("accumulated SQNR"),
    "sqnr_local_db": _decibel("local SQNR"),
    "sqnr_effect_db": _decibel("SQNR of the logits, this op alone in integers"),
    "sqnr_effect_weights_db": _decibel("SQNR of the logits, its weights alone"),
    "sqnr_effect_activations_db": _decibel("SQNR of the logits, its activations alone"),
    "effect_changed_top1": Axis(title="first class changed by this op alone", better="low", ticks="~%", number=".2%"),
    "max_error": Axis(title="largest error (activation)", log=True, better="low", number=".3g"),
    "rmse_over_scale": Axis(title="RMS error / step (rounding alone: 0.29)", log=True, better="low", number=".3g"),
    "local_rmse_over_scale": Axis(
        title="local RMS error / step (rounding: 0.29)", log=True, better="low", number=".3g"
    ),
    "effective_bits": Axis(title="effective bits", better="high", number=".2f"),
    "bias": Axis(title="mean error (activation)", number=".3g"),
    "local_mse": Axis(title="local mean squared error (activation²)", log=True, better="low", ticks="~e", number=".3g"),
    "local_bias": Axis(title="local mean error (activation)", number=".3g"),
    "float_min": Axis(title="smallest float value (activation)", number=".4g"),
    "float_max": Axis(title="largest float value (activation)", number=".4g"),
    "n_channels": Axis(title="channels", number=",d"),
    "n_dead_channels": Axis(title="channels with one code throughout", better="low", number=",d"),
    "arena_bytes": _count("arena of a microcontroller (bytes)"),
    "saturation_share": Axis(title="values beyond the codes", better="low", ticks="~%", number=".2%"),
    "weight_sqnr_db": _decibel("SQNR of the weights"),
    "weight_worst_channel_sqnr_db": _decibel("SQNR of the worst weight channel"),
    "mse": Axis(title="mean squared error (activation²)", log=True, better="low", ticks="~e", number=".3g"),
    "cosine": Axis(title="cosine similarity", better="high", number=".6f"),
    "scale": Axis(title="quantization step (scale)", number=".4g"),
    "zero_point": Axis(title="zero point", number=",d"),
    "n_images": Axis(title="images", number=",d"),
    "n_runs": Axis(title="runs", number=",d"),
    "epoch": Axis(title="epoch", number=",d"),
    "loss": Axis(title="loss (cross-entropy, nats)", better="low", number=".4f"),
}


def axis(column: str, unit: str = "") -> Axis:
    """The column's axis, or a plain linear one that bears its name."""
    return AXES.get(column, Axis(title=f"{column} ({unit})" if unit else column))


def choose(column: str, columns: Iterable[str]) -> Axis:
    """The axis of a column that must be one of `columns`; an unknown name is the user's mistake."""
    return lookup("axis", column, {name: axis(name) for name in columns})


def interval(column: str) -> tuple[str, str]:
    """Names of the columns with the ends of its interval: top1 -> top1_lo, top1_hi; p50_ms -> p50_lo_ms, p50_hi_ms."""
    for unit in ("_ms", "_db", "_bytes", "_px"):
        if column.endswith(unit):
            stem = column.removesuffix(unit)
            return f"{stem}_lo{unit}", f"{stem}_hi{unit}"
    return f"{column}_lo", f"{column}_hi"


def error_bars(
    rows: pd.DataFrame, column: str, color: str | None = None, *, thickness: float = 1, width: float = 3
) -> dict[str, object] | None:
    """Asymmetric bars to the ends of a column's interval, for ``error_x`` and ``error_y``; None where it has none."""
    lo, hi = interval(column)
    if lo not in rows or rows[lo].isna().all():
        return None
    ends = {"array": rows[hi] - rows[column], "arrayminus": rows[column] - rows[lo]}
    return {"type": "data", "symmetric": False, "color": color, "thickness": thickness, "width": width} | ends
