"""Which weights there are: those that come with the package, those with a name, and every kind of file. Loads nothing slow."""

from __future__ import annotations

from pathlib import Path

from effnet_lab.names import UserError, suggest
from effnet_lab.paths import data_dir

IMAGENET = "imagenet"  # source: the official weights of the given variant
OFFICIAL = tuple(f"{IMAGENET}-lite{number}" for number in range(5))  # the same in one word
KINDS = "a .safetensors, .keras, .h5, .weights.h5, .tflite or .tar.gz file, a TF1 checkpoint, or a SavedModel folder"


def embedded_models() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    return {path.stem: path for path in sorted((data_dir() / "models").glob("*.safetensors"))}


def require_source(source: object) -> None:
    """Refuse a name or path that leads nowhere, before anything slow is loaded; what is no name and no path passes."""
    if not isinstance(source, str | Path) or str(source) in (IMAGENET, *OFFICIAL):
        return
    path, embedded = Path(source), embedded_models()
    if str(source) in embedded or path.exists() or path.with_name(f"{path.name}.index").is_file():
        return
    raise UserError(f"{suggest('model', str(source), [*embedded, IMAGENET])} Or give the path of {KINDS}.")
