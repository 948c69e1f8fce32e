"""effnet-lab: scaling, quantization error per layer, and accuracy against latency, for EfficientNet-Lite.

``import effnet_lab as el`` offers every question of the command line as one function::

    el.variants()                                                    # which networks are there
    el.layer_error("lite0.int8.tflite", "photos/")                   # where does int8 hurt
    el.evaluate("lite0.int8.tflite", "photos/", against="lite0.tflite")

A network is a name (``"micro2"``), a path, a `LoadedModel` or a Keras model; images are a name (``"scenes"``), a path or an
`ImageSet`; schemes are text. The names are loaded on first use: the import itself loads neither TensorFlow nor plotly.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What `_Door` does, for those who read types."""


_HOMES = {
    "scaling": ("search", "variants"),
    "images": ("open_images",),
    "models": ("build_model", "load_model", "save_model"),
    "training": ("train",),
    "quantize": ("calibrate", "export"),
    "evaluate": ("audit_preprocess", "classify", "compare", "evaluate", "features"),
    "analysis": ("explain", "layer_error", "lint", "verdicts"),
    "bench": ("bench", "profile"),
    "board": ("ethosu", "footprint"),
    "studies": ("choose", "mixed_precision", "repair", "scaling_study", "tradeoffs"),
    "regress": ("bless", "check", "run_notebooks"),
}
_ROOM = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "audit_preprocess", "bench", "bless", "build_model", "calibrate", "check", "choose", "classify", "compare", "ethosu",
    "evaluate", "explain", "export", "features", "footprint", "layer_error", "lint", "load_model", "mixed_precision",
    "open_images", "profile", "repair", "run_notebooks", "save_model", "scaling_study", "search", "tradeoffs", "train",
    "variants", "verdicts",
]  # fmt: skip


class _Door(ModuleType):
    """The package as a module whose questions come before its rooms.

    Two rooms bear the name of a question, `evaluate` and `bench`. Importing a submodule binds it to its package under its
    name, whenever that happens; here such a binding is left out, and the name stays the function. Imports do not miss it:
    ``from effnet_lab.evaluate.accuracy import accuracy`` finds the room by its full name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _ROOM and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name not in _ROOM:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{self.__name__}.{_ROOM[name]}"), name)

    def __dir__(self) -> list[str]:
        return [*__all__, *(name for name in self.__dict__ if name.startswith("__"))]


sys.modules[__name__].__class__ = _Door
