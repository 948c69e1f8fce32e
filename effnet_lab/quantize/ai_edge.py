"""Float .tflite to quantized .tflite through the AI Edge Quantizer: a tenth of a second where reconversion takes many."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping

import numpy as np
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe import AlgorithmName

from effnet_lab.litert.graph import Graph, read_graph
from effnet_lab.litert.layer_names import layer_names
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.recipes import Recipe, as_recipe
from effnet_lab.quantize.schemes import AI_EDGE, FLOAT32, SCHEMES, Scheme
from effnet_lab.quiet import quiet

Ranges = Mapping[str, tuple[float, float]]  # tensor name -> lowest and highest value, real
_ALL = TFLOperationName.ALL_SUPPORTED
_ENDS = (TFLOperationName.INPUT, TFLOperationName.OUTPUT)
_GRANULARITY = {"channel": QuantGranularity.CHANNELWISE, "tensor": QuantGranularity.TENSORWISE}
CLIPPING = {  # of weights that get integers: the largest one fits, or a few are cut off for finer steps
    "minmax": AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    "octav": AlgorithmName.OCTAV,  # Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation", ICML 2022
}
_REFUSALS = (ValueError, KeyError, IndexError, TypeError, NotImplementedError, RuntimeError, AssertionError)
_DEAD = 1e-6  # a tensor that never left this neighbourhood of zero holds no information


def requantize(
    float_content: bytes, recipe: Recipe | Scheme, ranges: Ranges | None = None, *, clipping: str = "minmax"
) -> bytes:
    """Quantize a float32 file.

    Parameters
    ----------
    float_content : bytes
        A float32 .tflite file.
    recipe : Recipe or Scheme
    ranges : mapping of tensor name to (low, high), optional
        Needed where a scheme is static: of the input and of every computed tensor, see `calibration.Statistics.ranges`.

    clipping : str
        How the range of weights follows from them: one of `CLIPPING`.

    Raises
    ------
    UserError
        If a pattern matches no layer, the tool cannot write a scheme, or ranges are missing or not finite.
    """
    recipe, algorithm = as_recipe(recipe), lookup("clipping of weights", clipping, CLIPPING)
    graph = read_graph(float_content)
    chosen = recipe.resolve(graph)
    if {scheme.name for scheme in chosen.values()} == {FLOAT32.name}:
        return float_content
    recipe.require_backend(AI_EDGE)
    if recipe.calibrated and graph.n_graphs > 1:
        raise UserError(
            "The file has several graphs (loops, branches or signatures), and only the first was calibrated. Ask for float16 or "
            "dynamic."
        )
    statistics = _statistics(graph, ranges or {}) if recipe.calibrated else None
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors.*")  # the tool means to
        # the bias of a dead channel, whose weights are all but zero, overflows int32 and is saturated
        warnings.filterwarnings("ignore", message="invalid value encountered in cast")
        quantizer = Quantizer(float_content)
        for scheme, names in _by_scheme(chosen).items():
            scope = f"^(?:{'|'.join(map(re.escape, names))});$"  # a scope: the outputs' names, each with a ;
            _add(quantizer, scope, _ALL, scheme, algorithm)
        for end in _ENDS:
            _add(quantizer, ".*", end, recipe.base, algorithm)
        try:
            result = quantizer.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
        except _REFUSALS as error:
            said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])  # some say nothing without it
            raise UserError(
                f"The AI Edge Quantizer cannot quantize this network ({said[:160]}). Try another format."
            ) from None
    return bytes(result.quantized_model)


def _by_scheme(chosen: Mapping[str, Scheme]) -> dict[Scheme, list[str]]:
    """One rule for all layers of a scheme: the tool tries every rule on every op, and compiles the patterns each time."""
    found: dict[Scheme, list[str]] = {}
    for name, scheme in chosen.items():
        found.setdefault(scheme, []).append(name)
    return found


def _add(quantizer: Quantizer, scope: str, op: TFLOperationName, scheme: Scheme, algorithm: str) -> None:
    """The rules of one scheme; of several that a kind of op has a kernel for, the last one counts."""
    granularity = _GRANULARITY[scheme.granularity]
    if scheme is FLOAT32 or (op in _ENDS and not scheme.calibrated):
        quantizer.update_quantization_recipe(scope, op, algorithm_key=AlgorithmName.NO_QUANTIZE)
    elif scheme.weight_bits == 16:
        quantizer.add_weight_only_config(scope, op, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    elif scheme is SCHEMES["dynamic_wi8_afp32"]:
        quantizer.add_dynamic_config(scope, op, scheme.weight_bits, granularity, algorithm)
    else:
        # depthwise convolutions and ops without weights have no 4-bit rule: 8 bits first, then what the scheme says
        for number, bits in enumerate(sorted({8, scheme.weight_bits}, reverse=True)):
            again = scope + "(?:)" * number  # matches the same; a scope that stands twice would replace the first
            if scheme.calibrated:
                quantizer.add_static_config(again, op, scheme.activation_bits, bits, granularity, algorithm)
            else:
                quantizer.add_weight_only_config(again, op, bits, granularity, algorithm)


def _statistics(graph: Graph, ranges: Ranges) -> dict[str, dict[str, np.ndarray]]:
    """Ranges in the form of the tool's own calibration result."""
    layers = layer_names(graph)
    wanted = {graph.tensors[index].name: ranges.get(graph.tensors[index].name) for index in graph.inputs}
    for op in graph.computing_ops:  # an output that nobody reads has no range of its own
        names = [graph.tensors[index].name for index in op.outputs]
        nobody_reads = (0.0, 1.0) if not graph.read.intersection(op.outputs) else None
        known = next((ranges[name] for name in names if name in ranges), nobody_reads)
        wanted |= {name: ranges.get(name, known) for name in names}
    statistics = {}
    for name, ends in wanted.items():
        if ends is None:
            raise UserError(
                f"There is no calibration range for {layers.get(name, name)!r}. Collect the statistics on this very network."
            )
        low, high = (float(end) for end in ends)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError(
                f"The range of {layers.get(name, name)!r} is {low:g} to {high:g}: not finite. Correct the weights."
            )
        if max(abs(low), abs(high)) < _DEAD:
            low, high = 0.0, 1.0  # a scale of next to nothing makes multipliers that XNNPACK refuses (its bound is 256)
        statistics[name] = {"min": np.full((1, 1), low, np.float32), "max": np.full((1, 1), high, np.float32)}
    return statistics
