"""Latency as a regression test: CPU time relative to a reference file, against a stored profile of the same host."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from effnet_lab.bench import measure_latency
from effnet_lab.bench.machine import ratio_holds
from effnet_lab.names import UserError
from effnet_lab.paths import write_atomically
from effnet_lab.progress import Progress

BLOCKS = 24  # of each measurement, in which the files are opened anew: with 8 a ratio moved by 1 % between measurements
RUNS = 8 * BLOCKS  # counted rounds
ATTEMPTS = 3  # measurements, if other programs come in between
MARGIN = 0.02  # smaller changes are called "same"
LEVEL = 0.995  # of the interval that a change has to lie beyond
BETWEEN, PRIOR = 0.005, 4  # usual standard deviation of a ratio between measurements; counts as much as so many of them
MOST_RUNS = 20  # that a profile keeps
COLUMNS = ("file", "was", "is", "change", "change_lo", "change_hi", "verdict", "guard")


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyChecked:
    """What a comparison with a profile found."""

    table: pd.DataFrame  # COLUMNS, one row per file beside the reference
    stored: int  # runs that the profile has
    kept: bool  # whether this one is among them

    @property
    def slower(self) -> bool:
        """Whether a file is certainly slower than it was."""
        return bool((self.table["verdict"] == "slower").any())


def check_latency(
    models: Sequence[str | Path],
    profile: str | Path,
    *,
    store: bool = False,
    threads: int = 1,
    kernels: str = "xnnpack",
    progress: Progress | None = None,
) -> LatencyChecked:
    """Measure files against a reference, and compare with what a profile of this host says.

    Milliseconds move with the clock of the processor and with its temperature; the ratio of two files that run in turn does not.

    Parameters
    ----------
    models : sequence of path
        The reference, which must not change, then the files in question. Best of the same format, such as the file of the last
        release: what else goes on in a machine moves float and int8 kernels differently.
    profile : path
        JSON file. It belongs to one host, number of threads, kernel path and reference.
    store : bool
        Add this measurement to the profile; the more it has, the better is known how much a ratio moves by itself.
    threads, kernels, progress
        As for `bench`.

    Returns
    -------
    LatencyChecked
        ``verdict`` is "slower" or "faster" where the 99.5 % interval of the change excludes none and the change is above 2 %,
        else "same"; "new" where the profile lacks the file; "none" where other programs came in between, three times.

    Raises
    ------
    UserError
        If there are fewer than two files, or the profile belongs to another host, reference or way of measuring.
    """
    if len(models) < 2:
        raise UserError("A latency is compared with a reference. Give the reference first, then the files in question.")
    place, known = Path(profile), _read(Path(profile), needed=not store)
    for _ in range(ATTEMPTS):
        measured = measure_latency(
            models, threads=threads, kernels=kernels, n_runs=RUNS, n_blocks=BLOCKS, progress=progress
        )
        if ratio_holds(measured["guard"].iloc[0]):
            break
    about = {
        "host": str(measured["host"].iloc[0]), "threads": threads, "kernels": kernels,
        "reference": hashlib.sha256(Path(models[0]).read_bytes()).hexdigest(),
    }  # fmt: skip
    if known and (other := [name for name in about if known["about"].get(name) != about[name]]):
        raise UserError(
            f"{place} is a profile of another {other[0]} ({str(known['about'].get(other[0]))[:40]}). "
            "Name another file, or store a new profile with --store."
        )
    runs: dict[str, list[dict[str, float]]] = known["files"] if known else {}
    rows, kept = [], store and ratio_holds(measured["guard"].iloc[0])
    for path, row in zip(models[1:], measured.iloc[1:].to_dict("records"), strict=True):
        name = Path(path).name
        rows.append({"file": name, "guard": row["guard"]} | _judged(runs.get(name, []), row))
        if kept:
            runs[name] = [*runs.get(name, []), _kept(row)][-MOST_RUNS:]
    if store:
        write_atomically(place, json.dumps({"about": about, "files": runs}, indent=1).encode())
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return LatencyChecked(table=table, stored=max(map(len, runs.values()), default=0), kept=kept)


def _judged(stored: Sequence[Mapping[str, float]], row: Mapping[Any, Any]) -> dict[str, object]:
    """The change of the ratio with its interval, and what follows from it."""
    from scipy.stats import t

    now = _kept(row)
    if not stored:
        return {"was": math.nan, "is": math.exp(now["log"]), "change": math.nan, "change_lo": math.nan,
                "change_hi": math.nan, "verdict": "new"}  # fmt: skip
    logs = pd.Series([run["log"] for run in stored])
    others = len(logs) - 1
    between = math.sqrt((PRIOR * BETWEEN**2 + float(((logs - logs.mean()) ** 2).sum())) / (PRIOR + others))
    within = math.hypot(now["error"], max(run["error"] for run in stored) / math.sqrt(len(stored)))
    error = math.hypot(within, between * math.sqrt(1 + 1 / len(logs)))
    change = now["log"] - float(logs.mean())
    reach = float(t.ppf((1 + LEVEL) / 2, PRIOR + others)) * error
    differs = abs(change) > reach and abs(math.expm1(change)) > MARGIN
    verdict = "same" if not differs else "slower" if change > 0 else "faster"
    return {
        "was": math.exp(float(logs.mean())), "is": math.exp(now["log"]), "change": math.expm1(change),
        "change_lo": math.expm1(change - reach), "change_hi": math.expm1(change + reach),
        "verdict": verdict if ratio_holds(row["guard"]) else "none",
    }  # fmt: skip


def _kept(row: Mapping[Any, Any]) -> dict[str, float]:
    """Logarithm of the ratio and its standard error, from the 95 % interval over the blocks."""
    from scipy.stats import t

    half = (math.log(row["relative_p50_hi"]) - math.log(row["relative_p50_lo"])) / 2
    return {"log": math.log(row["relative_p50"]), "error": half / float(t.ppf(0.975, BLOCKS - 1))}


def _read(path: Path, *, needed: bool) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found["about"], dict) and isinstance(found["files"], dict):
            return {"about": found["about"], "files": found["files"]}
    except FileNotFoundError:
        if not needed:
            return None
        raise UserError(f"There is no latency profile {path}. Make one on this host: --store.") from None
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise UserError(f"{path} is no latency profile. Name another file, or remove it and store a new one.")
