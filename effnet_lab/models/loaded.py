"""A network with everything that its weights were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effnet_lab.images.preprocess import Preprocess
from effnet_lab.models.quiet_tensorflow import tf_keras
from effnet_lab.names import UserError
from effnet_lab.scaling.specs import NetSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """Weights, the shape of the network, what its input looks like and what its outputs mean."""

    name: str
    spec: NetSpec | None  # None: no network of this family
    keras: tf_keras.Model  # float32 (n, size_px, size_px, 3) -> logits (n, len(classes))
    preprocess: Preprocess
    classes: tuple[str, ...]
    fake_quantized: tuple[str, ...] = ()  # layers that compute as in int8, see `fake_quant`; none in a float network

    @property
    def family_spec(self) -> NetSpec:
        """The specification; a `UserError` where the network is none of this family."""
        if self.spec is None:
            raise UserError(
                f"{self.name} is not an EfficientNet of this project. Only EfficientNet-Lite and its variants can be used here."
            )
        return self.spec


def from_keras(model: Any) -> LoadedModel:
    """A Keras model from elsewhere; that it takes pictures in the usual range is a guess.

    Raises
    ------
    UserError
        If it is no Keras model, or no classifier of pictures.
    """
    shape, outputs = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or not isinstance(outputs, tuple):
        raise UserError(f"A network is a name, a path, a LoadedModel or a Keras model. Got {type(model).__name__}.")
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:] or len(outputs) != 2:
        raise UserError(
            f"The Keras model {model.name!r} takes {shape} and gives {outputs}. Give a classifier of pictures."
        )
    width = None if shape[1] == shape[2] else shape[2]
    preprocess = Preprocess(size_px=shape[1], width_px=width, origin="guessed", framing="default")
    classes = tuple(str(i) for i in range(outputs[1]))
    return LoadedModel(name=model.name, spec=None, keras=model, preprocess=preprocess, classes=classes)
