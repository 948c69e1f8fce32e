"""What a table says, in one sentence: frame in, sentence out. The report opens with them."""

from __future__ import annotations

import pandas as pd

from effnet_lab.frames import ACTIVATION_STYLE, CLAIMS, COMPARISON, REPAIR, VERDICTS, require
from effnet_lab.view.text import short_layer

SIGNIFICANT = 0.05  # p-values below it tell two files apart
NOT_AT_FAULT = ("healthy", "upstream")


def worst_layer_sentence(verdicts: pd.DataFrame) -> str:
    """Which layer is worst and why, of a VERDICTS frame of one file."""
    rows = require(verdicts, VERDICTS, caller="worst_layer_sentence")
    file = " ".join(filter(None, rows[["model", "scheme", "backend"]].iloc[0]))
    faulty = rows[~rows["verdict"].isin(NOT_AT_FAULT)]
    if len(faulty):
        worst = faulty.sort_values(["bits_lost", "sqnr_accumulated_db"], ascending=[False, True]).iloc[0]
        more = f" {len(faulty) - 1} more {_layers(len(faulty) - 1)} at fault." if len(faulty) > 1 else ""
        words = f"{short_layer(worst['layer'], 60)} of {file} is {worst['verdict']}. {worst['sentence']}{more}"
        return " ".join(words.split())
    known = rows.dropna(subset="sqnr_accumulated_db")
    if known.empty:
        return f"No layer of {file} is at fault."
    worst = known.sort_values("sqnr_accumulated_db", kind="stable").iloc[0]
    return (
        f"No layer of {file} is at fault. The error is largest in {short_layer(worst['layer'], 60)}, "
        f"{worst['sqnr_accumulated_db']:.1f} dB, by roundings that add up."
    )


def cost_sentence(comparison: pd.DataFrame, model: str) -> str:
    """What int8 costs a model, with interval, of a COMPARISON frame of quantized files against float ones."""
    rows = require(comparison, COMPARISON, caller="cost_sentence")
    rows = rows[rows["model"] == model]
    parts = []
    for row in rows.to_dict("records"):
        lost, low, high = (-100 * row[name] + 0.0 for name in ("difference", "difference_hi", "difference_lo"))
        what = f"costs {lost:.1f}" if lost >= 0 else f"gains {-lost:.1f}"
        low, high = (low, high) if lost >= 0 else (-high, -low)
        told = "" if row["p_value"] < SIGNIFICANT else ", which these images cannot tell from no change"
        by = f" by {row['backend']}" if row["backend"] else ""
        parts.append(f"{what} points ({low:.1f} to {high:.1f}){by}{told}")
    if not parts:
        return f"No int8 file of {model} was compared with its float file."
    float_top1, n = rows["against_top1"].iloc[0], int(rows["n_images"].iloc[0])
    return f"{model}: quantization {'; it '.join(parts)}. In float its top-1 is {float_top1:.1%} on {n:,} images."


def repair_sentence(gain: pd.DataFrame) -> str:
    """The repair with the highest top-1, and what it gains over the unrepaired file; of a REPAIR frame of one model."""
    rows = require(gain, REPAIR, caller="repair_sentence")
    quantized = rows[(rows["scheme"] != "float32") & rows["difference"].notna()]
    repaired = quantized[quantized["steps"] != "none"]
    if repaired.empty:
        return "No repair was tried."
    best = repaired.sort_values("top1", ascending=False, kind="stable").iloc[0]
    before = best["top1"] - best["difference"]
    gained, low, high = (100 * best[name] for name in ("difference", "difference_lo", "difference_hi"))
    told = "" if best["p_value"] < SIGNIFICANT else " These images do not tell that from nothing."
    return (
        f"{best['steps'].replace('+', ', ')} takes {best['model']} {best['scheme']} from {before:.1%} to {best['top1']:.1%}: "
        f"{gained:+.1f} points ({low:+.1f} to {high:+.1f}) on {best['n_images']:,.0f} images.{told}"
    )


def style_sentence(styles: pd.DataFrame) -> str:
    """What int8 costs each activation style at the narrowest and widest ranges; of an ACTIVATION_STYLE frame."""
    rows = require(styles, ACTIVATION_STYLE, caller="style_sentence")
    rows = rows[rows["granularity"] == "channel"]
    parts = []
    for model, mine in rows.groupby("model", sort=False):
        ends = mine.sort_values("widening")
        name = f"{ends['activation'].iloc[0]}{' with gates' if bool(ends['squeeze_excite'].iloc[0]) else ''} ({model})"
        first, last = ends.iloc[0], ends.iloc[-1]
        parts.append(f"{name} keeps {first['int8_top1']:.1%} in int8 as it is and {last['int8_top1']:.1%} "
                     f"with ranges {last['widening']:g} times as wide")  # fmt: skip
    return "; ".join(parts) + "." if parts else "No style was compared."


def claims_sentence(claims: pd.DataFrame) -> str:
    """How many published numbers got which verdict, of a CLAIMS frame."""
    counts = require(claims, CLAIMS, caller="claims_sentence")["verdict"].value_counts()
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"Of {len(claims)} published numbers: {words}."


def _layers(n: int) -> str:
    return "layer is" if n == 1 else "layers are"
