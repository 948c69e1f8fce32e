"""Recipes: which layer gets which scheme.

As text, rules are separated by ``;`` or stand on lines of their own: ``int8; op:dense=float32; block:0=int16x8``. Where
several rules match a layer **the last one counts**, so that the general rule stands first and the exceptions follow. A rule
without ``=`` is for all layers; layers that no rule matches stay float32. Patterns: the name of a layer, as `layer-error`
prints it, or a shell pattern of names (``blocks_1_*``); ``op:depthwise``, the kind of an op; ``block:3``, all of one block.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from effnet_lab import frames
from effnet_lab.litert.graph import Graph
from effnet_lab.litert.layer_names import computing, layer_names
from effnet_lab.names import UserError, lookup
from effnet_lab.quantize.schemes import AI_EDGE, BACKENDS, CONVERTER, FLOAT32, Scheme, get_scheme, require_backend

ALL = "*"
CRITERIA = ("sqnr_effect_db", "sqnr_local_db", "sqnr_accumulated_db")  # columns of LAYER_ERROR, the most telling first


@dataclass(frozen=True, slots=True)
class Recipe:
    """An ordered list of (layer pattern, scheme); the last rule that matches a layer counts."""

    rules: tuple[tuple[str, Scheme], ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise UserError("A recipe needs a rule, for example 'int8; op:dense=float32'. Got none.")

    @property
    def base(self) -> Scheme:
        """What layers have that no exception names, and input and output."""
        return next((scheme for pattern, scheme in reversed(self.rules) if pattern == ALL), FLOAT32)

    @property
    def selective(self) -> bool:
        """Whether layers may differ in precision."""
        return self.rules[-1][0] != ALL

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """Every scheme that can come to a layer, the base first."""
        later = self.rules[max((i for i, (pattern, _) in enumerate(self.rules) if pattern == ALL), default=-1) + 1 :]
        return tuple(dict.fromkeys((self.base, *(scheme for _, scheme in later))))

    @property
    def calibrated(self) -> bool:
        """Whether activation ranges have to be measured on images first."""
        return any(scheme.calibrated for scheme in self.schemes)

    @property
    def text(self) -> str:
        """The form that `parse_recipe` reads."""
        return "; ".join(scheme.format if p == ALL else f"{p}={scheme.format}" for p, scheme in self.rules)

    @property
    def name(self) -> str:
        """The scheme's name; of a selective recipe, the base and six digits that tell one recipe from another."""
        if not self.selective:
            return self.base.name
        return f"{self.base.name}_mixed_{hashlib.sha256(self.text.encode()).hexdigest()[:6]}"

    def require_backend(self, backend: str) -> None:
        """Say before any work starts that a tool cannot write it."""
        if not self.selective:
            return require_backend(self.base, backend)
        lookup("back end", backend, BACKENDS)
        if backend == CONVERTER:
            others = [scheme.name for scheme in self.schemes[1:] if scheme is not FLOAT32]
            if self.base.activation_bits != 8 or self.base.weight_bits != 8:
                others = [self.base.name]
            if others:
                raise UserError(
                    f"{CONVERTER} can only keep layers in float32, in a network that is int8 otherwise. Got {others[0]} "
                    f"in the recipe {self.text!r}. Use: {AI_EDGE}."
                )
        for scheme in self.schemes:
            if scheme is not FLOAT32:
                require_backend(scheme, backend)
        return None

    def resolve(self, graph: Graph) -> dict[str, Scheme]:
        """Scheme of every computed tensor of a float file, by the tensor's name, in forward order.

        Raises
        ------
        UserError
            If a pattern matches no layer.
        """
        return dict.fromkeys(layer_names(graph), FLOAT32) | {
            name: rule[1] for name, rule in self.rule_of(graph).items()
        }

    def rule_of(self, graph: Graph) -> dict[str, tuple[str, Scheme]]:
        """The rule that counts for every computed tensor of a float file; tensors that none matches are left out."""
        names, ops = layer_names(graph), dict(computing(graph))
        chosen: dict[str, tuple[str, Scheme]] = {}
        for pattern, scheme in self.rules:
            matching = [tensor for tensor, layer in names.items() if _matches(pattern, layer, ops[tensor].kind)]
            if not matching:
                raise UserError(_no_match(pattern, list(names.values()), sorted({op.kind for op in ops.values()})))
            chosen |= dict.fromkeys(matching, (pattern, scheme))
        return chosen


