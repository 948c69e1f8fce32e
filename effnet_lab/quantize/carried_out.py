"""What a back end has made of a recipe: a rule that it did not follow is refused, or said."""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.litert.graph import Graph, Op
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.names import UserError
from effnet_lab.quantize.recipes import ALL, Recipe
from effnet_lab.quantize.schemes import FLOAT32, Scheme

_WEIGHTS = {4: "int4", 8: "int8", 16: "float16", 32: "float32"}  # type of stored kernels by bits
_SHOWN = 3  # layers in a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class _RuledLayer:
    """One layer, the rule that counts for it, and what the file has."""

    name: str
    kind: str
    pattern: str
    scheme: Scheme
    has: str  # type of its kernel, or of its output where it has none


def remarks(recipe: Recipe, backend: str, float_graph: Graph, graph: Graph) -> list[str]:
    """One sentence for every rule that holds for some of its layers only.

    Raises
    ------
    UserError
        If a rule holds for none: the file would be called what it is not.
    """
    layers = _layers(recipe, float_graph, graph)
    if not layers and graph.scheme == FLOAT32.name and any(scheme is not FLOAT32 for scheme in recipe.schemes):
        raise UserError(f"{recipe.text!r} changes nothing in this network: it has no weights of layers. Leave it out.")
    said = []
    for pattern, scheme in dict.fromkeys((layer.pattern, layer.scheme) for layer in layers):
        own = [layer for layer in layers if (layer.pattern, layer.scheme) == (pattern, scheme)]
        other = [layer for layer in own if layer.has != _wanted(layer)]
        if scheme is FLOAT32 or not other:
            continue
        rule = scheme.format if pattern == ALL else f"{pattern}={scheme.format}"
        which = ", ".join(layer.name for layer in other[:_SHOWN]) + (", ..." if len(other) > _SHOWN else "")
        stay = f"{len(other)} of {len(own)} layers stay {' and '.join(sorted({layer.has for layer in other}))}: {which}"
        if len(other) == len(own):
            raise UserError(
                f"{backend} cannot do {rule!r} in this network: {stay}. Leave it out, or choose another scheme."
            )
        said.append(f"{rule}: {stay}; {backend} has no way to do more")
    return said


def _layers(recipe: Recipe, float_graph: Graph, graph: Graph) -> list[_RuledLayer]:
    """Layers with a kernel; of rules for single kinds or layers, also those without."""
    rules, names = recipe.rule_of(float_graph), layer_names(float_graph)
    found = []
    for tensor, op in computing(float_graph):
        written = graph.produced.get(tensor)
        if tensor not in rules or written is None:
            continue
        pattern, scheme = rules[tensor]
        has = _type(graph, written)
        if float_graph.weights(op) is not None or (pattern != ALL and scheme.calibrated):
            found.append(_RuledLayer(name=names[tensor], kind=op.kind, pattern=pattern, scheme=scheme, has=has))
    return found


def _wanted(layer: _RuledLayer) -> str:
    if layer.kind in ("conv", "depthwise", "dense"):
        return _WEIGHTS[layer.scheme.weight_bits]
    return layer.scheme.activations


def _type(graph: Graph, op: Op) -> str:
    kernel = graph.stored_weights(op)
    return (graph.tensors[op.outputs[0]] if kernel is None else kernel).dtype.name
