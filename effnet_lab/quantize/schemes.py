"""The quantization schemes, by name.

The names follow the AI Edge Quantizer: ``static`` fixes the activation ranges by calibration, ``dynamic`` finds them at run
time; ``wi8`` are int8 weights, ``ai8`` int8 activations, ``afp32`` float32 activations.
"""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.names import UserError, lookup


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How weights and activations are stored."""

    name: str
    format: str  # short name on the command line
    weight_bits: int  # 32 and 16 are floating point
    activation_bits: int
    backends: tuple[str, ...]  # which tools can write it

    @property
    def calibrated(self) -> bool:
        """Whether activation ranges have to be measured on images first."""
        return self.activation_bits < 32


BACKENDS = {
    "converter": "tf.lite.TFLiteConverter, from the Keras model",
    "ai_edge_quantizer": "AI Edge Quantizer, from the float32 .tflite",
}
_BOTH = tuple(BACKENDS)
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="float32", format="float32", weight_bits=32, activation_bits=32, backends=("converter",)),
        Scheme(name="float16", format="float16", weight_bits=16, activation_bits=32, backends=("converter",)),
        Scheme(name="dynamic_wi8_afp32", format="dynamic", weight_bits=8, activation_bits=32, backends=_BOTH),
        Scheme(name="static_wi8_ai8", format="int8", weight_bits=8, activation_bits=8, backends=_BOTH),
    )
}
FORMATS = {scheme.format: scheme for scheme in SCHEMES.values()}


def get_scheme(name: str) -> Scheme:
    """Scheme by its name or by its short format name."""
    return lookup("scheme", name, FORMATS | SCHEMES)


def require_backend(scheme: Scheme, backend: str) -> None:
    """Say before any work starts that a tool cannot write a scheme."""
    lookup("back end", backend, BACKENDS)
    if backend not in scheme.backends:
        raise UserError(f"{backend} cannot write {scheme.name}. Use: {', '.join(scheme.backends)}.")
