"""One layer as a card: its verdict, five numbers, the range it uses against the range of its codes; all else one click away."""

from __future__ import annotations

import math
from html import escape

import pandas as pd

from effnet_lab.frames import LAYER_ERROR
from effnet_lab.view import theme
from effnet_lab.view.figures.verdicts import LOOK
from effnet_lab.view.table import heading, write_value
from effnet_lab.view.text import short_layer, wrapped_layer

N_NUMBERS = 5
FIRST = (  # the first five of these that were measured
    "sqnr_accumulated_db", "sqnr_local_db", "sqnr_effect_db", "weight_sqnr_db", "saturation_share", "effective_bits",
    "rmse_over_scale", "max_error",
)  # fmt: skip
GRIDS = ((-128, 127), (0, 255))  # int8, uint8
GRID16 = (-32768, 32767)
BAR_PX = 420
_STYLE = (
    "border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:8px 14px;margin:4px 0;max-width:60rem;"
    "line-height:1.45;font-size:13px"
)


def layer_card(row: pd.Series, verdict: pd.Series | None = None) -> str:
    """HTML of one layer.

    Parameters
    ----------
    row : Series
        A row of a LAYER_ERROR frame.
    verdict : Series, optional
        The row of a VERDICTS frame about the same layer.
    """
    known = [name for name in FIRST if name in row.index and pd.notna(row[name])][:N_NUMBERS]
    numbers = "".join(
        f'<div><div style="font-size:17px;font-weight:600">{write_value(name, row[name])}</div>'
        f'<div style="opacity:.75;max-width:11rem">{escape(heading(name))}</div></div>'
        for name in known
    )
    return (
        f'<div class="effnet-card" style="{_STYLE}"><div style="font-size:15px"><b>{escape(short_layer(row["layer"], 60))}</b>'
        f" · {escape(str(row['op']))}{_chip(verdict)}</div>{_words(verdict)}"
        f'<div style="display:flex;flex-wrap:wrap;gap:8px 28px;margin:8px 0">{numbers}</div>'
        f"{_ranges(row)}{_everything(row)}</div>"
    )


def _chip(verdict: pd.Series | None) -> str:
    if verdict is None:
        return ""
    color = LOOK.get(verdict["verdict"], (theme.GREY, ""))[0]
    return (
        f' <span style="background:{color};color:#fff;border-radius:4px;padding:1px 8px;margin-left:6px">'
        f"{escape(verdict['verdict'])}</span>"
    )


def _words(verdict: pd.Series | None) -> str:
    if verdict is None:
        return ""
    text = " ".join(str(verdict[name]) for name in ("sentence", "remedy") if verdict[name])
    return f'<div style="margin-top:4px">{escape(text)}</div>'


def code_range(row: pd.Series) -> tuple[float, float] | None:
    """Lowest and highest real value that the codes can say; of int8 and uint8 the one that fits the values better."""
    if not all(name in row.index and pd.notna(row[name]) for name in ("scale", "zero_point", "float_min", "float_max")):
        return None
    grids = (GRID16,) if "ai16" in str(row.get("scheme", "")) else GRIDS
    ends = [tuple(float(row["scale"]) * (code - float(row["zero_point"])) for code in grid) for grid in grids]
    low, high = max(ends, key=lambda grid: min(grid[1], row["float_max"]) - max(grid[0], row["float_min"]))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _ranges(row: pd.Series) -> str:
    """Two bars over each other on one scale: what the codes reach, and what the float values take of it."""
    codes = code_range(row)
    if codes is None:
        return ""
    low, high = min(codes[0], row["float_min"]), max(codes[1], row["float_max"])
    span = (high - low) or 1.0
    bars = "".join(
        f'<div style="display:flex;align-items:center;gap:10px"><span style="width:8.5rem">{name}</span>'
        f'<div style="position:relative;width:{BAR_PX}px;height:10px">'
        f'<div style="position:absolute;height:10px;border-radius:2px;'
        f"background:{color};left:{100 * (start - low) / span:.2f}%;width:{max(100 * (stop - start) / span, 0.4):.2f}%"
        f'"></div></div><span>{start:.4g} … {stop:.4g}</span></div>'
        for name, (start, stop), color in (
            ("range of the codes", codes, theme.SKY),
            ("range of the values", (row["float_min"], row["float_max"]), theme.ORANGE),
        )
    )
    used = min(row["float_max"], codes[1]) - max(row["float_min"], codes[0])
    share = max(used, 0.0) / ((codes[1] - codes[0]) or 1.0)
    return (
        f'<div style="margin:6px 0">{bars}<div style="opacity:.75">The values use {share:.0%} of the codes.</div></div>'
    )


def _everything(row: pd.Series) -> str:
    """All that was measured, folded."""
    known = [name for name in LAYER_ERROR.columns if name != "layer" and name in row.index and pd.notna(row[name])]
    lines = "".join(
        f'<tr><td style="padding:1px 14px 1px 0;text-align:left">{escape(heading(name))}</td>'
        f'<td style="text-align:left">{escape(write_value(name, row[name]))}</td></tr>'
        for name in known
        if row[name] != ""
    )
    full = wrapped_layer(row["layer"], lines=8, limit=160)
    return f"<details><summary>Everything measured</summary><div>{full}</div><table>{lines}</table></details>"
