"""effnet-lab: scaling, quantization error per layer, and accuracy against latency, for EfficientNet-Lite.

``import effnet_lab as el`` offers every question of the command line as one function::

    el.variants()                                                    # which networks are there
    el.layer_error("lite0.int8.tflite", "photos/")                   # where does int8 hurt
    el.evaluate("lite0.int8.tflite", "photos/", against="lite0.tflite")

A network is a name (``"micro2"``), a path, a `LoadedModel` or a Keras model; images are a name (``"scenes"``), a path or an
`ImageSet`; schemes are text. The names are loaded on first use: the import itself loads neither TensorFlow nor plotly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effnet_lab.late import any_offer, offer

if TYPE_CHECKING:
    __getattr__ = any_offer

_ROOMS = {
    "scaling": ("search", "variants"),
    "images": ("open_images",),
    "models": ("build_model", "load_model", "save_model"),
    "training": ("train",),
    "quantize": ("calibrate", "export"),
    "evaluate": ("audit_preprocess", "classify", "compare", "evaluate", "features"),
    "analysis": ("explain", "layer_error", "lint", "verdicts"),
    "studies": (
        "bench", "choose", "ethosu", "footprint", "mixed_precision", "profile", "repair", "scaling_study", "tradeoffs",
    ),
    "regress": ("bisect", "bless", "check", "check_latency", "report_on", "run_notebooks", "sweep"),
}  # fmt: skip

__all__ = offer(__name__, _ROOMS)
