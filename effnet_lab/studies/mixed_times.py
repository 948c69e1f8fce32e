"""What layers take here in each precision, and what stands between two kinds of activations, all by the clock of the float file.

A machine is faster in one minute than in the next, so no two times are compared that were not taken in turn: a profile says how
the time of a file is shared among its operators, and how long the file takes is measured beside the float file, run by run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from effnet_lab.analysis.precision import FLOAT, KINDS, PRECISIONS, Candidates, Program, time_costs
from effnet_lab.analysis.precision.costs import SwitchTime, is_conversion
from effnet_lab.bench import measure_latency, profile
from effnet_lab.litert import Graph, read_graph

SLOW = 6.0  # times the float file: in rounds with such a file nothing else would be timed
FEW_RUNS = 10
LATE = 12  # layers at the end of a network: cheap in int16, too
_KINDS = {"int8": 0, "int16": 1, "float32": 2}  # of activations, by their type
_IN_TURN = {  # what the layers have in turn, so that every two kinds meet
    "int8 and float": ("int8", "float32", "float32", "int8"),
    "int16": ("int8", "int16x8", "float32", "int16x8"),
}  # fmt: skip


def uniform_profiles(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """PROFILE frames of files in one precision throughout; their sums are CPU times taken in turn with the float file.

    Parameters
    ----------
    files : mapping of precision to path
        With the float file.
    """
    found = {name: profile(file) for name, file in files.items()}
    whole = found[FLOAT].uninterrupted_ms
    quick = [name for name in files if name != FLOAT and found[name].uninterrupted_ms < SLOW * whole]
    latency = measure_latency([files[FLOAT], *(files[name] for name in quick)])
    clock = float(latency["cpu_p50_ms"].iloc[0])
    ratios = dict(zip(quick, latency["relative_p50"].iloc[1:].astype(float), strict=True))
    tables = {}
    for name, made in found.items():
        total = clock * ratios.get(name, made.uninterrupted_ms / whole)
        times = made.table["uninterrupted_ms"]
        tables[name] = made.table.assign(uninterrupted_ms=times * (total / times.sum()))
    return tables


def choices_in_turn(candidates: Candidates) -> tuple[tuple[int, ...], ...]:
    """Precisions, one per row of the candidates, by which every two kinds of activations meet; none where there is no choice."""
    found = []
    for name, turn in _IN_TURN.items():
        chosen = [PRECISIONS.index("int8")] * len(candidates.allowed)
        for row in range(len(candidates))[-LATE if name == "int16" else 0 :]:
            column = PRECISIONS.index(turn[row % len(turn)])
            if candidates.allowed[row, column]:
                chosen[row] = column
        if len(set(chosen)) > 1:
            found.append(tuple(chosen))
    return tuple(found)


def switch_times(
    candidates: Candidates,
    profiles: Mapping[str, pd.DataFrame],
    files: Mapping[tuple[int, ...], Path],
    float_path: Path,
) -> dict[tuple[int, int], SwitchTime]:
    """What a conversion takes, by the kinds before and after.

    A profiler, which counts whole microseconds, shows what each value costs. What a file takes as a whole beyond its layers and
    its values is the cost of having conversions at all, shared among them.

    Parameters
    ----------
    candidates : Candidates
    profiles : mapping of precision to PROFILE frame
        By which the layers are known.
    files : mapping of precisions to path
        In which kinds meet, see `choices_in_turn`.
    float_path : path
    """
    clock_ms = float(profiles[FLOAT]["uninterrupted_ms"].sum())
    whole = profile(float_path, FEW_RUNS).uninterrupted_ms
    seen = {chosen: profile(file, FEW_RUNS) for chosen, file in files.items()}
    sums: dict[tuple[int, int], list[float]] = {}
    for chosen, made in seen.items():
        for kinds, ms, values in _conversions(read_graph(files[chosen]), made.table):
            sums.setdefault(kinds, [0.0, 0.0])
            sums[kinds][0] += ms * clock_ms / whole
            sums[kinds][1] += values
    found = {kinds: SwitchTime(ms / max(values, 1.0)) for kinds, (ms, values) in sums.items()}
    known: set[tuple[int, int]] = set()
    for chosen, made in seen.items():
        if made.uninterrupted_ms > SLOW * whole:  # a percent of it is more than all conversions
            continue
        costs = time_costs(candidates, profiles, found)
        program = Program(
            loss=np.zeros_like(costs.layers), kinds=KINDS, edges=candidates.edges, resources={"ms": costs}
        )
        met = Counter(
            (KINDS[chosen[a]], KINDS[chosen[b]]) for a, b in candidates.edges if KINDS[chosen[a]] != KINDS[chosen[b]]
        )
        new = {kinds: n for kinds, n in met.items() if kinds not in known}
        taken = float(measure_latency([float_path, files[chosen]])["relative_p50"].iloc[1]) * clock_ms
        each = max(taken - program.use(chosen, "ms"), 0.0) / max(sum(new.values()), 1)
        found |= {kinds: found.get(kinds, SwitchTime(0.0))._replace(each_ms=each) for kinds in new}
        known |= set(new)
    return found


def _conversions(graph: Graph, table: pd.DataFrame) -> list[tuple[tuple[int, int], float, int]]:
    """(kinds, milliseconds, values) of each conversion in a file; none where the profile shows others than the file holds."""
    ops = [op for op in graph.ops if op.kind in ("quantize", "dequantize")]
    rows = table[is_conversion(table)]
    if len(rows) != len(ops):
        return []
    found = []
    for op, ms in zip(ops, rows["uninterrupted_ms"], strict=True):
        given, made = (graph.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        kinds = tuple(_KINDS.get(tensor.dtype.name, 0) for tensor in (given, made))
        if kinds[0] != kinds[1]:
            found.append(((kinds[0], kinds[1]), float(ms), math.prod(made.shape)))
    return found
