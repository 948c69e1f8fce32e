"""Whether two files are a float network and its quantized form, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from effnet_lab.analysis.pairs import Matching, Pair
from effnet_lab.litert import Graph

ALIKE = 0.8  # correlation of two kernels from which on one is the other, rounded: four bits leave 0.98
MOST = 0.5  # share of the layers: unlike in more of them, it is no pair; in fewer, these layers are at fault
PAIR, OWN_WEIGHTS = "float file", "own weights"


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What was found out about two files."""

    objection: str  # one sentence, empty for a pair
    correlations: dict[str, float]  # of the kernels, by layer; NaN where one is zero throughout
    wanted: str  # the file that is missing, if it is none

    @property
    def advice(self) -> str:
        """What to do about an objection."""
        return f"Give {self.wanted}, or --anyway."

    @property
    def smallest(self) -> tuple[str, float]:
        """Layer with the smallest correlation, and that; ("", NaN) without kernels."""
        found = [(value, layer) for layer, value in self.correlations.items() if not np.isnan(value)]
        value, layer = min(found, default=(float("nan"), ""))
        return layer, value


def check_pair(matching: Matching | None, reference: Graph, quantized: Graph, names: tuple[str, str]) -> Pairing:
    """Look at types, structure and weights; `names` of the float and the quantized file.

    Without a matching, the float network has been made from the quantized file, and only that one's types count.
    """
    if matching is None:
        return Pairing(
            objection=_types(reference, quantized, names), correlations={}, wanted=_wanted(reference, quantized)
        )
    correlations = {
        pair.layer: pair.kernel_sums.correlation if pair.kernel_sums is not None else float("nan")
        for pair in matching.pairs
        if pair.quantized_kernel is not None
    }
    said = _types(reference, quantized, names) or _structure(matching, quantized) or _weights(correlations, matching)
    return Pairing(objection=said, correlations=correlations, wanted=_wanted(reference, quantized))


def _wanted(reference: Graph, quantized: Graph) -> str:
    """The file that is missing."""
    both_float = reference.scheme == quantized.scheme == "float32"
    return "a quantized file of this network" if both_float else "the float model of the same network"


def _types(reference: Graph, quantized: Graph, names: tuple[str, str]) -> str:
    ours, theirs = reference.scheme, quantized.scheme
    computed = "computes in integers" if ours.startswith("static") else "holds integer weights"
    if ours not in ("float32", "float16"):
        if theirs == "float32":
            return f"The two files are swapped: {names[0]} {computed}, and {names[1]} is the float one."
        return f"{names[0]} is not a float network: it {computed} ({ours})."
    if theirs == "float32":
        return f"Nothing in {names[1]} is quantized: its weights and activations are float32."
    return ""


def _structure(matching: Matching, quantized: Graph) -> str:
    kernels = sum(quantized.stored_weights(op) is not None for op in quantized.ops if op.outputs)
    found = sum(pair.quantized_kernel is not None for pair in matching.pairs)
    if not matching.pairs or found < MOST * kernels:
        return (
            "The two models share no activation by name or by structure"
            if not matching.pairs
            else f"Only {found} of {kernels} layers with weights have a counterpart in the float model"
        ) + ": they are not the same network."
    return ""


def _weights(correlations: dict[str, float], matching: Matching) -> str:
    by_layer: dict[str, Pair] = {pair.layer: pair for pair in matching.pairs}
    unlike = {
        layer: value
        for layer, value in correlations.items()
        if value < ALIKE or (np.isnan(value) and _only_one_is_zero(by_layer[layer]))
    }
    if len(unlike) <= MOST * len(correlations):
        return ""
    found = {layer: value for layer, value in unlike.items() if not np.isnan(value)} or unlike
    worst = min(found, key=lambda layer: found[layer])
    return (
        f"The weights do not correlate in {len(unlike)} of {len(correlations)} layers (smallest: {found[worst]:.2f}, in "
        f"{worst}): another training, or shuffled weights."
    )


def _only_one_is_zero(pair: Pair) -> bool:
    if pair.kernels is None:
        return False
    a, b = (tensor.data is not None and bool(np.any(tensor.real(tensor.data))) for tensor in pair.kernels)
    return a != b
