"""What a table says, in one sentence: frame in, sentence out. The report opens with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from effnet_lab.frames import (
    ACTIVATION_STYLE,
    CHANGED,
    CLAIMS,
    COMPARISON,
    ETHOSU,
    FOOTPRINT,
    REPAIR,
    VERDICTS,
    column,
    require,
)
from effnet_lab.view.text import short_layer

KIB = 1024
SIGNIFICANT = 0.05  # p-values below it tell two files apart
MOSTLY_DB = 3.0  # half of an error is the layer's own where its own is no more than this below it
NOT_AT_FAULT = ("healthy", "upstream")


def worst_layer(verdicts: pd.DataFrame) -> str:
    """The layer that a VERDICTS frame of one file says most about: the gravest fault, else the largest error; "" if unknown."""
    rows = require(verdicts, VERDICTS, caller="worst_layer")
    faulty = rows[~rows["verdict"].isin(NOT_AT_FAULT)]
    if len(faulty):
        return str(faulty.sort_values(["bits_lost", "sqnr_accumulated_db"], ascending=[False, True])["layer"].iloc[0])
    known = rows.dropna(subset="sqnr_accumulated_db").sort_values("sqnr_accumulated_db", kind="stable")
    return str(known["layer"].iloc[0]) if len(known) else ""


def worst_layer_sentence(verdicts: pd.DataFrame) -> str:
    """Which layer is worst and why, of a VERDICTS frame of one file."""
    rows = require(verdicts, VERDICTS, caller="worst_layer_sentence")
    file = " ".join(filter(None, rows[["model", "scheme", "backend"]].iloc[0]))
    if not (name := worst_layer(rows)):
        return f"No layer of {file} is at fault."
    worst = rows[rows["layer"] == name].iloc[0]
    n_faulty = int((~rows["verdict"].isin(NOT_AT_FAULT)).sum())
    if not n_faulty:
        own = worst["sqnr_local_db"] - worst["sqnr_accumulated_db"] < MOSTLY_DB
        by = "by its own rounding" if own else "by roundings that add up"
        return (
            f"No layer of {file} is at fault. The error is largest in {short_layer(name, 60)}, "
            f"{worst['sqnr_accumulated_db']:.1f} dB, {by}."
        )
    more = f" {n_faulty - 1} more {_layers(n_faulty - 1)} at fault." if n_faulty > 1 else ""
    return " ".join(f"{short_layer(name, 60)} of {file} is {worst['verdict']}. {worst['sentence']}{more}".split())


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
        parts.append(f"{what} points ({low:z.1f} to {high:z.1f}){by}{told}")
    if not parts:
        return f"No int8 file of {model} was compared with its float file."
    float_top1, n = rows["against_top1"].iloc[0], int(rows["n_images"].iloc[0])
    return f"{model}: quantization {'; it '.join(parts)}. In float its top-1 is {float_top1:.1%} on {n:,} images."


def changed_sentence(changed: pd.DataFrame, n_images: int) -> str:
    """On how many images two networks differ, and who is right there; of a CHANGED frame of one pair."""
    rows = require(changed, CHANGED, caller="changed_sentence")
    same = n_images - len(rows)
    words = f"The answer stays the same on {same:,} of {n_images:,} images."
    if rows.empty or not rows["label"].any():
        return words
    before, after = (int((rows[name] == rows["label"]).sum()) for name in ("predicted", "against_predicted"))
    neither = len(rows) - before - after
    return (
        f"{words} Where it changes, float alone is right on {before:,}, the quantized file alone on {after:,}, and neither "
        f"on {neither:,}."
    )


def fit_sentence(footprint: pd.DataFrame, board: Mapping[str, Any]) -> str:
    """Whether a file has room on a board, of a FOOTPRINT frame with one row and a row of a BOARDS frame."""
    row = require(footprint, FOOTPRINT, caller="fit_sentence").iloc[0]
    has = {"flash": board["board_flash_bytes"], "RAM": board["board_ram_bytes"]}
    needs = {"flash": row["flash_bytes"], "RAM": row["arena_bytes"]}
    cells = [f"{needs[kind] / KIB:,.0f} of {has[kind] / KIB:,.0f} KiB of {kind}" for kind in has]
    short = [kind for kind in has if needs[kind] > has[kind]]
    verdict = f"does not fit: too little {' and '.join(short)}" if short else "fits"
    return (
        f"{row['model']} {row['scheme']} {verdict} on {board['board']} ({board['processor']}). It takes {' and '.join(cells)}; "
        "the program itself comes on top."
    )


def npu_sentence(ethosu: pd.DataFrame) -> str:
    """What an NPU takes of a file, of an ETHOSU frame with one row."""
    row = require(ethosu, ETHOSU, caller="npu_sentence").iloc[0]
    if not row["npu_ops"]:
        return f"{row['accelerator']} takes none of the {row['cpu_ops']:,.0f} ops of {row['model']} {row['scheme']}."
    left = (
        f"{row['cpu_ops']:,.0f} stay on the CPU, so this is a lower bound"
        if row["cpu_ops"]
        else "none stays on the CPU"
    )
    return (
        f"{row['accelerator']} takes {row['npu_ops']:,.0f} ops of {row['model']} {row['scheme']}, {left}: "
        f"{row['inference_ms']:.3g} ms estimated, {row['sram_used_bytes'] / KIB:,.0f} KiB of SRAM."
    )


def repair_sentence(gain: pd.DataFrame) -> str:
    """The last repair that was taken, or else the best, and what it gains over the unrepaired file; of one model's REPAIR."""
    rows = require(gain, REPAIR, caller="repair_sentence")
    quantized = rows[(rows["scheme"] != "float32") & rows["difference"].notna()]
    repaired = quantized[quantized["steps"] != "none"]
    if repaired.empty:
        return "No repair was tried."
    if (repaired["decision"] == "left").all():
        return f"None of {len(repaired)} repairs helps by more than its noise on the held-out images: none was taken."
    taken = repaired[repaired["decision"] == "taken"]
    best = taken.iloc[-1] if len(taken) else repaired.sort_values("top1", ascending=False, kind="stable").iloc[0]
    before = best["top1"] - best["difference"]
    gained, low, high = (100 * best[name] for name in ("difference", "difference_lo", "difference_hi"))
    told = "" if best["p_value"] < SIGNIFICANT else " These images do not tell that from nothing."
    return (
        f"{best['steps'].replace('+', ', ')} takes {best['model']} {best['scheme']} from {before:.1%} to {best['top1']:.1%}: "
        f"{gained:+z.1f} points ({low:+z.1f} to {high:+z.1f}) on {best['n_images']:,.0f} images.{told}"
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


def effects_sentence(effects: pd.DataFrame) -> str:
    """Which parameter of a grid moves a number most, and how much only two together do; a GRID_EFFECTS frame of one number."""
    alone, pairs = effects[effects["with_parameter"] == ""], effects[effects["with_parameter"] != ""]
    ranked = alone.sort_values("variance_share", ascending=False)
    what = column(str(effects["quantity"].iloc[0]))
    shares = [f"{row['parameter']} {row['variance_share']:.0%}" for row in ranked.to_dict("records")]
    most = ranked.iloc[0]
    sentence = (
        f"Of the variance of the {what.heading} over {most['n_files']} files, {', '.join(shares)}; it is lowest at "
        f"{most['parameter']} {most['lowest_at']} ({what.write(most['lowest_mean'])} on average) and highest at "
        f"{most['highest_at']} ({what.write(most['highest_mean'])})."
    )
    strongest = pairs.sort_values("variance_share", ascending=False).head(1).to_dict("records")
    for pair in strongest:
        sentence += (
            f" The strongest pair is {pair['parameter']} with {pair['with_parameter']}: "
            f"{pair['variance_share']:.0%} more than both alone."
        )
    return sentence


def claims_sentence(claims: pd.DataFrame) -> str:
    """How many published numbers got which verdict, of a CLAIMS frame."""
    counts = require(claims, CLAIMS, caller="claims_sentence")["verdict"].value_counts()
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"Of {len(claims)} published numbers: {words}."


def _layers(n: int) -> str:
    return "layer is" if n == 1 else "layers are"
