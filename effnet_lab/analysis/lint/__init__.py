"""Predict trouble from a file alone: nothing is run, so it takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.analysis.lint import npu, stated, values, xnnpack
from effnet_lab.analysis.lint.network import Network
from effnet_lab.analysis.lint.rules import RULES, SEVERITIES, Finding, Rule
from effnet_lab.litert import read_info
from effnet_lab.litert.flatbuffer import decode, parse
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.metadata import KEY
from effnet_lab.litert.standard_metadata import ENTRY

__all__ = ["RULES", "SEVERITIES", "Finding", "Rule", "at_least", "lint"]


def lint(model: Path | str) -> pd.DataFrame:
    """Findings about a .tflite file.

    Parameters
    ----------
    model : path

    Returns
    -------
    DataFrame
        FINDINGS, gravest first, then along the network. `layer` is empty where the whole file is meant. What each id
        means stands in `RULES`.
    """
    network, info = Network.open(model), read_info(model)
    entries = {decode(entry.name) for entry in parse(model).metadata or []}
    found = [
        *xnnpack.check(network),
        *values.check(network),
        *npu.check(network),
        *stated.check(network.graph, info, stated=bool(entries & {KEY, ENTRY})),
    ]
    once = {(finding.id, finding.op): finding for finding in reversed(found)}  # the first of each counts
    order = [(SEVERITIES.index(RULES[i].severity), -1 if op is None else op, i) for i, op in once]
    rows = [_row(network, finding) for _, finding in sorted(zip(order, once.values(), strict=True), key=lambda x: x[0])]
    return frames.build(frames.FINDINGS, [info.key | row for row in rows])


def at_least(findings: pd.DataFrame, severity: str) -> pd.DataFrame:
    """The findings that are as grave as `severity`, or graver."""
    return findings[findings["severity"].isin(SEVERITIES[: SEVERITIES.index(severity) + 1])]


def _row(network: Network, finding: Finding) -> dict:
    rule, op = RULES[finding.id], None if finding.op is None else network.graph.ops[finding.op]
    output = "" if op is None else network.graph.tensors[op.outputs[0]].name
    return {
        "id": rule.id,
        "layer": layer_names(network.graph).get(output, output.split(";")[0]),
        "layer_index": float("nan") if op is None else op.index,
        "severity": rule.severity,
        "op": "" if op is None else op.kind,
        "evidence": f"{rule.title}: {finding.evidence}",
        "remedy": rule.remedy,
    }
