"""One precision per layer, as switches that can be set, taken back, and written down as a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from effnet_lab.litert.graph import Graph, Op, read_graph
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.recipes import ALL, Recipe, as_recipe, literal, parse_recipe
from effnet_lab.quantize.schemes import AI_EDGE, FLOAT32, FORMATS, Scheme

PRECISIONS = ("int8", "int8-per-tensor", "int4", "int16x8", "float32")  # what a layer can be switched to
Quantize = Callable[[Recipe], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """What a layer can be switched to, or why not."""

    format: str
    reason: str = ""  # why the back end cannot do it; empty: it can


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """One layer."""

    layer: str
    kind: str
    tensor: str  # its name in the float file


class Switches:
    """The state of all switches, with what was set before.

    Parameters
    ----------
    graph : Graph
        Of the float file.
    quantize : callable
        The quantized file of a recipe; asked once per precision, for what the back end makes of it.
    recipe : Recipe, Scheme or str
        What stands at the beginning.
    """

    def __init__(self, graph: Graph, quantize: Quantize, recipe: Recipe | Scheme | str = "int8") -> None:
        self._graph, self._quantize, names = graph, quantize, layer_names(graph)
        self.layers = tuple(Switch(layer=names[tensor], kind=op.kind, tensor=tensor) for tensor, op in computing(graph))
        self._states = [self._of(recipe)]
        self._at = 0
        self._reasons: dict[str, Mapping[str, str]] = {}  # why layers cannot have a precision

    @property
    def recipe(self) -> Recipe:
        """The state that counts."""
        return self._states[self._at]

    @property
    def before(self) -> Recipe | None:
        """The state before it; None at the beginning."""
        return self._states[self._at - 1] if self._at else None

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether something was taken back."""
        return self._at + 1 < len(self._states)

    @property
    def chosen(self) -> dict[str, str]:
        """Format of each layer, in forward order."""
        found = self.recipe.resolve(self._graph)
        return {switch.layer: found[switch.tensor].format for switch in self.layers}

    def flip(self, layers: Sequence[str], format: str) -> Recipe:
        """Give layers another precision; of several, those that can have it.

        Raises
        ------
        UserError
            If none of them can, with the reason.
        """
        lookup("precision", format, dict.fromkeys(PRECISIONS))
        known = {switch.layer for switch in self.layers}
        for layer in layers:
            lookup("layer", layer, dict.fromkeys(known))
        refused = {layer: reason for layer in layers if (reason := self.option(layer, format).reason)}
        if len(refused) == len(set(layers)):
            layer, reason = next(iter(refused.items()), ("", "no layer was named"))
            raise UserError(f"{layer[:60]!r} cannot be {format}: {reason}. Choose another precision.")
        chosen = self.chosen | {layer: format for layer in layers if layer not in refused}
        return self.set(recipe_of(self.layers, chosen, self.recipe.base))

    def set(self, recipe: Recipe | Scheme | str) -> Recipe:
        """Another state, typed or pasted; what was taken back before is forgotten."""
        new = self._of(recipe)
        if new.text != self.recipe.text:
            self._states = [*self._states[: self._at + 1], new]
            self._at += 1
        return new

    def undo(self) -> Recipe:
        """One step back; nothing at the beginning."""
        self._at = max(0, self._at - 1)
        return self.recipe

    def redo(self) -> Recipe:
        """One step forward again."""
        self._at = min(len(self._states) - 1, self._at + 1)
        return self.recipe

    def block(self, layer: str, block_of: Callable[[str], str]) -> list[str]:
        """All layers of the same block; the layer alone where it is in none."""
        block = block_of(layer)
        return [s.layer for s in self.layers if block_of(s.layer) == block] if block else [layer]

    def alike(self, layer: str) -> list[str]:
        """All layers of the same op."""
        kinds = {switch.layer: switch.kind for switch in self.layers}
        return [name for name, kind in kinds.items() if kind == lookup("layer", layer, kinds)]

    def after(self, layer: str) -> list[str]:
        """The layer and everything that runs after it."""
        names = [switch.layer for switch in self.layers]
        lookup("layer", layer, dict.fromkeys(names))
        return names[names.index(layer) :]

    def options(self, layer: str) -> list[Option]:
        """What a layer can be switched to, each with the reason where it cannot."""
        return [self.option(layer, format) for format in PRECISIONS]

    def option(self, layer: str, format: str) -> Option:
        """One of them."""
        if format not in self._reasons:  # from what the back end makes of the whole network in it
            self._reasons[format] = self._refusals(FORMATS[format])
        return Option(format=format, reason=self._reasons[format].get(layer, ""))

    def _refusals(self, scheme: Scheme) -> dict[str, str]:
        if scheme is FLOAT32:
            return {}
        try:
            made = read_graph(self._quantize(as_recipe(scheme)))
        except UserError as error:
            return {switch.layer: str(error).rstrip(".") for switch in self.layers}
        found = {}
        for switch in self.layers:
            op = made.produced.get(switch.tensor)
            reason = "the back end writes no such op" if op is None else _shortfall(made, op, scheme)
            if reason:
                found[switch.layer] = reason
        return found

    def _of(self, recipe: Recipe | Scheme | str) -> Recipe:
        found = parse_recipe(recipe) if isinstance(recipe, str) else as_recipe(recipe)
        if set(found.schemes) != {FLOAT32}:
            found.require_backend(AI_EDGE)
        found.resolve(self._graph)  # a pattern that matches no layer is refused
        return found


def recipe_of(layers: Sequence[Switch], chosen: Mapping[str, str], base: Scheme) -> Recipe:
    """A short recipe for these formats: rules for single layers, or for all of an op."""
    odd = {layer: format for layer, format in chosen.items() if format != base.format}
    rules: list[tuple[str, Scheme]] = [(ALL, base)]
    for kind in dict.fromkeys(switch.kind for switch in layers):
        own = [switch.layer for switch in layers if switch.kind == kind]
        formats = {odd.get(layer) for layer in own}
        if len(own) > 1 and len(formats) == 1 and (format := formats.pop()) is not None:
            rules.append((f"op:{kind}", FORMATS[format]))
            odd = {layer: format for layer, format in odd.items() if layer not in own}
    rules += [(literal(layer), FORMATS[odd[layer]]) for layer in (s.layer for s in layers) if layer in odd]
    return Recipe(rules=tuple(rules))


def _shortfall(graph: Graph, op: Op, scheme: Scheme) -> str:
    """What the back end did not do for an op; "" where it did all."""
    output, kernel = graph.tensors[op.outputs[0]], graph.stored_weights(op)
    if scheme.granularity == "tensor" or scheme.weight_bits == 4:
        if kernel is None:
            return "it has no weights"
        if scheme.weight_bits == 4 and kernel.dtype.name != "int4":
            return f"{AI_EDGE} has no 4-bit kernel for {op.kind}"
        if scheme.granularity == "tensor" and kernel.scale.size != 1:
            return f"{AI_EDGE} gives {op.kind} one scale per channel"
    if output.dtype.name != scheme.activations:
        return f"{AI_EDGE} leaves {op.kind} in {output.dtype.name}"
    return ""
