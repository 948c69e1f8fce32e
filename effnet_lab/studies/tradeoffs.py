"""What accuracy, latency, size and memory cost each other, and which file to take for a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from effnet_lab import frames
from effnet_lab.frames.kinds import plain
from effnet_lab.names import UserError
from effnet_lab.studies.fronts import not_told_apart

KIB = 1024
WORTH_NAMING = 0.95  # of the size of the most accurate file: one that saves less is no other choice


def join_tradeoffs(accuracy: pd.DataFrame, latency: pd.DataFrame, memory: pd.DataFrame) -> pd.DataFrame:
    """TRADEOFFS frame: the rows that all three have, one per file."""
    keys = list(frames.MODEL_FILE)
    table = accuracy.merge(latency, on=keys, validate="one_to_one").merge(memory, on=keys, validate="one_to_one")
    return frames.require(table[list(frames.TRADEOFFS.columns)], frames.TRADEOFFS, caller="join_tradeoffs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a board can give and a user wants; None is no limit."""

    max_ms: float | None = None  # median latency on the host where it was measured
    max_ram_kib: float | None = None  # arena where it was measured, else the peak of the activations
    max_flash_kib: float | None = None  # file size
    min_top1: float | None = None  # fraction

    def __post_init__(self) -> None:
        for name in ("max_ms", "max_ram_kib", "max_flash_kib", "min_top1"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} must be > 0, or left out. Got {value}.")
        if self.min_top1 is not None and self.min_top1 > 1:
            raise UserError(f"min_top1 is a fraction. Got {self.min_top1}. Did you mean {self.min_top1 / 100:g}?")

    def missed(self, row: pd.Series) -> list[tuple[str, float]]:
        """The needs that a TRADEOFFS row does not meet: its number in words, and by what share it misses.

        What was not measured meets no need.
        """
        cells = (
            (self.max_ms, row["p50_ms"], "{:.3g} ms"),
            (self.max_ram_kib, _ram(row) / KIB, "{:.0f} KiB of RAM"),
            (self.max_flash_kib, row["size_bytes"] / KIB, "{:.0f} KiB of flash"),
        )
        out = [
            (words.format(value), value / limit - 1)
            for limit, value, words in cells
            if limit is not None and not value <= limit
        ]
        if self.min_top1 is not None and not row["top1"] >= self.min_top1:
            out.append((f"top-1 {row['top1']:.1%}", 1 - row["top1"] / self.min_top1))
        return out

    def __str__(self) -> str:
        """In words, for a sentence."""
        limits = (self.max_ms, "ms"), (self.max_ram_kib, "KiB of RAM"), (self.max_flash_kib, "KiB of flash")
        said = [f"at most {plain(float(value))} {unit}" for value, unit in limits if value is not None]
        said += [] if self.min_top1 is None else [f"top-1 of at least {self.min_top1:.1%}"]
        return ", ".join(said) or "no limit"


def choose_row(
    table: pd.DataFrame,
    needs: Needs | None = None,
    *,
    max_ms: float | None = None,
    max_ram_kib: float | None = None,
    max_flash_kib: float | None = None,
    min_top1: float | None = None,
    pairs: pd.DataFrame | None = None,
) -> tuple[pd.Series, str]:
    """Which row of a TRADEOFFS frame to take for `needs`, or for limits that are given one by one: a bool Series, and why.

    The most accurate of those that meet the needs; of those whose accuracy the images cannot tell from its own, the smallest
    is named too if it saves a twentieth. Files that saw the same images are told apart by the paired test in `pairs`, a
    COMPARISON frame; others where their intervals do not overlap.
    """
    needs = needs or Needs(max_ms=max_ms, max_ram_kib=max_ram_kib, max_flash_kib=max_flash_kib, min_top1=min_top1)
    missed: dict[Any, list[tuple[str, float]]] = {index: needs.missed(row) for index, row in table.iterrows()}
    fits = pd.Series([not missed[index] for index in table.index], index=table.index)
    if not fits.any():
        nearest = min(missed, key=lambda index: sum(share for _, share in missed[index]))
        has = ", ".join(words for words, _ in missed[nearest])
        return fits, f"{_capital(str(needs))}: nothing fits. {_name(table.loc[nearest])} comes nearest, but has {has}."
    rows = table[fits].sort_values(["top1", "p50_ms"], ascending=[False, True])
    best = rows.iloc[0]
    words = (
        f"{_capital(str(needs))}: take {_name(best)}, top-1 {best['top1']:.1%} ({best['top1_lo']:.1%} to {best['top1_hi']:.1%}, "
        f"n = {best['n_images']:,.0f}), {best['p50_ms']:.3g} ms, {_ram(best) / KIB:,.0f} KiB of RAM, "
        f"{best['size_bytes'] / KIB:,.0f} KiB of flash."
    )
    alike = rows[not_told_apart(rows, pairs)].drop(index=best.name)
    smaller = alike[alike["size_bytes"] < WORTH_NAMING * best["size_bytes"]]
    if len(smaller):
        other = smaller.sort_values("size_bytes").iloc[0]
        words += (
            f" {_name(other)} is not told apart from it by these images ({other['top1']:.1%}) and needs "
            f"{other['size_bytes'] / KIB:,.0f} KiB of flash, {_ram(other) / KIB:,.0f} KiB of RAM, {other['p50_ms']:.3g} ms."
        )
    return pd.Series(table.index == best.name, index=table.index), words


def _ram(row: pd.Series) -> float:
    arena = row.get("arena_bytes", float("nan"))
    return float(row["peak_activation_bytes"] if np.isnan(arena) else arena)


def _name(row: pd.Series) -> str:
    return " ".join(filter(None, (row[key] for key in frames.MODEL_FILE)))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