def as_recipe(scheme: Scheme | Recipe) -> Recipe:
    """A scheme is the recipe that has it for all layers."""
    return scheme if isinstance(scheme, Recipe) else Recipe(rules=((ALL, scheme),))


def parse_recipe(text: str | Path) -> Recipe:
    """Read rules, or the file that holds them; ``#`` begins a comment there.

    Examples
    --------
    >>> parse_recipe("int8; op:dense=float32").base.name
    'static_wi8_ai8'
    """
    if _is_file(text):
        text = re.sub(r"#.*", "", Path(text).read_text(encoding="utf-8"))
    rules = []
    for rule in filter(None, (part.strip() for part in re.split(r"[;\n]", str(text)))):
        pattern, equals, scheme = (part.strip() for part in rule.rpartition("="))
        if equals and not pattern:
            raise UserError(
                f"The rule {rule!r} has no pattern before '='. Write LAYER=SCHEME, or SCHEME for all layers."
            )
        rules.append((pattern if equals else ALL, get_scheme(scheme)))
    return Recipe(rules=tuple(rules))


def keep_worst(
    errors: pd.DataFrame, k: int, *, keep: str = "float32", base: str = "static_wi8_ai8", by: str | None = None
) -> Recipe:
    """Recipe that keeps the k worst layers of one file in another precision.

    Parameters
    ----------
    errors : DataFrame
        LAYER_ERROR, of one file.
    k : int
        How many layers, at least 1.
    keep, base : str
        Schemes of these layers and of the others.
    by : str, optional
        Column to rank by, lowest first: one of `CRITERIA`; by default the first of them that was measured.
    """
    frames.require(errors, frames.LAYER_ERROR, caller="keep_worst")
    if len(errors.drop_duplicates(list(frames.MODEL_FILE))) != 1:
        raise UserError("keep_worst takes the layer errors of one file. Select one model, scheme and backend first.")
    if by is None:
        by = next((column for column in CRITERIA if errors[column].notna().any()), CRITERIA[0])
    lookup("criterion", by, dict.fromkeys(CRITERIA))
    ranked = errors[errors[by].notna()].sort_values([by, "layer_index"])
    if not 1 <= k <= len(ranked):
        raise UserError(f"k must be 1 to {len(ranked)}, the layers with a measured {by}. Got {k}.")
    exceptions = [(literal(layer), get_scheme(keep)) for layer in ranked["layer"].head(k)]
    return Recipe(rules=((ALL, get_scheme(base)), *exceptions))


def literal(layer: str) -> str:
    """The pattern of one layer's name; a character that rules or their files mean something by stands as ``?``."""
    pattern = re.sub(r"([*?[])", r"[\1]", layer)
    pattern = re.sub(r"[;#\n\r]|^\s|\s$", "?", pattern)
    return re.sub(r"^(op|block):", r"\1[:]", pattern)


def _is_file(text: str | Path) -> bool:
    """Whether the rules stand in a file; a long rule is no name that a disk knows."""
    try:
        return bool(Path(text).suffix) and Path(text).is_file()
    except OSError:
        return False


def _matches(pattern: str, layer: str, kind: str) -> bool:
    if pattern.startswith("op:"):
        return kind == pattern.removeprefix("op:")
    if pattern.startswith("block:"):
        number = re.escape(pattern.removeprefix("block:"))
        return re.search(rf"(?:^|[/_])blocks?_?{number}(?:[a-z]?[/_]|$)", layer) is not None
    return layer == pattern or fnmatch.fnmatchcase(layer, pattern)


def _no_match(pattern: str, layers: list[str], kinds: list[str]) -> str:
    kind, colon, _ = pattern.partition(":")
    if colon and kind == "op":
        known = [f"op:{name}" for name in kinds]
    elif colon and kind == "block":
        found = {int(m[1]) for layer in layers if (m := re.search(r"(?:^|[/_])blocks?_?(\d+)", layer))}
        return f"No layer matches {pattern!r}. The blocks are " + (
            f"{min(found)} to {max(found)}." if found else "not numbered in this file."
        )
    else:
        known = layers
    near = difflib.get_close_matches(pattern, known, n=1, cutoff=0)
    return f"No layer matches {pattern!r}. Did you mean {near[0]!r}?" + (
        f" Kinds: {', '.join(kinds)}." if colon else ""
    )
