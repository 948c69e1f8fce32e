"""Which network a set of named arrays belongs to, and which of its arrays is which variable of ours.

Every reader of foreign weights brings its arrays into Keras' layout and says how its origin names our variables; whether
names and shapes fit, and which variant they fit, is decided here for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effnet_lab.names import UserError
from effnet_lab.scaling import LITE, MICRO, VARIANTS, NetSpec, get_spec
from effnet_lab.scaling.layers import Layer, layers

Names = Callable[[NetSpec], Mapping[str, str]]  # specification -> {our variable: its name at the origin}

RELU6_NETWORKS = MICRO | LITE
BN_VARIABLES = ("gamma", "beta", "moving_mean", "moving_variance")
HEAD = ("head_dense/kernel", "head_dense/bias")
_SHOWN = 3  # names of each list in an error message


def variable_shapes(spec: NetSpec, classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every variable of `build_model(spec, classes)` by "layer/variable", in forward order; 0 classes: no head."""
    channels = {"input": 3}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers(spec, max(1, classes)):
        shapes |= _layer_shapes(layer, channels[layer.inputs[0]])
        channels[layer.name] = layer.channels
    return shapes if classes else {name: shape for name, shape in shapes.items() if name not in HEAD}


def fit(
    tensors: Mapping[str, NDArray[Any]],
    names: Names,
    *,
    source: str,
    variant: str | None = None,
    candidates: Mapping[str, NetSpec] = LITE,
    headless: bool = False,
) -> tuple[NetSpec, dict[str, NDArray[Any]]]:
    """Find the network that has exactly these arrays.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        By the origin's names, in Keras' layout: kernels (h, w, in, out), depthwise (h, w, channels, 1), dense (in, out).
    names : callable
        How the origin calls the variables of a specification.
    source : str
        What the error message is about.
    variant : str, optional
        The network it must be.
    candidates : mapping of str to NetSpec
        The networks it may be when `variant` is not given.
    headless : bool
        Whether a network without classifier is accepted, too.

    Returns
    -------
    tuple of NetSpec and dict
        The specification, and its arrays by our names.

    Raises
    ------
    UserError
        With how many names are missing, unexpected and of a wrong shape for the nearest network, and the first of each.
    """
    if variant is not None:
        candidates = {variant: candidates.get(variant) or get_spec(variant)}
    compared = [_compare(tensors, names, spec, headless) for spec in candidates.values()]
    nearest = min(compared, key=lambda match: match.faults)
    if nearest.faults:
        other = None if variant is None else _other(tensors, names, headless, variant)
        holds = f" It holds weights of {other!r}." if other else ""
        raise UserError(f"{source} does not fit network {nearest.spec.name!r}.{holds} {nearest}.")
    found = {ours: tensors[theirs] for ours, theirs in nearest.named.items()}
    return nearest.spec, found


def reason(error: BaseException) -> str:
    """First line of what a library says went wrong; its kind where it says nothing."""
    return next((line.strip(" :")[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def require_finite(tensors: Mapping[str, NDArray[Any]], source: str) -> None:
    """Raise a `UserError` that names the arrays with NaN or infinity in them."""
    broken = [name for name, values in tensors.items() if not np.isfinite(values).all()]
    if broken:
        raise UserError(
            f"{source} holds weights that are not finite numbers: {listed(broken)}. Download or save it again."
        )


def listed(names: Iterable[str]) -> str:
    """Count and first few of a list of names."""
    names = list(names)
    rest = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} ({', '.join(names[:_SHOWN])}{rest})" if names else "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Match:
    """What a set of arrays lacks, and has too much, against one specification."""

    spec: NetSpec
    named: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def __str__(self) -> str:
        lists = {"missing": self.missing, "unexpected": self.unexpected, "wrong shape": self.shapes}
        return "; ".join(f"{kind}: {listed(names)}" for kind, names in lists.items())


def _compare(tensors: Mapping[str, NDArray[Any]], names: Names, spec: NetSpec, headless: bool) -> _Match:
    theirs = names(spec)
    bias = tensors.get(theirs.get(HEAD[1], HEAD[1]))
    classes = bias.shape[0] if bias is not None and bias.ndim == 1 else 0 if headless else 1000
    expected = variable_shapes(spec, classes)
    named = {ours: theirs.get(ours, ours) for ours in expected}
    return _Match(
        spec=spec,
        named=named,
        missing=tuple(name for name in named.values() if name not in tensors),
        unexpected=tuple(sorted(tensors.keys() - set(named.values()))),
        shapes=tuple(
            f"{name} {tensors[name].shape} instead of {shape}"
            for name, shape in zip(named.values(), expected.values(), strict=True)
            if name in tensors and tensors[name].shape != shape
        ),
    )


def _other(tensors: Mapping[str, NDArray[Any]], names: Names, headless: bool, variant: str) -> str | None:
    """The named network that the arrays do belong to."""
    fitting = (
        name
        for name, spec in VARIANTS.items()
        if name != variant and not _compare(tensors, names, spec, headless).faults
    )
    return next(fitting, None)


def _layer_shapes(layer: Layer, in_channels: int) -> dict[str, tuple[int, ...]]:
    name, channels, kernel = layer.name, layer.channels, layer.kernel
    norm: dict[str, tuple[int, ...]] = {f"{name}_bn/{variable}": (channels,) for variable in BN_VARIABLES}
    if layer.op == "dense":
        return {f"{name}/kernel": (in_channels, channels), f"{name}/bias": (channels,)}
    if layer.op == "depthwise":
        return {f"{name}/depthwise_kernel": (kernel, kernel, channels, 1), **norm}
    if layer.op == "conv":
        rest = {f"{name}/bias": (channels,)} if "_se_" in name else norm
        return {f"{name}/kernel": (kernel, kernel, in_channels, channels), **rest}
    return {}
