"""The quantization schemes, by name.

The names follow the AI Edge Quantizer: ``static`` fixes the activation ranges by calibration, ``dynamic`` finds them at run
time, ``weight_only`` unpacks the weights and computes in float; ``wi8`` are int8 weights, ``ai8`` int8 activations,
``afp32`` float32 activations. Weights have one scale per output channel, or one per tensor where the name says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from effnet_lab.names import UserError, lookup

CONVERTER, AI_EDGE = "converter", "ai_edge_quantizer"
BACKENDS = {
    CONVERTER: "tf.lite.TFLiteConverter, from the Keras model",
    AI_EDGE: "AI Edge Quantizer, from the float32 .tflite",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How weights and activations are stored."""

    name: str
    format: str  # short name on the command line
    weight_bits: int  # 32 and 16 are floating point
    activation_bits: int
    granularity: str = "channel"  # of the weights' scales: "channel" or "tensor"
    backends: tuple[str, ...] = (CONVERTER, AI_EDGE)  # which tools can write a whole file of it

    @property
    def calibrated(self) -> bool:
        """Whether activation ranges have to be measured on images first."""
        return self.activation_bits < 32

    @property
    def activations(self) -> str:
        """Element type of the activations, and so of input and output unless another is asked for."""
        return f"int{self.activation_bits}" if self.calibrated else "float32"


_EDGE_ONLY = (AI_EDGE,)
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="float32", format="float32", weight_bits=32, activation_bits=32, backends=(CONVERTER,)),
        Scheme(name="float16", format="float16", weight_bits=16, activation_bits=32),
        Scheme(name="dynamic_wi8_afp32", format="dynamic", weight_bits=8, activation_bits=32),
        Scheme(
            name="weight_only_wi8_afp32", format="weight-int8", weight_bits=8, activation_bits=32, backends=_EDGE_ONLY
        ),
        # where there is no 4-bit kernel (depthwise convolutions) weights have 8 bits, in both int4 schemes
        Scheme(
            name="weight_only_wi4_afp32", format="weight-int4", weight_bits=4, activation_bits=32, backends=_EDGE_ONLY
        ),
        Scheme(name="static_wi8_ai8", format="int8", weight_bits=8, activation_bits=8),
        Scheme(
            name="static_wi8_ai8_per_tensor", format="int8-per-tensor", weight_bits=8, activation_bits=8,
            granularity="tensor",
        ),
        Scheme(name="static_wi8_ai16", format="int16x8", weight_bits=8, activation_bits=16),
        Scheme(name="static_wi4_ai8", format="int4", weight_bits=4, activation_bits=8, backends=_EDGE_ONLY),
    )
}  # fmt: skip
KINDS = {  # of SavedModel folders, which are not quantized
    "saved-model": "images as the preprocessing gives them, to logits",
    "hub-feature-vector": "images in [0, 1], to pooled features: a TF Hub module",
}
FLOAT32, INT8 = SCHEMES["float32"], SCHEMES["static_wi8_ai8"]
FORMATS = {scheme.format: scheme for scheme in SCHEMES.values()}


def get_scheme(name: str) -> Scheme:
    """Scheme by its name or by its short format name."""
    return lookup("scheme", name, FORMATS | SCHEMES)


def require_backend(scheme: Scheme, backend: str) -> None:
    """Say before any work starts that a tool cannot write a scheme."""
    lookup("back end", backend, BACKENDS)
    if backend not in scheme.backends:
        raise UserError(f"{backend} cannot write {scheme.name}. Use: {', '.join(scheme.backends)}.")
