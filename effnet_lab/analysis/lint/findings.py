"""The question itself, and all rules over one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effnet_lab import frames
from effnet_lab.analysis.lint import loads, npu, stated, values, xnnpack
from effnet_lab.analysis.lint.network import Network
from effnet_lab.analysis.lint.rules import RULES, SEVERITIES, Finding
from effnet_lab.analysis.lint.words import in_words
from effnet_lab.litert import ModelInfo
from effnet_lab.litert.flatbuffer import parse, read_file
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.litert.metadata import info_of
from effnet_lab.litert.trial import FileTrial
from effnet_lab.quantize.any_network import tflite_file

if TYPE_CHECKING:
    import pandas as pd  # it takes longer to load than the rules take

    from effnet_lab.quantize.float_file import Network as AnyNetwork


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What the rules found in one file."""

    rows: Sequence[Mapping[str, Any]]  # of FINDINGS, gravest first, then along the network

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows as a FINDINGS frame."""
        return frames.build(frames.FINDINGS, self.rows)

    def at_least(self, severity: str) -> list[Mapping[str, Any]]:
        """Those that are as grave as `severity`, or graver."""
        return [row for row in self.rows if row["severity"] in SEVERITIES[: SEVERITIES.index(severity) + 1]]

    def counts(self) -> dict[str, int]:
        """How many there are of each severity, gravest first."""
        return {name: sum(row["severity"] == name for row in self.rows) for name in SEVERITIES}

    def lines(self, *, each: bool = False) -> list[str]:
        """As text: what is said of many layers is said once, or of each."""
        return in_words(self.rows, each=each)


def lint(model: AnyNetwork) -> Findings:
    """Findings about a .tflite file.

    Parameters
    ----------
    model : path, name, LoadedModel or Keras model
        What is no .tflite file is looked at as float32.

    Returns
    -------
    Findings
        `layer` of its table is empty where the whole file is meant. What each id means stands in `RULES`.

    Raises
    ------
    UserError
        If the file cannot be read as a .tflite file at all.
    """
    with tflite_file(model) as path:
        return _findings_of(path)


def _findings_of(model: Path) -> Findings:
    """What all rules say of one .tflite file."""
    content, _ = read_file(model)
    tree = parse(content, str(model))
    network = Network.of(tree)
    asked = FileTrial(str(model), kernels="AUTO", madds=network.graph.madds)
    info = info_of(tree, model, content, network.graph)
    found = [
        *xnnpack.check(network),
        *values.check(network),
        *npu.check(network),
        *stated.check(network.graph, info, stated.normalisation(tree, info)),
    ]
    found += loads.check(str(model), asked, network.graph, {finding.id for finding in found})
    return Findings(rows=_rows_of(network, info, found))


def _rows_of(network: Network, info: ModelInfo, found: list[Finding]) -> list[dict[str, Any]]:
    once = {(finding.id, finding.op): finding for finding in reversed(found)}  # the first of each counts
    order = [(SEVERITIES.index(RULES[i].severity), -1 if op is None else op, i) for i, op in once]
    names = layer_names(network.graph)
    rows = []
    for _, finding in sorted(zip(order, once.values(), strict=True), key=lambda pair: pair[0]):
        rule, op = RULES[finding.id], None if finding.op is None else network.graph.ops[finding.op]
        output = "" if op is None or not op.outputs else network.graph.tensors[op.outputs[0]].name
        place = {
            "layer": names.get(output, output.split(";")[0]),
            "layer_index": float("nan") if op is None else op.index,
            "op": "" if op is None else op.kind,
        }
        what = {"id": rule.id, "severity": rule.severity, "remedy": rule.remedy}
        rows.append(info.key | place | what | {"evidence": f"{rule.title}: {finding.evidence}"})
    return rows
