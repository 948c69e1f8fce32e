"""What a layer uses up in each precision: bytes of the file, bytes of RAM while it runs, milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from effnet_lab.analysis.precision.candidates import (
    ACTIVATION_BYTES,
    FLOAT,
    INT4,
    INT16,
    KINDS,
    PER_TENSOR,
    PRECISIONS,
    Candidates,
)
from effnet_lab.analysis.precision.program import Resource

SCALE_BYTES = 12  # a float32 scale and an int64 zero point
SWITCH_BYTES = 300  # an op, a tensor with its name and scale: corrected by the first file that is written
SWITCH_MS = {  # for one value that is converted, by kinds before and after, where it was not measured: XNNPACK, plain kernels
    (0, 2): 1e-7, (2, 0): 1e-7, (0, 1): 5e-6, (1, 0): 5e-6, (1, 2): 5e-6, (2, 1): 5e-6,
}  # fmt: skip
LEAST_SWITCH_MS = 2e-8  # shorter than what a profiler sees
RESOLUTION_MS = 2e-3  # it counts whole microseconds, and precisions differ by a part of what a layer takes
_BITS = {INT4: 4, FLOAT: 32}
_BIAS_BYTES = {INT16: 8}
Array = NDArray[np.float64]


class SwitchTime(NamedTuple):
    """Milliseconds of a conversion between two kinds of activations."""

    value_ms: float  # for each value
    each_ms: float = 0.0  # and for the conversion itself: a call, an end of what runs in one go


def byte_costs(candidates: Candidates) -> Resource:
    """Of the stored kernels, biases and scales."""
    costs = np.zeros((len(candidates) + 2, len(PRECISIONS)))
    for row, (_, op) in enumerate(candidates.ops):
        kernel = candidates.graph.weights(op)
        if kernel is None or kernel.data is None:
            continue
        channels = kernel.shape[-1 if op.kind == "depthwise" else 0]
        for column, precision in enumerate(PRECISIONS):
            bits = _BITS.get(precision, 8)
            scales = 0 if precision == FLOAT else 1 if precision == PER_TENSOR else channels
            bias = channels * _BIAS_BYTES.get(precision, 4) + scales * SCALE_BYTES if len(op.inputs) > 2 else 0
            costs[row, column] = -(-kernel.data.size * bits // 8) + scales * SCALE_BYTES + bias
    return Resource(
        layers=costs, switches=_switches(candidates, np.full((len(candidates.edges), 1, 1), float(SWITCH_BYTES)))
    )


def arena_costs(candidates: Candidates) -> Resource:
    """Of the activations that are there while each op runs."""
    sizes = np.array([candidates.elements(row) for row in range(len(candidates) + 1)] + [0], float)
    moments = candidates.alive[:, :, np.newaxis] * (sizes[:, np.newaxis] * np.array(ACTIVATION_BYTES, float))
    return Resource(layers=moments)


def time_costs(
    candidates: Candidates,
    profiles: Mapping[str, pd.DataFrame],
    switch_ms: Mapping[tuple[int, int], SwitchTime] | None = None,
) -> Resource:
    """Of files in one precision throughout, timed op by op. What no layer takes is shared among all of them.

    Parameters
    ----------
    candidates : Candidates
    profiles : mapping of precision to PROFILE frame
    switch_ms : mapping of (kind, kind) to SwitchTime, optional
        What was measured of conversions.
    """
    costs = np.zeros((len(candidates) + 2, len(PRECISIONS)))
    for column, precision in enumerate(PRECISIONS):
        if precision in profiles:
            table = profiles[precision]
            switches = is_conversion(table) & (table["layer"] == "")
            timed = table[~switches].groupby("layer")["uninterrupted_ms"].sum()
            known = [float(timed.get(name, 0.0)) for name in candidates.names]
            rest = max(float(timed.sum()) - sum(known), 0.0) / max(len(candidates), 1)
            costs[: len(candidates), column] = np.add(known, rest)
    timed_columns = [i for i, precision in enumerate(PRECISIONS) if precision in profiles]
    costs[:, timed_columns] = _evened(costs[:, timed_columns], np.array(KINDS)[timed_columns])
    sizes = np.array([candidates.elements(made) for made, _ in candidates.edges], float)
    found = {kinds: SwitchTime(usual) for kinds, usual in SWITCH_MS.items()} | dict(switch_ms or {})
    rates, each = np.zeros((2, max(KINDS) + 1, max(KINDS) + 1))
    for kinds, time in found.items():
        rates[kinds], each[kinds] = max(time.value_ms, LEAST_SWITCH_MS), time.each_ms
    return Resource(layers=costs, switches=_switches(candidates, sizes[:, np.newaxis, np.newaxis] * rates + each))


def _evened(costs: Array, kinds: NDArray[np.int_]) -> Array:
    """Each file's sum, shared among the layers as far as its profile can tell them apart.

    Of times that differ by chance the smallest would be chosen, layer by layer, and no file is as fast as the sum of these.
    Files of one kind are computed by the same kernels: they share the middle of their profiles. A layer that takes no longer
    than what a profiler counts in has the share that it has in all files.
    """
    sums = costs.sum(axis=0)
    shares = costs / np.where(sums > 0, sums, 1.0)
    own = np.stack([shares[:, kinds == kind].mean(axis=1) for kind in kinds], axis=1)
    usual = np.mean([own[:, kinds == kind][:, :1] for kind in np.unique(kinds)], axis=0)
    seen = (usual * sums) ** 2 / ((usual * sums) ** 2 + RESOLUTION_MS**2)
    shares = seen * own + (1.0 - seen) * usual
    return np.asarray(shares / np.where(sums > 0, shares.sum(axis=0), 1.0) * sums)


def is_conversion(table: pd.DataFrame) -> pd.Series:
    """Which rows of a PROFILE are conversions between two kinds of values, by the names that plain kernels and XNNPACK give."""
    return table["operator"].str.lower().str.contains("quantize|convert")


def _switches(candidates: Candidates, costs: Array) -> Array:
    """(edges, kinds, kinds): nothing where the kind stays."""
    kinds = max(KINDS) + 1
    return costs * (1.0 - np.eye(kinds)) if len(candidates.edges) else np.zeros((0, kinds, kinds))
