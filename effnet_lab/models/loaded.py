"""A network with everything that its weights were trained with."""

from __future__ import annotations

from dataclasses import dataclass

import tf_keras

from effnet_lab.images.preprocess import Preprocess
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
                f"{self.name} is no network of this family: that is known of EfficientNet-Lite and its kin only."
            )
        return self.spec
