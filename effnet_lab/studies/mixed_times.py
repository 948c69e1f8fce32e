"""What layers take here in each precision, and what stands between two kinds of activations, all by the clock of the float file.

A machine is faster in one minute than in the next, so no two times are compared that were not taken in turn: a profile says how
the time of a file is shared among its operators, and how long the file takes is measured beside the float file, run by run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from effnet_lab.analysis.precision import FLOAT, PRECISIONS, Candidates
from effnet_lab.analysis.precision.costs import is_conversion
from effnet_lab.bench import measure_latency, profile
from effnet_lab.litert import read_graph
from effnet_lab.quantize.recipes import ALL, Recipe, literal
from effnet_lab.quantize.schemes import get_scheme

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


def recipes_in_turn(candidates: Candidates) -> tuple[Recipe, ...]:
    """Recipes by which every two kinds of activations meet; none where a layer has no choice."""
    found = []
    for name, turn in _IN_TURN.items():
        rows = range(len(candidates))[-LATE if name == "int16" else 0 :]
        chosen = {row: turn[row % len(turn)] for row in rows}
        rules = [
            (literal(candidates.names[row]), get_scheme(precision))
            for row, precision in chosen.items()
            if precision != "int8" and candidates.allowed[row, PRECISIONS.index(precision)]
        ]
        if rules:
            found.append(Recipe(rules=((ALL, get_scheme("int8")), *rules)))
    return tuple(found)


def switch_times(files: list[Path], float_path: Path, clock_ms: float) -> dict[tuple[int, int], float]:
    """Milliseconds for one value that is converted, by the kinds before and after.

    Parameters
    ----------
    files : list of path
        In which kinds meet.
    float_path : path
    clock_ms : float
        What the float file takes, by which the times are put on its clock.
    """
    taken: dict[tuple[int, int], list[float]] = {}
    faster = clock_ms / profile(float_path, FEW_RUNS).uninterrupted_ms
    for file in files:
        graph, table = read_graph(file), profile(file, FEW_RUNS).table
        ops = [op for op in graph.ops if op.kind in ("quantize", "dequantize")]
        rows = table[is_conversion(table)]
        if len(rows) != len(ops):
            continue
        for op, ms in zip(ops, rows["uninterrupted_ms"], strict=True):
            given, made = (graph.tensors[i] for i in (op.inputs[0], op.outputs[0]))
            kinds = tuple(_KINDS.get(tensor.dtype.name, 0) for tensor in (given, made))
            sums = taken.setdefault((kinds[0], kinds[1]), [0.0, 0.0])
            sums[0] += float(ms) * faster
            sums[1] += math.prod(made.shape)
    return {kinds: ms / max(values, 1.0) for kinds, (ms, values) in taken.items() if kinds[0] != kinds[1]}
