"""The variables of a Keras network by name: read, and set all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from effnet_lab.models.quiet_tensorflow import tf, tf_keras
from effnet_lab.names import UserError


def variables(keras: tf_keras.Model) -> dict[str, tf.Variable]:
    """Variables by "layer/variable", such as ``stem_conv_bn/gamma``, in forward order."""
    return {
        f"{layer.name}/{variable.name.rsplit('/', 1)[-1].split(':')[0]}": variable
        for layer in keras.layers
        for variable in layer.weights
    }


def assign(keras: tf_keras.Model, tensors: Mapping[str, NDArray[Any]], source: str) -> None:
    """Set every variable, or none: names and shapes must agree.

    Raises
    ------
    UserError
        With the first missing and unexpected names and wrong shapes, and how many there are.
    """
    targets = variables(keras)
    missing, unexpected = (
        sorted(a - b) for a, b in ((targets.keys(), tensors.keys()), (tensors.keys(), targets.keys()))
    )
    shapes = [
        f"{name} {tensors[name].shape} instead of {tuple(variable.shape)}"
        for name, variable in targets.items()
        if name in tensors and tensors[name].shape != tuple(variable.shape)
    ]
    faults = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    if any(faults.values()):
        lists = "; ".join(f"{kind}: {_first(names)}" for kind, names in faults.items())
        raise UserError(f"{source} does not fit network {keras.name!r}. {lists}.")
    for name, variable in targets.items():
        variable.assign(tensors[name])


def _first(names: Sequence[str], most: int = 1) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
